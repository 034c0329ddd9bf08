"""An environment without its action mask, or without its agent mask: for ablations.

What a mask is worth is measured by training without it. Entries stay where they are and
become all True, so that the same network fits; the environment below goes on as before:
it ignores what is done where nobody acts, and treats what is not allowed as doing nothing
(and counts it) or however it treats such actions. Works on single and vector environments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from maskrl.envs.entries import AGENT_CELLS, TABLE_PREFIX, entries_of
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK

REMOVABLE = ("action_mask", "agent_mask")

REMOVE_MASKS = "remove_masks"
"""What `maskrl.make` and `maskrl.make_vec` call the setting."""

_OWN_REWARDS = ("agent_rewards", "_agent_rewards")


class MaskRemoval:
    """What becomes of spaces, observations and infos when masks are taken away.

    Args:
        observation_space: Of one environment.
        masks: Names out of `REMOVABLE`.
        operation: What messages call this.

    Raises:
        ConfigError: A name is none of those, or the observation has no such mask.

    `action_mask`:
        It and its tables become all True. Who acts stays the same.

    `agent_mask`:
        Every place acts, a cell of terrain or the slot of a dead agent like any other. What
        is done there changes nothing, and its action mask is all True. On a grid that ends
        agents' identity: `agent_cells`, `alive` and rewards of their own are gone, since
        most of those who act now are nobody, and what is left is the team's reward. In
        slots `alive` is gone, so that nobody ever dies: the dead act in vain and get 0.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], masks: Sequence[str], operation: str
    ) -> None:
        entries = entries_of(observation_space)
        for name in masks:
            if name not in REMOVABLE:
                raise ConfigError(
                    f"{operation}: {REMOVE_MASKS} has {name!r}; expected {' or '.join(REMOVABLE)}."
                )
            if name not in entries:
                raise ConfigError(
                    f"{operation}: there is no {name} to remove; the observation has the entries "
                    f"{list(entries)}."
                )
        self.masks = tuple(masks)
        self.action_masks = [k for k in entries if k == FLAT_MASK or k.startswith(TABLE_PREFIX)]
        self.frees_agents = "agent_mask" in masks
        self.on_grid = self.frees_agents and len(entries["agent_mask"].shape or ()) == 2
        gone: tuple[str, ...] = ()
        if self.frees_agents:
            gone = (AGENT_CELLS, "alive") if self.on_grid else ("alive",)
        self._gone = gone
        self.space = spaces.Dict({k: v for k, v in entries.items() if k not in gone})

    @property
    def ends_identity(self) -> bool:
        """Whether agents can no longer be told apart."""
        return self.on_grid

    def observation(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """One or a batch of observations without the masks; what is changed is a new array."""
        seen = {key: value for key, value in observation.items() if key not in self._gone}
        if "action_mask" in self.masks:
            for key in self.action_masks:
                seen[key] = np.ones_like(np.asarray(seen[key]), np.bool_)
        if self.frees_agents:
            nobody = ~np.asarray(observation["agent_mask"])
            for key in self.action_masks:
                seen[key] = np.asarray(seen[key]) | self._spread(nobody, seen[key], key)
            seen["agent_mask"] = np.ones_like(nobody)
        return seen

    def _spread(self, nobody: np.ndarray, mask: Any, key: str) -> np.ndarray:
        """Places where nobody acts, with the axes of an action mask or table as well."""
        extra = 1 if key == FLAT_MASK else 2
        where = nobody.ndim - 2 if self.on_grid else nobody.ndim
        return np.expand_dims(nobody, tuple(range(where, where + extra)))

    def infos(self, infos: dict[str, Any]) -> dict[str, Any]:
        """Infos of a vector environment whose final observations have the masks removed."""
        final = infos.get("final_obs")
        changed = dict(infos)
        if isinstance(final, Mapping):
            changed["final_obs"] = self.observation(final)
        elif final is not None:
            rows = np.full(len(final), None, dtype=object)
            for i, row in enumerate(final):
                rows[i] = None if row is None else self.observation(row)
            changed["final_obs"] = rows
        return self.own_rewards_dropped(changed)

    def own_rewards_dropped(self, infos: dict[str, Any]) -> dict[str, Any]:
        """Infos without agents' own rewards, where agents can no longer be told apart."""
        if not self.ends_identity:
            return infos
        kept = {key: value for key, value in infos.items() if key not in _OWN_REWARDS}
        if isinstance(kept.get("final_info"), dict):
            kept["final_info"] = self.own_rewards_dropped(kept["final_info"])
        return kept


class EnvWithoutMasks(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A single environment without these masks; see `MaskRemoval`."""

    def __init__(self, env: gymnasium.Env[Any, Any], masks: Sequence[str]) -> None:
        super().__init__(env)
        self._removal = MaskRemoval(env.observation_space, masks, type(env.unwrapped).__name__)
        self.observation_space = self._removal.space
        if self._removal.ends_identity:
            self.gives_agent_rewards = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset; the observation lacks the masks."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._removal.observation(observation), self._removal.own_rewards_dropped(info)

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Step; the observation lacks the masks."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        info = self._removal.own_rewards_dropped(info)
        return self._removal.observation(observation), reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """Nothing: what happens next is decided by the environments below alone."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to continue from."""


class VectorEnvWithoutMasks(VectorWrapper[Any, Any, Any, Any, Any]):
    """A vector environment without these masks; see `MaskRemoval`.

    What else the environment offers (its state, its counts, its tree) is reached through it.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], masks: Sequence[str]) -> None:
        super().__init__(env)
        name = type(env.unwrapped).__name__
        self._removal = MaskRemoval(env.single_observation_space, masks, name)
        self.single_observation_space = self._removal.space
        self.observation_space = batch_space(self._removal.space, env.num_envs)
        if self._removal.ends_identity:
            self.gives_agent_rewards = False

    def __getattr__(self, name: str) -> Any:
        """Public attributes of the environment below."""
        if name.startswith("_") or name == "env":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.env, name)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset; observations lack the masks."""
        observation, infos = self.env.reset(seed=seed, options=options)
        return self._removal.observation(observation), self._removal.infos(infos)

    def step(self, actions: Any) -> tuple[dict[str, Any], Any, Any, Any, dict[str, Any]]:
        """Step; observations, final ones included, lack the masks."""
        observation, rewards, terminated, truncated, infos = self.env.step(actions)
        seen = self._removal.observation(observation)
        return seen, rewards, terminated, truncated, self._removal.infos(infos)


def remove_masks(env: Any, masks: str | Sequence[str]) -> Any:
    """An environment or vector environment without some of its masks.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`.
        masks: Names out of `REMOVABLE`, in a sequence or joined by commas; none leaves the
            environment as it is.

    Raises:
        ConfigError: A name is unknown, or the environment has no such mask.
    """
    given = masks.replace(" ", "").split(",") if isinstance(masks, str) else masks
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            f"{REMOVE_MASKS}: expected names out of {', '.join(REMOVABLE)}, got {masks!r}"
        )
    names = [name for name in dict.fromkeys(given) if name]
    if not names:
        return env
    if isinstance(env, VectorEnv):
        return VectorEnvWithoutMasks(env, names)
    return EnvWithoutMasks(env, names)


RemoveActionMask = partial(remove_masks, masks=("action_mask",))
"""Takes an environment of either kind: the same without its action mask."""

RemoveAgentMask = partial(remove_masks, masks=("agent_mask",))
"""Takes an environment of either kind: the same where every place acts."""

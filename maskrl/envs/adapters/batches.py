"""Environments of libraries that step many copies in one call, as the contract has them.

Such a library is handed the actions of B copies and gives B observations back. What is the
same for all of them is here: seeds, beginning the next episode in the step that ends one
with the real final observation kept, counting illegal actions, checking what comes in, and
the state of a run. A library itself is a `Batch`; one copy of it is a `BatchEnv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array
from maskrl.masks.heads import choices_of

Observation = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Stepped:
    """What a step of B copies gave, beside the observation.

    Attributes:
        rewards: float64 [B].
        terminated: bool [B].
        truncated: bool [B], and never where `terminated`.
        infos: Further arrays [B, ...] by name.
    """

    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    infos: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class Batch(Protocol):
    """B copies of an environment that a library steps together, each with its own randomness.

    Attributes:
        name: What messages call it.
        num_envs: B.
        observation_space: Of one copy, a Dict with masks.
        action_space: Of one copy.
        nvec: Sizes of the heads of one agent's action.
        rendered: What `render` gives: "rgb_array", "ansi" or nothing.
    """

    name: str
    num_envs: int
    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    nvec: tuple[int, ...]
    rendered: tuple[str, ...]

    def seed(self, seeds: list[int]) -> None:
        """Give every copy the seed of all its further randomness."""

    def begin(self, rows: npt.NDArray[np.int64]) -> None:
        """Begin new episodes in some copies; the others go on as they were."""

    def step(self, actions: npt.NDArray[np.int64]) -> Stepped:
        """Step all; an episode that ends stays at its end until `begin`."""

    def observe(self) -> Observation:
        """The present observation of all, fresh arrays [B, ...] of the spaces' dtypes."""

    def render(self, row: int, mode: str) -> Any:
        """A picture of one copy, in one of the modes of `rendered`."""

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """All that the future depends on, as copies."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`; a `ConfigError` where it is of other copies."""


class BatchVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """B copies that step together and reset in the step that ends an episode.

    Copy i of seed s plays exactly what a single environment of seed s + i plays.

    Args:
        batch: The copies.
        seed: Of all randomness, unless `reset` gets one.
        autoreset: False for a single environment, which whoever plays it resets.

    Attributes:
        illegal_actions: How often an agent acted against the mask handed out.

    Raises:
        ConfigError: The seed is no whole number from 0 on.
    """

    takes_reset_mask = True

    def __init__(self, batch: Batch, *, seed: int = 0, autoreset: bool = True) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.batch = batch
        self.name = batch.name
        self.num_envs = batch.num_envs
        self.single_observation_space = batch.observation_space
        self.single_action_space = batch.action_space
        self.observation_space = batch_space(batch.observation_space, self.num_envs)
        self.action_space = batch_space(batch.action_space, self.num_envs)
        for attribute in ("action_names", "entity_names", "gives_agent_rewards"):
            if hasattr(batch, attribute):
                setattr(self, attribute, getattr(batch, attribute))
        self.illegal_actions = 0
        self._highest = np.asarray(_sizes(batch.action_space))
        self._autoreset = autoreset
        self._begun = False
        self._observation: Observation = {}
        batch.seed(self._seeds(seed))

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode everywhere.

        Args:
            seed: A new seed for all randomness, or one per copy; None goes on as it is.
            options: `{"reset_mask": bool [num_envs]}` begins anew only where it is True.

        Returns:
            The batched observation, fresh arrays, and empty infos.
        """
        if seed is not None:
            self.batch.seed(self._seeds(seed))
        keep = (options or {}).get("reset_mask")
        if keep is None:
            rows = np.arange(self.num_envs)
        else:
            operation = f"{self.name}: reset"
            rows = np.flatnonzero(
                check_mask_array(keep, (self.num_envs,), name="reset_mask", operation=operation)
            )
        if not self._begun and len(rows) < self.num_envs:
            raise ConfigError(
                f"{self.name}: the first reset begins every episode; leave out reset_mask"
            )
        self.batch.begin(rows)
        self._begun = True
        self._observation = self.batch.observe()
        return self.observation(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        Observation,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Step every copy.

        Args:
            actions: integers [num_envs, ...] of the action space.

        Returns:
            Observation (fresh arrays), rewards float64 [num_envs], terminated, truncated and
            infos, the library's own among them. Where an episode ended the observation is the
            next one's first, and infos have `final_obs` (batched) and `_final_obs`.

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was never
                called.
        """
        if not self._begun:
            raise ConfigError(f"{self.name}: step was called before the first reset")
        given = self._checked(actions)
        self.illegal_actions += self._count_illegal(given)
        stepped = self.batch.step(given)
        observation = self.batch.observe()
        infos: dict[str, Any] = dict(stepped.infos)
        ended = stepped.terminated | stepped.truncated
        if ended.any() and self._autoreset:
            infos["final_obs"] = observation
            infos["_final_obs"] = ended.copy()
            self.batch.begin(np.flatnonzero(ended))
            observation = self.batch.observe()
        self._observation = observation
        return self.observation(), stepped.rewards, stepped.terminated, stepped.truncated, infos

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        return {name: array.copy() for name, array in self._observation.items()}

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        state: dict[str, Any] = {f"batch.{k}": v for k, v in self.batch.get_state().items()}
        return state | {"illegal_actions": self.illegal_actions, "begun": self._begun}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another environment, of more or fewer copies, or
                damaged.
        """
        try:
            illegal, begun = int(state["illegal_actions"]), bool(state["begun"])
            own = {k.removeprefix("batch."): v for k, v in state.items() if k.startswith("batch.")}
            self.batch.set_state(own)
        except (KeyError, ValueError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"{self.name}: the saved state is damaged: {type(error).__name__}: {error}"
            ) from error
        self.illegal_actions, self._begun = illegal, begun
        if begun:
            self._observation = self.batch.observe()

    def _seeds(self, seed: Any) -> list[int]:
        """A seed per copy, from one number (s, s + 1, ...) or a list."""
        if isinstance(seed, list | tuple | np.ndarray):
            seeds = list(seed)
        else:
            seeds = [seed + i for i in range(self.num_envs)] if _is_whole(seed) else [seed]
        wrong = next((s for s in seeds if not _is_whole(s) or s < 0), None)
        if wrong is not None:
            raise ConfigError(
                f"{self.name}: seed must be a whole number from 0 on, or a list with one per "
                f"environment; got {wrong!r}"
            )
        if len(seeds) != self.num_envs:
            raise ConfigError(
                f"{self.name}: got {len(seeds)} seeds for {self.num_envs} environments"
            )
        return [int(s) for s in seeds]

    def _checked(self, actions: Any) -> npt.NDArray[np.int64]:
        given, shape = np.asarray(actions), self.action_space.shape
        if given.shape != shape or given.dtype.kind not in "iu":
            raise ConfigError(
                f"{self.name}: actions must be whole numbers of shape {shape}; got {given.dtype} "
                f"of shape {given.shape}"
            )
        given = given.astype(np.int64)
        wrong = (given < 0) | (given >= self._highest)
        if wrong.any():
            place = [int(i) for i in np.argwhere(wrong)[0]]
            most = np.broadcast_to(self._highest, given.shape)[tuple(place)]
            raise ConfigError(
                f"{self.name}: actions{place} = {given[tuple(place)]}; expected 0 to {most - 1}"
            )
        return given

    def _count_illegal(self, actions: npt.NDArray[np.int64]) -> int:
        masks = {k: v for k, v in self._observation.items() if k == "action_mask"}
        if not masks:
            return 0
        acts = self._observation.get("agent_mask")
        if acts is not None:
            masks, actions = {k: v[acts] for k, v in masks.items()}, actions[acts]
        rows = actions.reshape(len(actions), len(self.batch.nvec))
        return int(choices_of(rows, masks, self.batch.nvec).illegal.sum())


class BatchEnv(gymnasium.Env[Observation, Any]):
    """One copy as an ordinary Gymnasium environment.

    Args:
        batch: A batch of one copy.
        seed: Of all randomness until `reset` gets one.
        render_mode: One of `batch.rendered`, or None.

    Raises:
        ConfigError: The batch has more copies, or there are no such pictures.
    """

    def __init__(self, batch: Batch, *, seed: int = 0, render_mode: str | None = None) -> None:
        if batch.num_envs != 1:
            raise ConfigError(f"{batch.name}: expected a batch of one, got {batch.num_envs}")
        if render_mode is not None and render_mode not in batch.rendered:
            there = " or ".join(map(repr, batch.rendered)) or "there are no pictures"
            raise ConfigError(
                f"{batch.name}: render_mode must be None{f' or {there}' if batch.rendered else ''};"
                f" got {render_mode!r}{'' if batch.rendered else f', and {there}'}"
            )
        self.metadata = {"render_modes": list(batch.rendered), "render_fps": 8}
        self.render_mode = render_mode
        self.batch = batch
        self.name = batch.name
        self._one = BatchVectorEnv(batch, seed=seed, autoreset=False)
        self.observation_space: Any = batch.observation_space
        self.action_space = batch.action_space
        for attribute in ("action_names", "entity_names", "gives_agent_rewards"):
            if hasattr(batch, attribute):
                setattr(self, attribute, getattr(batch, attribute))
        self._under_way = False

    @property
    def illegal_actions(self) -> int:
        """How often an agent acted against the mask handed out."""
        return self._one.illegal_actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode."""
        super().reset(seed=seed)
        observation, _ = self._one.reset(seed=seed)
        self._under_way = True
        return _first(observation), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step once.

        Raises:
            ConfigError: The episode is over, `reset` was never called, or the action is none
                of the action space.
        """
        if not self._under_way:
            raise ConfigError(f"{self.name}: the episode is over or never began; call reset first")
        observation, rewards, terminated, truncated, infos = self._one.step(
            np.asarray(action)[None]
        )
        over = bool(terminated[0]), bool(truncated[0])
        self._under_way = not any(over)
        told = {name: array[0] for name, array in infos.items()}
        if "outcome" in told and np.isnan(told["outcome"]):
            del told["outcome"]
        return _first(observation), float(rewards[0]), *over, told

    def render(self) -> Any:
        """A picture in the render mode; None without one."""
        return None if self.render_mode is None else self.batch.render(0, self.render_mode)

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, as plain data."""
        return {**self._one.get_state(), "under_way": self._under_way}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state` of an environment made in the same way."""
        self._one.set_state(state)
        self._under_way = bool(state["under_way"])


def _first(observation: Observation) -> Observation:
    return {name: np.asarray(array[0]) for name, array in observation.items()}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)


def _sizes(space: spaces.Space[Any]) -> Any:
    """How many choices each place of an action has."""
    return space.n if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[attr-defined]

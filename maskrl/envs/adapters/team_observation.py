"""A team environment that nobody here wrote: its masks made boolean, checked and copied.

A `gymnasium.Env` whose Dict observation has an `agent_mask` may give its masks as numbers,
hand out its own arrays and change them later, and contradict itself. This wrapper looks at
every observation, as `check_team_observation` does, and counts what agents did against
their masks where the environment does not count itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.envs.acting_rows import ActingRows
from maskrl.envs.adapters.still_watch import POLARITY
from maskrl.envs.entries import AGENT_CELLS, TABLE_PREFIX, entries_of, is_mask_key, mask_space
from maskrl.envs.teams import TeamDescription, describe_team
from maskrl.errors import ConfigError, MaskError, MaskrlError, MaskShapeError
from maskrl.masks.arrays import as_mask_array
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import FLAT_MASK


class TeamMasks(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same team environment with boolean masks that hold together, everything copied.

    Args:
        env: With `agent_mask` in its Dict observation.
        name: What messages call it; its class name otherwise.
        allowed: The value that means "allowed" in its action masks, 1 or 0. In all other
            masks 1 is present.

    Attributes:
        team: What its spaces say.

    Raises:
        MaskError, NoMaskError, ConfigError: Its spaces contradict each other; the message
            names the environment.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], *, name: str | None = None, allowed: int = 1
    ) -> None:
        super().__init__(env)
        self.name = name or type(env.unwrapped).__name__
        self._allowed = allowed
        entries = {
            key: mask_space(*(space.shape or ())) if is_mask_key(key) else space
            for key, space in entries_of(env.observation_space).items()
        }
        self.observation_space = spaces.Dict(entries)
        try:
            self.team: TeamDescription = describe_team(
                self.observation_space,
                env.action_space,
                _attribute(env, "action_tree"),
                max_agents=_attribute(env, "max_agents"),
            )
        except MaskrlError as error:
            raise type(error)(f"environment {self.name!r}: {error}") from error
        self._gives_rewards = bool(_attribute(env, "gives_agent_rewards"))
        self._counts_itself = env.has_wrapper_attr("illegal_actions")
        self._counted = 0
        self._handed_out: dict[str, np.ndarray] = {}
        self._step = 0
        self._episode = 0

    @property
    def illegal_actions(self) -> int:
        """How often agents acted against their masks; the environment's own count if it has one."""
        if self._counts_itself:
            return int(self.env.get_wrapper_attr("illegal_actions"))
        return self._counted

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset; masks are boolean and checked."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        self._episode += 1
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step; an agent that acts against its mask is counted."""
        chosen = np.asarray(action)
        if self._handed_out and self.team.has_action_mask:
            acting = ActingRows.read(self._handed_out, self.team)
            taken = acting.take(chosen[None], self.team)
            self._counted += int(choices_of(taken, acting.masks, self.team.heads).illegal.sum())
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except MaskrlError:
            raise
        except Exception as error:
            allowed = f" {POLARITY}" if self.team.has_action_mask else ""
            raise ConfigError(
                f"{self._place()}: step fails: {type(error).__name__}: {error}.{allowed}"
            ) from error
        self._step += 1
        seen = self._observe(observation)
        if self._gives_rewards:
            info = {**info, "agent_rewards": self._own_rewards(info)}
        return seen, float(reward), bool(terminated), bool(truncated), info

    def _observe(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        seen = {}
        for key, space in entries_of(self.observation_space).items():
            if key not in observation:
                raise ConfigError(
                    f"{self._place()}: the observation has no {key!r}, which its space has; it "
                    f"has {list(observation)}."
                )
            value = observation[key]
            if not is_mask_key(key):
                seen[key] = value.copy() if isinstance(value, np.ndarray) else copy.deepcopy(value)
                continue
            of_actions = key == FLAT_MASK or key.startswith(TABLE_PREFIX)
            try:
                keep = as_mask_array(value, allowed=self._allowed if of_actions else 1, name=key)
            except MaskError as error:
                raise type(error)(f"{self._place()}: {error}") from error
            if keep.shape != space.shape:
                raise MaskShapeError(
                    f"{self._place()}: {key} has shape {keep.shape}, its space says {space.shape}."
                )
            seen[key] = keep
        batch = {key: np.asarray(value)[None] for key, value in seen.items()}
        try:
            check_team_observation(batch, self.team)
        except MaskError as error:
            raise type(error)(f"{self._place()}: {error}") from error
        self._handed_out = {key: value.copy() for key, value in batch.items() if is_mask_key(key)}
        return seen

    def get_state(self) -> dict[str, Any]:
        """What this wrapper itself knows of the episode, as plain data."""
        return {
            "handed_out": self._handed_out,
            "counted": self._counted,
            "step": self._step,
            "episode": self._episode,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`."""
        self._handed_out = dict(state["handed_out"])
        self._counted = int(state["counted"])
        self._step = int(state["step"])
        self._episode = int(state["episode"])

    def _own_rewards(self, info: Mapping[str, Any]) -> np.ndarray:
        given = info.get("agent_rewards")
        rewards = np.asarray(0.0 if given is None else given)
        if given is None or rewards.shape != (self.team.agents,) or rewards.dtype.kind not in "fiu":
            raise ConfigError(
                f'{self._place()}: info["agent_rewards"] is {given!r}; expected numbers '
                f"({self.team.agents},), because the environment says gives_agent_rewards."
            )
        return rewards.astype(np.float64)

    def _place(self) -> str:
        return f"environment {self.name!r}, episode {self._episode}, step {self._step}"


def check_team_observation(observation: Mapping[str, Any], team: TeamDescription) -> None:
    """Refuse a batch of observations whose masks contradict each other.

    Who acts must be alive, in a scene an entity that is there, on a grid in a cell of its own;
    no cell may hold two.

    Args:
        observation: Batched: `agent_mask` `[B, N]` or `[B, H, W]`, and what else says who is
            where.
        team: Of the environment.

    Raises:
        MaskError: Two of these say different things; the message names row and agent or cell.
    """
    acting = np.asarray(observation["agent_mask"])
    alive = observation.get("alive")
    if team.form == "slots":
        if alive is not None:
            _refuse(
                acting & ~np.asarray(alive),
                "acts (agent_mask) and is not alive; expected agent_mask <= alive",
            )
        if team.source == "scene":
            present = np.asarray(observation["entity_mask"])[:, : team.agents]
            _refuse(
                acting & ~present,
                "acts (agent_mask) and is no entity of the scene (entity_mask); agent n is entity "
                "n",
            )
        return
    if not team.has_identity:
        return
    cells = np.asarray(observation[AGENT_CELLS])
    _refuse(
        (cells < -1) | (cells >= team.n_places),
        f"is in a cell that is none (agent_cells); expected -1 to {team.n_places - 1}",
    )
    rows, slots = np.nonzero(cells >= 0)
    owner = np.full((len(cells), team.n_places), -1, np.int64)
    owner[rows, cells[rows, slots]] = slots
    crowded = np.zeros(cells.shape, np.bool_)
    crowded[rows, slots] = owner[rows, cells[rows, slots]] != slots
    _refuse(crowded, "shares its cell with another (agent_cells); expected one agent in a cell")
    flat = acting.reshape(len(acting), -1)
    empty = flat & (owner < 0)
    if empty.any():
        row, cell = (int(i) for i in np.argwhere(empty)[0])
        raise MaskError(
            f"row {row}, cell {divmod(cell, team.places[-1])}: an agent acts there (agent_mask), "
            "and none is in it (agent_cells)."
        )
    if alive is not None:
        acts = (cells >= 0) & np.take_along_axis(flat, np.maximum(cells, 0), axis=1)
        _refuse(
            acts & ~np.asarray(alive),
            "acts in its cell (agent_mask) and is not alive; expected only the living to act",
        )


def _refuse(wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        row, slot = (int(i) for i in np.argwhere(wrong)[0])
        raise MaskError(f"row {row}, agent {slot} {what}.")


def _attribute(env: gymnasium.Env[Any, Any], name: str) -> Any:
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

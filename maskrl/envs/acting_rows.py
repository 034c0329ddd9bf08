"""The agents of a batch of team observations that act now, one row after another: numpy only.

Evaluators, random agents and recorders ask who acts, under which masks, and put the choices
back where the environment wants them. In the slots form an agent's place is its slot; on a
grid it is its cell, and its slot is known where the observation has `agent_cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.entries import AGENT_CELLS, TABLE_PREFIX
from maskrl.envs.teams import TeamDescription
from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks.tree import FLAT_MASK

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ActingRows:
    """The M agents that act in B team observations, entry by entry, place by place.

    Attributes:
        row: int64 `[M]`, batch entry, ascending.
        slot: int64 `[M]`, which agent it is; -1 where agents have no identity.
        place: int64 `[M]`, its slot, or its cell row * W + column, ascending within an entry.
        masks: Per name (`action_mask`, tables `action_mask:<head>`) bool `[M, A]` or
            `[M, P, size]`; empty where everything is allowed.
        batch: B.
    """

    row: IntArray
    slot: IntArray
    place: IntArray
    masks: dict[str, BoolArray]
    batch: int

    def __len__(self) -> int:
        """How many agents act: M."""
        return len(self.row)

    @classmethod
    def read(cls, obs: Mapping[str, Any], team: TeamDescription) -> ActingRows:
        """Find the agents that act.

        Args:
            obs: Batched: `agent_mask` `[B, N]` or `[B, H, W]`, and what else tells of agents.
            team: Of the environment.

        Raises:
            MaskDtypeError: `agent_mask` is not boolean.
            MaskShapeError: It has other places than the team.
        """
        given = np.asarray(obs["agent_mask"])
        if given.dtype != np.bool_:
            raise MaskDtypeError(
                f"agent_mask has dtype {given.dtype}; expected bool, True = an agent acts there. "
                "Convert it with maskrl.as_mask."
            )
        if given.shape[1:] != team.places or given.ndim != len(team.places) + 1:
            raise MaskShapeError(
                f"agent_mask has shape {given.shape}; expected [B, "
                f"{', '.join(map(str, team.places))}]"
            )
        batch = len(given)
        row, place = np.nonzero(given.reshape(batch, -1))
        slot = place
        if team.form == "grid":
            slot = np.full(len(row), -1, np.int64)
            if AGENT_CELLS in obs:
                slot = slots_on_grid(np.asarray(obs[AGENT_CELLS]), team.n_places)[row, place]
        masks = {
            key: _rows(np.asarray(obs[key]), row, place, team)
            for key in obs
            if key == FLAT_MASK or key.startswith(TABLE_PREFIX)
        }
        return cls(row, slot, place, masks, batch)

    def counts(self) -> IntArray:
        """How many agents act in each entry: int64 `[B]`."""
        return np.bincount(self.row, minlength=self.batch).astype(np.int64)

    def put(self, actions: npt.ArrayLike, team: TeamDescription, idle_action: int = 0) -> IntArray:
        """Choices of the agents in the shape that the environment takes.

        Args:
            actions: `[M]` or `[M, K]`.
            team: Of the environment.
            idle_action: What stands at places where nobody acts.

        Returns:
            int64 `[B, *action_space.shape]`.
        """
        heads = np.asarray(actions, np.int64).reshape(len(self), team.n_heads)
        everywhere = np.full((self.batch, team.n_places, team.n_heads), idle_action, np.int64)
        everywhere[self.row, self.place] = heads
        if team.form == "grid" and team.has_head_axis:
            everywhere = everywhere.swapaxes(1, 2)
        return everywhere.reshape(self.batch, *team.action_shape)

    def take(self, actions: npt.ArrayLike, team: TeamDescription) -> IntArray:
        """The choices of those who act, out of actions as the environment takes them.

        Args:
            actions: `[B, *action_space.shape]`; what stands elsewhere is not read.
            team: Of the environment.

        Returns:
            int64 `[M, K]`.

        Raises:
            MaskShapeError: The actions have another shape.
        """
        given = np.asarray(actions)
        if given.shape != (self.batch, *team.action_shape):
            raise MaskShapeError(
                f"actions of a team have shape {given.shape}; expected "
                f"{(self.batch, *team.action_shape)}: the action of every "
                f"{'slot' if team.form == 'slots' else 'cell'}"
            )
        if team.form == "grid" and team.has_head_axis:
            by_place = given.reshape(self.batch, team.n_heads, team.n_places).swapaxes(1, 2)
        else:
            by_place = given.reshape(self.batch, team.n_places, team.n_heads)
        return np.asarray(by_place[self.row, self.place], np.int64)


def slots_on_grid(agent_cells: IntArray, cells: int) -> IntArray:
    """Whose cell each cell is.

    Args:
        agent_cells: int `[B, N]`, the cell of each agent, -1 for none.
        cells: H * W.

    Returns:
        int64 `[B, H * W]`, the slot of the agent there, -1 where none is.
    """
    slots = np.full((len(agent_cells), cells), -1, np.int64)
    row, slot = np.nonzero(agent_cells >= 0)
    slots[row, agent_cells[row, slot]] = slot
    return slots


def alive_agents(obs: Mapping[str, Any], team: TeamDescription) -> BoolArray | None:
    """Which agents are alive: bool `[B, N]`, fresh; None where nobody has an identity.

    Without `alive` in the observation those who act are alive.

    Args:
        obs: Batched.
        team: Of the environment.
    """
    if "alive" in obs:
        return np.array(obs["alive"], np.bool_)
    if team.form == "slots":
        return np.array(obs["agent_mask"], np.bool_)
    if AGENT_CELLS in obs:
        cells = np.asarray(obs[AGENT_CELLS])
        acting = np.asarray(obs["agent_mask"]).reshape(len(cells), -1)
        return (cells >= 0) & np.take_along_axis(acting, np.maximum(cells, 0), axis=1)
    return None


def _rows(given: npt.NDArray[Any], row: IntArray, place: IntArray, team: TeamDescription) -> Any:
    """A mask's rows of those who act: `[M, A]`, or `[M, P, size]` of a table."""
    if team.form == "slots":
        return given[row, place]
    by_place = given.reshape(*given.shape[:-2], team.n_places)
    return np.moveaxis(by_place, -1, 1)[row, place]

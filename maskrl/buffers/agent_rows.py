"""What the agents of a team did, one packed row for each that acted: memory goes with agents.

A map of 16 x 16 cells on which ten agents act is ten rows, not 256. Numbers are kept in
the smallest type that holds them, masks as bits. The rows of all steps lie one after the
other, and grow into room that is used again for the next rollout: once a rollout has had
its largest size, a step allocates nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maskrl.envs.teams import TeamDescription
from maskrl.errors import MaskShapeError
from maskrl.masks.arrays import pack_bits, unpack_bits
from maskrl.masks.tree import FLAT_MASK

FIRST_ROOM = 256
"""Rows that there is room for at first."""


class AgentRows:
    """Packed rows of acting agents, for `entries` environment steps in a row.

    Args:
        team: Of the environment.
        entries: Environment steps of a rollout, T * B.

    Attributes:
        team: Of the environment.
        offsets: `[entries + 1]` int64: the rows of environment step e are `offsets[e]` to
            `offsets[e + 1]`.
        filled: Environment steps written so far.
    """

    def __init__(self, team: TeamDescription, entries: int) -> None:
        self.team = team
        self.offsets = np.zeros(entries + 1, np.int64)
        self.filled = 0
        self.mask_shapes: dict[str, tuple[int, ...]] = {}
        if team.action_tree is not None:
            self.mask_shapes = {
                key: tuple(shape)
                for key, shape in team.action_tree.mask_shapes.items()
                if key != FLAT_MASK or team.has_action_mask
            }
        elif team.has_action_mask:
            self.mask_shapes = {FLAT_MASK: (team.n_actions,)}
        heads = team.n_heads
        self._arrays: dict[str, np.ndarray] = {
            "actions": np.zeros((FIRST_ROOM, heads), _holding(max(team.nvec) - 1)),
            "log_probs": np.zeros((FIRST_ROOM, heads), np.float32),
            "places": np.zeros(FIRST_ROOM, _holding(team.n_places - 1)),
        }
        self._has_slots = team.form == "grid" and team.has_identity
        if self._has_slots:
            self._arrays["slots"] = np.zeros(FIRST_ROOM, _holding(team.agents - 1))
        for key, shape in self.mask_shapes.items():
            self._arrays[key] = np.zeros((FIRST_ROOM, -(-math.prod(shape) // 8)), np.uint8)

    def __len__(self) -> int:
        """Rows written so far: M."""
        return int(self.offsets[self.filled])

    @property
    def actions(self) -> np.ndarray:
        """`[M, K]`, in the smallest integer type."""
        return self._arrays["actions"][: len(self)]

    @property
    def log_probs(self) -> np.ndarray:
        """`[M, K]` float32, per head, under the policy that acted."""
        return self._arrays["log_probs"][: len(self)]

    @property
    def places(self) -> np.ndarray:
        """`[M]`: slot or cell, in the smallest integer type."""
        return self._arrays["places"][: len(self)]

    @property
    def slots(self) -> np.ndarray | None:
        """`[M]`: which agent it is; None where agents have no identity."""
        if self._has_slots:
            return self._arrays["slots"][: len(self)]
        return self.places if self.team.has_identity else None

    @property
    def counts(self) -> np.ndarray:
        """How many agents acted in each environment step: int64 `[filled]`."""
        return np.diff(self.offsets[: self.filled + 1])

    @property
    def entries(self) -> np.ndarray:
        """In which environment step each row was: int64 `[M]`."""
        return np.repeat(np.arange(self.filled), self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of actions, masks, log-probabilities and positions of the rows written."""
        each = sum(array[:1].nbytes for array in self._arrays.values())
        return len(self) * each + self.offsets[: self.filled + 1].nbytes

    def begin(self) -> None:
        """Forget all rows, and keep the room."""
        self.filled = 0

    def end_at(self, entries: int) -> None:
        """Forget what was written of environment steps from `entries` on."""
        self.filled = min(self.filled, entries)

    def write(
        self,
        offsets: np.ndarray,
        *,
        places: np.ndarray,
        slots: np.ndarray,
        actions: np.ndarray,
        log_probs: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> None:
        """Add the rows of the next environment steps, one for each of B environments.

        Args:
            offsets: int64 `[B + 1]`, from 0 to the number of rows, m.
            places: `[m]`, slot or cell.
            slots: `[m]`, which agent.
            actions: `[m]` or `[m, K]`.
            log_probs: `[m]` or `[m, K]`.
            masks: bool `[m, ...]` under the names of an observation.

        Raises:
            MaskShapeError: A mask that the team has is missing, or has another shape.
        """
        start, rows = len(self), int(offsets[-1])
        self._make_room(start + rows)
        stop = start + rows
        heads = self.team.n_heads
        given: dict[str, np.ndarray] = {
            "actions": actions.reshape(rows, heads),
            "log_probs": log_probs.reshape(rows, heads),
            "places": places,
        }
        if self._has_slots:
            given["slots"] = slots
        for key, shape in self.mask_shapes.items():
            mask = masks.get(key)
            if mask is None or mask.shape != (rows, *shape):
                got = "none" if mask is None else f"one of shape {mask.shape}"
                raise MaskShapeError(
                    f"AgentRows.write: {key}: got {got}; expected bool {(rows, *shape)}, a row "
                    "for each agent that acts."
                )
            given[key] = pack_bits(mask.reshape(rows, math.prod(shape)))
        for key, array in given.items():
            self._arrays[key][start:stop] = array
        following = self.filled + len(offsets) - 1
        self.offsets[self.filled + 1 : following + 1] = start + offsets[1:]
        self.filled = following

    def rows_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of some environment steps, and where those of each begin among them.

        Args:
            entries: int64 `[R]`, in any order.

        Returns:
            Rows int64 `[m]`, step after step, and offsets int64 `[R + 1]`.
        """
        first = self.offsets[entries]
        counts = self.offsets[entries + 1] - first
        offsets = np.zeros(len(entries) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        rows = np.repeat(first - offsets[:-1], counts)
        rows += np.arange(offsets[-1])
        return rows, offsets

    def bits(self, key: str) -> np.ndarray:
        """The bits of a mask: uint8 `[M, bytes]`."""
        return self._arrays[key][: len(self)]

    def masks_at(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """The masks of some rows, unpacked, under the names of an observation: `[m, ...]`."""
        out = {}
        for key, shape in self.mask_shapes.items():
            chosen = self.bits(key)[rows]
            out[key] = unpack_bits(chosen, math.prod(shape)).reshape(len(chosen), *shape)
        return out

    def _make_room(self, rows: int) -> None:
        room = len(self._arrays["places"])
        if rows <= room:
            return
        room = max(rows, 2 * room)
        for key, array in self._arrays.items():
            self._arrays[key] = np.zeros((room, *array.shape[1:]), array.dtype)
            self._arrays[key][: len(array)] = array


def _holding(largest: int) -> np.dtype:
    """The smallest unsigned type that holds numbers from 0 to `largest`."""
    return np.min_scalar_type(max(largest, 0))

"""Minibatches: rows of a rollout, cut out with one copy and no unpacked masks.

Features, masks (as bits) and what was noted of each step are copied together into memory that
is used again for the next minibatch. A mask is unpacked only for a reader that wants booleans.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from maskrl.kernels.gather import BYTES, COLUMNS, COPY, SOURCE, gather
from maskrl.masks.packed import PackedMask

if TYPE_CHECKING:
    from maskrl.buffers.rollout import RolloutBuffer

_MOST_ROOMS = 4
_NO_POSITIONS = (torch.bool, torch.complex64, torch.complex128)
_NOTED = ("actions", "log_probs", "values", "advantages", "returns")


@dataclass(slots=True)
class Minibatch:
    """Rows of a rollout, as tensors on the training device.

    Attributes:
        index: `[M]` int64, flat positions `t * num_envs + env`.
        observations: Per key `[M, ...]`; masks are bool, or `PackedMask` if so ordered.
        actions: `[M]` int64, or `[M, K]` for actions of several heads.
        log_probs: `[M, K]`, per head, under the policy that acted.
        values: `[M]`, predicted then.
        advantages: `[M]`.
        returns: `[M]`.
        keep: `[M]` bool, False where no head decided; None where that never happened.
    """

    index: Tensor
    observations: dict[str, Any]
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    keep: Tensor | None


class MinibatchReader:
    """Reads minibatches of one rollout, which must not change meanwhile.

    Args:
        buffer: The rollout.
        device: Where the tensors go.
        packed: Masks that are handed out as `PackedMask` `[M, n]`, all entries in a row.
        reuse: Whether the next minibatch may be written over this one.
    """

    def __init__(
        self,
        buffer: RolloutBuffer,
        device: torch.device,
        *,
        packed: Collection[str] = (),
        reuse: bool = False,
    ) -> None:
        self._buffer = buffer
        self._device = device
        self._packed = [key for key in packed if key in buffer.bits]
        self._reuse = reuse
        self._rooms: dict[int, _Room] = {}
        self._rows = rows = buffer.steps * buffer.num_envs

        def flat(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            parts = {k: x[: buffer.steps].reshape(rows, *x.shape[2:]) for k, x in arrays.items()}
            return {k: np.ascontiguousarray(x) for k, x in parts.items()}

        self._features, self._bits = flat(buffer.features), flat(buffer.bits)
        self._noted = flat({name: getattr(buffer, name) for name in _NOTED})
        if buffer.idle.any():
            self._noted["keep"] = ~buffer.idle.reshape(rows)

    def __call__(self, index: Tensor | np.ndarray) -> Minibatch:
        """Rows at the flat positions `index` `[M]`, with `reuse` valid until the next call.

        Raises:
            IndexError: A position is not one of the rollout, or no whole number.
        """
        where = index if isinstance(index, Tensor) else torch.from_numpy(np.asarray(index))
        if where.ndim != 1 or where.dtype in _NO_POSITIONS or where.is_floating_point():
            raise IndexError(
                f"minibatch: index has shape {tuple(where.shape)} and dtype {where.dtype}; "
                "expected whole numbers [M], the positions of rows"
            )
        where = where.to("cpu", torch.int64).contiguous()
        rows = len(where)
        room = self._rooms.get(rows) or self._room(rows)
        if gather(room.address, room.arrays, where.data_ptr(), rows, self._rows) != 0:
            raise IndexError(
                f"minibatch: positions {int(where.min())} to {int(where.max())} are not all among "
                f"the {self._rows} rows of the rollout"
            )
        observations, noted = room.observations, room.noted
        if room.unpacked:
            masks = {key: self._buffer.unpacked(key, bits) for key, bits in room.unpacked.items()}
            observations = {**observations, **{k: torch.from_numpy(m) for k, m in masks.items()}}
        if self._device.type != "cpu":
            observations = {key: x.to(self._device) for key, x in observations.items()}
            noted = {key: None if x is None else x.to(self._device) for key, x in noted.items()}
        return Minibatch(where, observations, **noted)  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        """Copies have memory, and so addresses, of their own."""
        return {**vars(self), "_rooms": {}}

    def _room(self, rows: int) -> _Room:
        buffer = self._buffer
        lengths = {key: math.prod(buffer.mask_shapes[key]) for key in self._packed}
        room = _Room(self._features, self._bits, self._noted, rows, lengths)
        if self._reuse and len(self._rooms) < _MOST_ROOMS:
            self._rooms[rows] = room
        return room


class _Room:
    """Memory for minibatches of a number of rows, and where everything is copied from.

    Attributes:
        address, arrays: Of the kernel's table.
        observations: Features, and masks that stay packed.
        unpacked: Bits `[M, bytes]` of the other masks.
        noted: What a minibatch has beside observations.
    """

    def __init__(
        self,
        features: dict[str, np.ndarray],
        bits: dict[str, np.ndarray],
        noted: dict[str, np.ndarray],
        rows: int,
        lengths: dict[str, int],
    ) -> None:
        table: list[list[int]] = []

        def copies(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            out = {key: np.empty((rows, *x.shape[1:]), x.dtype) for key, x in arrays.items()}
            for key, array in arrays.items():
                row = [0] * COLUMNS
                row[SOURCE], row[COPY] = array.ctypes.data, out[key].ctypes.data
                row[BYTES] = array.itemsize * math.prod(array.shape[1:])
                table.append(row)
            return out

        def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
            return {key: torch.from_numpy(array) for key, array in copies(arrays).items()}

        self.observations: dict[str, Any] = {**tensors(features)}
        self.unpacked = copies(bits)
        for key, n in lengths.items():
            packed = torch.from_numpy(self.unpacked.pop(key))
            self.observations[key] = PackedMask(packed, n, (rows, n))
        self.noted: dict[str, Tensor | None] = {"keep": None, **tensors(noted)}
        self._table = np.array(table, np.int64)
        self.address, self.arrays = self._table.ctypes.data, len(table)

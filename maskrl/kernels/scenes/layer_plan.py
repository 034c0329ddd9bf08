"""Where a layer's call lies in memory: the numbers of a plan of scenes, and more behind them.

Scenes are done a batch at a time: their rows that are there are gathered, one behind the other,
and stay in the nearest caches through projections, attention and output. What the way back
needs of a batch is saved as it was made: queries, keys and values `[3 * heads, rows, width]`,
their mixture `[rows, heads * width]`. Every part of the way back has its own sums of the gradients
of weights, so that they do not depend on who did which part.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from maskrl.kernels.scenes.plan import (
    EIGHT,
    FIRST,
    HEADS,
    LAST,
    LINE,
    QUERIES,
    ROOM,
    SIZE,
    WIDTH,
    ScenePlan,
    room_for,
    up,
)

# Behind the numbers of scenes. X, RESULT and UPSTREAM lie together, [scenes, entities, DIM]; RESULT
# is the output, or on the way back the gradient of X (address 0: is not wanted). INTO and OUT_OF
# are weights as `layer` prepares them. SAVED is followed by the address of the mixtures.
(
    DIM, BATCH, ROWS, X, RESULT, UPSTREAM, INTO, OUT_OF, SAVED, MIXED, SUMS, MORE_ROOM,
) = range(SIZE, SIZE + 12)  # fmt: skip

BATCH_ROWS = 128
"""A batch has about so many slots of entities, at least one scene."""


def batch_of(entities: int) -> int:
    """How many scenes are done together."""
    return max(1, BATCH_ROWS // entities)


def rows_of(entities: int) -> int:
    """Room for the rows of a batch and for whole groups behind the last one."""
    return up(batch_of(entities) * entities, EIGHT) + EIGHT


class LayerPlan(ScenePlan):
    """The numbers of one call of a layer, there (`sums` False) or back, and its parts."""

    __slots__ = ("_made", "_sums")

    def __init__(self, numbers: np.ndarray, room: Tensor) -> None:
        super().__init__(numbers, room)
        dim, heads, width = (int(numbers[i]) for i in (DIM, HEADS, WIDTH))
        # Projections cost as many multiplications as this many scores.
        self.entries += 2 * int(numbers[QUERIES]) * dim * heads
        inner, wide = heads * up(width, EIGHT), up(dim, EIGHT)
        count = 4 * inner * wide if numbers[UPSTREAM] != 0 else 0
        self._sums = torch.zeros(count, dtype=torch.float32, device="cpu")
        numbers[SUMS] = self._sums.data_ptr()
        self._made: list[LayerPlan] = []

    @classmethod
    def _with_room(cls, numbers: np.ndarray) -> Self:
        entities, heads = int(numbers[QUERIES]), int(numbers[HEADS])
        dim, width = up(int(numbers[DIM]), EIGHT), up(int(numbers[WIDTH]), EIGHT)
        rows = (2 if numbers[UPSTREAM] == 0 else 3) * dim + 4 * heads * width
        for_attention = room_for(entities, entities, width)
        floats = for_attention + int(numbers[ROWS]) * rows + LINE
        room: Tensor = torch.empty(floats, dtype=torch.float32, device="cpu")
        numbers[ROOM] = room.data_ptr()
        numbers[MORE_ROOM] = room.data_ptr() + 4 * for_attention
        return cls(numbers, room)

    def parts(self, count: int) -> list[ScenePlan]:
        """At most `count` plans of some batches each, with memory of their own."""
        batch = int(self._numbers[BATCH])
        first, last = int(self._numbers[FIRST]), int(self._numbers[LAST])
        batches = -(-(last - first) // batch)
        edges = first + batch * np.unique(np.linspace(0, batches, count + 1).astype(np.int64))
        self._made = []
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            numbers = self._numbers.copy()
            numbers[FIRST], numbers[LAST] = begin, min(end, last)
            self._made.append(self._with_room(numbers))
        return list(self._made)

    def sums(self) -> Tensor:
        """What all parts summed up, in their order: of the first weights, then of the last ones."""
        total = self._sums.clone()
        for made in self._made:
            total += made._sums
        return total

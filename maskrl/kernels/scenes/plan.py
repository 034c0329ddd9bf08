"""Where a call's scenes lie in memory, as numbers that a kernel reads, and how they are shared out.

A plan is cut into parts of scenes, for threads, and says how much working memory a part needs.
`maskrl.kernels.fused.threads.run` does the parts.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

# What the numbers of a plan are. QUERY, KEY, ... are addresses followed by three strides in
# elements: of a scene, of a row, of a head. Address 0: is not there.
(
    FIRST, LAST, QUERIES, KEYS, HEADS, WIDTH, SCALE,
    QUERY, _, _, _, KEY, _, _, _, VALUE, _, _, _, OUT, _, _, _,
    OF_QUERY, _, _, _, OF_KEY, _, _, _, OF_VALUE, _, _, _,
    MASK, MASK_SCENE, MASK_ROW, LOOKING, LOOKING_SCENE, THERE, THERE_SCENE,
    STATISTICS, ROOM, SIZE,
) = range(45)  # fmt: skip

LINE = 16
MOST_LANES = 32
GROUP = 4
"""Rows of a product come in multiples of this."""

EIGHT = 8
"""Widths of packed rows and queries side by side come in multiples of this."""


def lanes_for(queries: int) -> int:
    """How many queries a block has side by side at most; the last one only as it needs."""
    return 8 if queries <= 8 else 16 if queries <= 16 else MOST_LANES


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def room_for(queries: int, keys: int, width: int) -> int:
    """Numbers (float32) of working memory that a part needs; `layout.Room` divides it."""
    lanes, keys, width = lanes_for(queries), up(keys, GROUP), up(width, EIGHT)
    rows = 4 * keys * width + 5 * lanes * width + 2 * keys * lanes + 2 * lanes
    mask = up(up(queries, lanes) * keys, 64) // 4
    return up(rows + mask + 2 * (queries + keys), LINE) + LINE


class ScenePlan:
    """The numbers of one call and its parts; `threads.run` reads `rows`, `entries` and `heads`.

    Args:
        numbers: int64 [SIZE].
        room: Working memory, which lives as long as the plan.
    """

    __slots__ = ("_keep", "_numbers", "_room", "address", "entries", "heads", "rows")

    def __init__(self, numbers: np.ndarray, room: Tensor) -> None:
        self._numbers = numbers
        self._room = room
        self._keep: object = None
        self.address: int = numbers.ctypes.data
        self.rows = int(numbers[LAST] - numbers[FIRST])
        self.heads = int(numbers[HEADS])
        # A score costs its share of two or five products and an exponential.
        self.entries = self.heads * int(numbers[QUERIES]) * int(numbers[KEYS])

    @classmethod
    def of(cls, numbers: list[int], keep: object = None) -> Self:
        """A plan for one thread, with its working memory; `keep` lives as long as it does."""
        plan = cls._with_room(np.array(numbers, np.int64))
        plan._keep = keep
        return plan

    @classmethod
    def _with_room(cls, numbers: np.ndarray) -> Self:
        floats = room_for(int(numbers[QUERIES]), int(numbers[KEYS]), int(numbers[WIDTH]))
        # The type is said, because a default of two bytes would be half of what kernels write.
        room: Tensor = torch.empty(floats, dtype=torch.float32, device="cpu")
        numbers[ROOM] = room.data_ptr()
        return cls(numbers, room)

    def parts(self, count: int) -> list[ScenePlan]:
        """At most `count` plans of some scenes each, with working memory of their own."""
        first, last = int(self._numbers[FIRST]), int(self._numbers[LAST])
        edges = np.unique(np.linspace(first, last, count + 1).astype(np.int64))
        made = []
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            numbers = self._numbers.copy()
            numbers[FIRST], numbers[LAST] = begin, end
            made.append(ScenePlan._with_room(numbers))
        return made

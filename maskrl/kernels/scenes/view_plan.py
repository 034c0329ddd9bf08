"""Where a call's views lie in memory, as numbers that a kernel reads, and how they are shared out.

Scenes are shared out, so that only one part adds to the gradient of what a scene holds.
"""

from __future__ import annotations

import numpy as np

# VIEW, PAIR, KEY and OFFSET are addresses of int64, the others of float32; `Views` says what they
# hold. Address 0: is not there.
(
    FIRST, LAST, HEADS, WIDTH, SCALE, VIEW, PAIR, KEY, OFFSET, TABLE_SIZE, QUERY, MEMORY, TABLE,
    OUT, WEIGHTS, OF_QUERY, OF_MEMORY, OF_SCORES, OF_TABLE,
) = range(19)  # fmt: skip


class ViewPlan:
    """The numbers of one call and its parts; `team` reads `rows`, `entries` and `heads`.

    Args:
        numbers: int64, as named above.
        pairs: Pairs of a view and an entity in it, in all scenes together.
    """

    __slots__ = ("_numbers", "address", "entries", "heads", "rows")

    def __init__(self, numbers: np.ndarray, pairs: int) -> None:
        self._numbers = numbers
        self.address: int = numbers.ctypes.data
        self.rows = int(numbers[LAST] - numbers[FIRST])
        self.heads = int(numbers[HEADS])
        self.entries = -(-pairs * self.heads // max(1, self.rows))

    def parts(self, count: int) -> list[ViewPlan]:
        """At most `count` plans of some scenes each."""
        first, last = int(self._numbers[FIRST]), int(self._numbers[LAST])
        edges = np.unique(np.linspace(first, last, count + 1).astype(np.int64))
        made = []
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            numbers = self._numbers.copy()
            numbers[FIRST], numbers[LAST] = begin, end
            made.append(ViewPlan(numbers, 0))
        return made

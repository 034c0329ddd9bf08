"""Plans: how the logits and masks of a call lie in memory, as eight numbers a kernel reads.

A plan depends on shapes and strides only, so one made for a batch shape serves every later
call of that shape: a kernel call then hands over a few addresses. A part of a plan covers some
of the rows, for one thread.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# What `mask_kind` may be: everything is allowed; a byte for each entry; bits, lowest first.
NO_MASK, BYTES, BITS = range(3)


class Plan:
    """Segments of a call: `rows` rows of logits, each cut into heads by `offsets`.

    Args:
        rows: How many rows there are. One ragged batch is a single row.
        offsets: int64 `[K + 1]`, from 0 and not decreasing: head k of each row is its entries
            `offsets[k]` up to `offsets[k + 1]`. Kept, not copied, if it is such an array.
        row_stride: Elements from one row of logits to the next; a row lies together.
        mask_kind: `NO_MASK`, `BYTES` or `BITS`.
        mask_stride: Bytes from one row of the mask to the next; 0 is one mask for all rows.

    Attributes:
        address: What kernels take.
        rows, heads, entries: How many there are, entries in one row.
    """

    __slots__ = ("_numbers", "_offsets", "_parts", "address", "entries", "heads", "rows")

    def __init__(
        self,
        rows: int,
        offsets: npt.ArrayLike,
        row_stride: int,
        mask_kind: int,
        mask_stride: int,
    ) -> None:
        self._offsets = np.ascontiguousarray(offsets, np.int64)
        self.rows = rows
        self.heads = self._offsets.size - 1
        self.entries = int(self._offsets[-1])
        last = rows if rows != 1 else self.heads
        place = self._offsets.ctypes.data
        numbers = [rows, self.heads, 0, last, row_stride, mask_stride, mask_kind, place]
        self._numbers = np.array(numbers, np.int64)
        self.address: int = self._numbers.ctypes.data
        self._parts: dict[int, list[Plan]] = {}

    def parts(self, count: int) -> list[Plan]:
        """Cut the plan into at most `count` plans, of rows or of the heads of a single row.

        The addresses that go with each are those of the whole.
        """
        if count not in self._parts:
            first, last = self._numbers[2:4]
            edges = np.unique(np.linspace(first, last, count + 1).astype(np.int64))
            pairs = zip(edges[:-1], edges[1:], strict=True)
            self._parts[count] = [self._between(first, last) for first, last in pairs]
        return self._parts[count]

    def _between(self, first: np.int64, last: np.int64) -> Plan:
        part = object.__new__(Plan)
        part._offsets = self._offsets
        part.rows, part.heads, part.entries = self.rows, self.heads, self.entries
        part._numbers = self._numbers.copy()
        part._numbers[2:4] = first, last
        part.address = part._numbers.ctypes.data
        part._parts = {}
        return part

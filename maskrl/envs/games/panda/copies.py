"""Copies for callers, in memory that earlier callers no longer hold.

A fresh array of a megabyte costs more than the copy itself: the system has to
provide every page of it. So arrays that were handed out are kept in view, and
one that nobody refers to any more, neither directly nor through a view, is
filled again.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

KEPT = 4
"""Arrays of one kind that are kept in view; a caller who holds more gets fresh ones."""


class CopyPool:
    """Hands out copies of arrays of one shape and dtype."""

    def __init__(self) -> None:
        self._handed_out: list[npt.NDArray[Any]] = [np.empty(0)]
        # What the count is when nobody else holds an array, whatever this interpreter counts.
        self._unheld = self._references(0)
        self._handed_out.clear()

    def _references(self, index: int) -> int:
        return sys.getrefcount(self._handed_out[index])

    def copy(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A copy of `array` that shares memory with nothing that a caller still holds."""
        for index in range(len(self._handed_out)):
            if self._references(index) == self._unheld:
                free = self._handed_out[index]
                same = free.shape == array.shape and free.dtype == array.dtype
                if same and free.flags.writeable:
                    np.copyto(free, array)
                    return free
        fresh = array.copy()
        self._handed_out.append(fresh)
        del self._handed_out[:-KEPT]
        return fresh

"""Arrays for callers, in memory that earlier callers no longer hold.

A fresh array of a megabyte costs more than filling it: the system has to
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
    """Hands out arrays of one shape and dtype, or copies of arrays."""

    def __init__(self) -> None:
        self._handed_out: list[npt.NDArray[Any]] = [np.empty(0)]
        # What the count is when nobody else holds an array, whatever this interpreter counts.
        self._unheld = self._references(0)
        self._handed_out.clear()

    def _references(self, index: int) -> int:
        return sys.getrefcount(self._handed_out[index])

    def take(self, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of the shape and dtype of `like` that no caller holds, to be filled.

        What is in it is left over from earlier callers, or zero.
        """
        for index in range(len(self._handed_out)):
            if self._references(index) == self._unheld:
                free = self._handed_out[index]
                same = free.shape == like.shape and free.dtype == like.dtype
                if same and free.flags.carray:  # contiguous and writeable, as it was
                    return free
        fresh = np.zeros_like(like)
        self._handed_out.append(fresh)
        del self._handed_out[:-KEPT]
        return fresh

    def copy(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A copy of `array` that shares memory with nothing that a caller still holds."""
        free = self.take(array)
        np.copyto(free, array)
        return free

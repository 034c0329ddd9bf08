"""A sum tree: numbers that are drawn in proportion to their size, and change all the time.

A complete binary tree in one array: leaf i stands at `leaves + i`, node k is the sum of
nodes 2k and 2k + 1. Sums are made anew from both children on every change, so that they do
not drift, and a draw walks down by them, so that a leaf of 0 is never reached.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(nogil=True, cache=True)
def _write(tree, leaves, index, numbers):  # type: ignore[no-untyped-def]
    for i in range(index.shape[0]):
        node = leaves + index[i]
        tree[node] = numbers[i]
        while node > 1:
            node >>= 1
            tree[node] = tree[2 * node] + tree[2 * node + 1]


@njit(nogil=True, cache=True)
def _find(tree, leaves, targets, found):  # type: ignore[no-untyped-def]
    for i in range(targets.shape[0]):
        target = targets[i] * tree[1]
        node = 1
        while node < leaves:
            node *= 2
            left, right = tree[node], tree[node + 1]
            # Rounding may carry a target beyond the left sum, or beyond both: never into a 0.
            if right > 0.0 and (target >= left or left <= 0.0):
                target -= left
                node += 1
        found[i] = node - leaves


class SumTree:
    """`size` numbers, at first all 0, of which positions are drawn in proportion.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._leaves = 1 << max(0, size - 1).bit_length()
        self._tree = np.zeros(2 * self._leaves, np.float64)

    @property
    def total(self) -> float:
        """The sum of all numbers."""
        return float(self._tree[1])

    def __getitem__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The numbers at some positions."""
        numbers: npt.NDArray[np.float64] = self._tree[self._leaves + index]
        return numbers

    def write(self, index: npt.NDArray[np.int64], numbers: npt.NDArray[np.float64] | float) -> None:
        """Set the numbers, none of them negative, at positions below `size`."""
        index = np.ascontiguousarray(index, np.int64)
        values = np.ascontiguousarray(np.broadcast_to(numbers, index.shape), np.float64)
        _write(self._tree, self._leaves, index, values)

    def find(self, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The positions at which the running sum passes these shares of the total.

        Args:
            shares: float64 `[n]` in [0, 1).

        Returns:
            int64 `[n]`: positions of numbers that are not 0, if there is any.
        """
        found = np.empty(len(shares), np.int64)
        _find(self._tree, self._leaves, np.ascontiguousarray(shares, np.float64), found)
        return found

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """All numbers, a view."""
        return self._tree[self._leaves : self._leaves + self.size]

"""Sets of cells as bits, for whoever puts things on a grid: free cells, and what connects.

A layout is drawn by taking random cells out of the set of free ones, from among those that
can be reached. A set is uint64 [words], bit `c % 64` of word `c // 64` for cell c.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.random_stream import below


@njit(inline="always", **KERNEL)
def has_cell(cells, cell):
    """Whether a bit set of cells, uint64 [words], holds a cell."""
    return (cells[cell >> 6] >> np.uint64(cell & 63)) & np.uint64(1) != np.uint64(0)


@njit(**PART)
def take_cell(key, counter, cell_count, free, among):
    """Take a random free cell that is also in `among`: (cell, next counter).

    The cell is -1 when 64 draws all failed.
    """
    for _ in range(64):
        cell = below(key, counter, cell_count)
        counter += np.uint64(1)
        if has_cell(free, cell) and has_cell(among, cell):
            free[cell >> 6] &= ~(np.uint64(1) << np.uint64(cell & 63))
            return cell, counter
    return -1, counter


@njit(**PART)
def flood(start, free, reached, grid):
    """Write the cells that free cells connect to `start`, as bits: uint64 [words].

    All cells reached so far step in all four directions at once, until nothing is new.
    """
    words = free.shape[0]
    width = np.uint64(grid.width)
    rest = np.uint64(64) - width
    one = np.uint64(1)
    reached[:] = np.uint64(0)
    reached[start >> 6] = one << np.uint64(start & 63)
    growing = True
    while growing:
        growing = False
        for word in range(words):
            here = reached[word]
            before = reached[word - 1] if word > 0 else np.uint64(0)
            after = reached[word + 1] if word < words - 1 else np.uint64(0)
            grown = here | (here << width) | (here >> width) | (before >> rest) | (after << rest)
            grown |= ((here << one) | (before >> np.uint64(63))) & grid.has_left[word]
            grown |= ((here >> one) | (after << np.uint64(63))) & grid.has_right[word]
            grown = (grown & free[word]) | here
            if grown != here:
                reached[word] = grown
                growing = True

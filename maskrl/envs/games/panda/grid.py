"""The empty grid as tables: neighbours, distances, greedy steps, sight lines.

They depend on width and height alone and are filled once by what `rules` defines.
A step then looks up instead of computing: dividing by the width, over and over, was
most of its time. Cells are `y * width + x`; `OUTSIDE` is no cell.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.panda.rules import distance, greedy_steps, neighbour
from maskrl.geometry import cell_bits, cells_between


class Grid(NamedTuple):
    """What the rules know of a grid before anything stands on it; the arrays are read-only.

    Attributes:
        width: Cells in a row.
        height: Cells in a column.
        ahead: int32 [cells, 4], the cell one step `UP`, `DOWN`, `LEFT`, `RIGHT`, or `OUTSIDE`.
        steps: int32 [cells, cells], steps between two cells, trees ignored.
        towards: int32 [cells, cells, 2], from the first cell the greedy step to the second:
            the cell along the longer axis, and the one along the other or `OUTSIDE`.
        between: uint64 [cells, cells, words], sight lines of `geometry.cells_between`.
        all_cells: uint64 [words], a bit for every cell.
        has_left: uint64 [words], a bit for every cell but those of the first column.
        has_right: uint64 [words], a bit for every cell but those of the last column.
    """

    width: int
    height: int
    ahead: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    towards: npt.NDArray[np.int32]
    between: npt.NDArray[np.uint64]
    all_cells: npt.NDArray[np.uint64]
    has_left: npt.NDArray[np.uint64]
    has_right: npt.NDArray[np.uint64]


@njit(cache=True)
def _fill(ahead, steps, towards, width, height):
    for cell in range(width * height):
        for direction in range(4):
            ahead[cell, direction] = neighbour(cell, direction, width, height)
        for other in range(width * height):
            steps[cell, other] = distance(cell, other, width)
            first, second = greedy_steps(cell, other, width, height)
            towards[cell, other, 0] = first
            towards[cell, other, 1] = second


@lru_cache(maxsize=16)
def grid_tables(width: int, height: int) -> Grid:
    """The tables of one size of grid, computed once.

    >>> grid_tables(5, 5).ahead[0].tolist()  # from the corner: only down and right
    [-1, 5, -1, 1]
    """
    cells = width * height
    ahead = np.empty((cells, 4), np.int32)
    steps = np.empty((cells, cells), np.int32)
    towards = np.empty((cells, cells, 2), np.int32)
    _fill(ahead, steps, towards, width, height)
    column = np.arange(cells) % width
    sets = (cell_bits(column >= 0), cell_bits(column > 0), cell_bits(column < width - 1))
    for table in (ahead, steps, towards, *sets):
        table.setflags(write=False)
    return Grid(width, height, ahead, steps, towards, cells_between(width, height), *sets)

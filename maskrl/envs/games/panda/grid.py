"""The empty grid as tables: neighbours, distances, greedy steps, sight lines, limits of view.

They depend on the settings alone and are filled once by what `rules` defines. A step
then looks up instead of computing: dividing by the width, over and over, was most of
its time. Cells are `y * width + x`; `OUTSIDE` is no cell. How far and how wide somebody
sees depends on the offset between two cells, so it is kept by offset.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.panda.rules import distance, greedy_steps, neighbour
from maskrl.envs.games.panda.settings import (
    ALL_AROUND,
    DIRECTIONS,
    ENTITY_TYPES,
    WITH_EYES,
    PandaSettings,
)
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
        offsets: int64 [cells], number of a cell as an offset: of b minus that of a, plus
            `middle`, is the number of the way from a to b.
        middle: Number of the way from a cell to itself.
        limited: Whether anybody's view is limited at all.
        in_view: bool [types, 4, ways], whether an entity of this type that faces this way
            looks as far and as wide as that; trees are another matter.
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
    offsets: npt.NDArray[np.int64]
    middle: int
    limited: bool
    in_view: npt.NDArray[np.bool_]


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
    offsets = (np.arange(cells) // width) * (2 * width - 1) + column
    middle = (height - 1) * (2 * width - 1) + width - 1
    ways = (2 * width - 1) * (2 * height - 1)
    in_view = np.ones((len(ENTITY_TYPES), len(DIRECTIONS), ways), np.bool_)
    for table in (ahead, steps, towards, *sets, offsets, in_view):
        table.setflags(write=False)
    between = cells_between(width, height)
    return Grid(
        width, height, ahead, steps, towards, between, *sets, offsets, middle, False, in_view
    )


@lru_cache(maxsize=16)
def world_grid(settings: PandaSettings) -> Grid:
    """The tables of a world: those of its size, and how far and wide everybody sees.

    >>> grid = world_grid(PandaSettings(width=5, height=5, panda_view_radius=1))
    >>> int(grid.in_view[0, 0].sum())  # the panda's own cell and those beside it
    5
    """
    grid = grid_tables(settings.width, settings.height)
    limits = [(settings.view_radius(who), settings.field_of_view(who)) for who in WITH_EYES]
    if all(limit == (None, ALL_AROUND) for limit in limits):
        return grid
    in_view = grid.in_view.copy()
    way = np.arange(in_view.shape[-1])
    span = 2 * settings.width - 1
    x, y = way % span - (settings.width - 1), way // span - (settings.height - 1)
    for who, (radius, degrees) in zip(WITH_EYES, limits, strict=True):
        for facing, (ahead_x, ahead_y) in enumerate(((0, -1), (0, 1), (-1, 0), (1, 0))):
            # The angle between where it faces and the way there, 0 on its own cell.
            turned = np.arctan2(np.abs(ahead_x * y - ahead_y * x), ahead_x * x + ahead_y * y)
            seen = np.degrees(turned) <= degrees / 2 + 1e-9
            seen[grid.middle] = True
            if radius is not None:
                seen &= np.abs(x) + np.abs(y) <= radius
            in_view[ENTITY_TYPES.index(who), facing] = seen
    in_view.setflags(write=False)
    return grid._replace(limited=True, in_view=in_view)

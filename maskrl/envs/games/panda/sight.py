"""Who sees whom in one world, kept between steps: one sight line per unordered pair.

`write_sight` traces every pair when an episode begins. Within an episode trees and
the watermelon stay where they are, so `update_sight` traces only the lines of those
who moved, each pair once, and clears the row and column of a banana that was taken.
The scorpion is an ambusher: trees hide it and do not blind it.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.panda.compiling import KERNEL, PART
from maskrl.envs.games.panda.rules import sees
from maskrl.envs.games.panda.settings import DRAGON, PANDA, SCORPION


@njit(**KERNEL)
def write_sight(cells, trees, grid, full_sight, visibility):
    """Write who may attend to whom.

    Args:
        cells: int32 [E], the cell of every entity, -1 for padding.
        trees: uint64 [words].
        grid: Tables of `grid_tables`.
        full_sight: True makes everything that is there visible to everybody.
        visibility: bool [E, E], overwritten: entity i may attend to entity j.
    """
    visibility[:] = False
    for i in range(cells.shape[0]):
        if cells[i] < 0:
            continue
        visibility[i, i] = True
        for j in range(i):
            if cells[j] >= 0:
                clear = full_sight or sees(cells[i], cells[j], trees, grid)
                visibility[i, j] = clear or i == SCORPION
                visibility[j, i] = clear or j == SCORPION


@njit(inline="always", **KERNEL)
def _retrace(i, j, cells, trees, grid, visibility):
    """Trace the line of one pair anew; i is there, j may be padding."""
    there = cells[j] >= 0
    clear = there & sees(cells[i], max(cells[j], 0), trees, grid)
    visibility[i, j] = clear | (there & (i == SCORPION))
    visibility[j, i] = clear | (there & (j == SCORPION))


@njit(**PART)
def update_sight(cells, trees, grid, moved, bananas_end, full_sight, visibility):
    """Bring `visibility` of the step before up to date.

    Args:
        cells: int32 [E], the cell of every entity, -1 for padding.
        trees: uint64 [words].
        grid: Tables of `grid_tables`.
        moved: Whether panda, scorpion and dragon moved, as a tuple.
        bananas_end: The slot behind that of the last banana.
        full_sight: True makes everything that is there visible to everybody.
        visibility: bool [E, E], brought up to date.
    """
    panda_moved, scorpion_moved, dragon_moved = moved
    for slot in range(DRAGON + 1, bananas_end):
        if (cells[slot] < 0) & visibility[slot, slot]:  # at once, as bananas are rarely taken
            visibility[slot, :] = False
            visibility[:, slot] = False
    if full_sight:
        return
    count = cells.shape[0]
    if panda_moved:
        for j in range(PANDA + 1, count):
            _retrace(PANDA, j, cells, trees, grid, visibility)
    if scorpion_moved:
        for j in range(PANDA + 1 if panda_moved else PANDA, count):
            if j != SCORPION:
                _retrace(SCORPION, j, cells, trees, grid, visibility)
    if dragon_moved:
        for j in range(PANDA + 1 if panda_moved else PANDA, count):
            if j != DRAGON and not (j == SCORPION and scorpion_moved):
                _retrace(DRAGON, j, cells, trees, grid, visibility)

"""Who sees whom in one world, kept between steps: one sight line per unordered pair.

`write_sight` traces every pair when an episode begins. Within an episode trees and
the watermelon stay where they are, so `update_sight` traces only the lines of those
who moved, each pair once, and clears the row and column of a banana that was taken.
A scorpion is an ambusher: trees hide it and do not blind it. Where views are limited,
one may see another who does not see it back.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.panda.cast import facing_of
from maskrl.envs.games.panda.rules import looks_at, sees
from maskrl.envs.games.panda.settings import SCORPION


@njit(inline="always", **KERNEL)
def _retrace(i, j, cells, state, trees, view, visibility):
    """Trace the line of one pair anew; i is there, j may be padding."""
    grid = view.grid
    there = cells[j] >= 0
    other = max(cells[j], 0)
    clear = there & sees(cells[i], other, trees, grid)
    to = clear | (there & (view.kinds[i] == SCORPION))
    back = clear | (there & (view.kinds[j] == SCORPION))
    if grid.limited:
        facing, facing_back = facing_of(i, state, view.cast), facing_of(j, state, view.cast)
        to &= looks_at(view.kinds[i], facing, cells[i], other, grid)
        back &= looks_at(view.kinds[j], facing_back, other, cells[i], grid)
    visibility[i, j] = to
    visibility[j, i] = back


@njit(**KERNEL)
def write_sight(cells, state, trees, view, visibility):
    """Write who may attend to whom.

    Args:
        cells: int32 [E], the cell of every entity, -1 for padding.
        state: int32 [S], for where everybody faces.
        trees: uint64 [words].
        view: Tables of `make_view`; with `full_sight` everything that is there is visible to
            everybody.
        visibility: bool [E, E], overwritten: entity i may attend to entity j.
    """
    visibility[:] = False
    for i in range(cells.shape[0]):
        if cells[i] < 0:
            continue
        visibility[i, i] = True
        for j in range(i):
            if view.full_sight:
                visibility[i, j] = visibility[j, i] = cells[j] >= 0
            else:
                _retrace(i, j, cells, state, trees, view, visibility)


@njit(**PART)
def update_sight(cells, state, trees, view, moved, visibility):
    """Bring `visibility` of the step before up to date.

    Args:
        cells: int32 [E], the cell of every entity, -1 for padding.
        state: int32 [S], for where everybody faces.
        trees: uint64 [words].
        view: Tables of `make_view`.
        moved: bool [E], who stands elsewhere than before.
        visibility: bool [E, E], brought up to date.
    """
    first_banana = view.first_banana
    for slot in range(first_banana, first_banana + view.shown_bananas):
        if (cells[slot] < 0) & visibility[slot, slot]:  # at once, as bananas are rarely taken
            visibility[slot, :] = False
            visibility[:, slot] = False
    if view.full_sight:
        return
    for mover in range(first_banana):
        if moved[mover]:
            for other in range(cells.shape[0]):
                if other != mover and not (other < mover and moved[other]):
                    _retrace(mover, other, cells, state, trees, view, visibility)

"""What one panda sees, as planes of the cells around it: an observation of its own.

The window is centred on the panda and as wide as it can see. A cell that it does not see,
behind a tree or too far, is 0 in every plane, and so is what lies beyond the border. It
holds what the panda's row of `visibility` lets it know, and nothing else.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.rules import sees
from maskrl.envs.games.pandas.settings import ABSENT, NOBODY, PandasSettings

WINDOW_PLANES: Final = ("seen", "ground", "panda", "chewing", "watermelon", "scorpion")
OWN: Final = ("x", "y", "chewing", "time_left")
_SEEN, _GROUND, _PANDA, _CHEWING, _WATERMELON, _SCORPION = range(len(WINDOW_PLANES))


def window_radius(settings: PandasSettings) -> int:
    """Cells from the middle of the window to its edge."""
    longest = max(settings.width, settings.height) - 1
    return longest if settings.sight == "full" else min(max(settings.radii), longest)


@njit(**KERNEL)
def _inside(i, n, x, y, world, facts):
    """Whether panda n sees the cell at (x, y), which may lie beyond the border."""
    grid = facts.grid
    if x < 0 or y < 0 or x >= grid.width or y >= grid.height:
        return False
    if facts.sees_all:
        return True
    own, cell = world.pandas[i, n], y * grid.width + x
    near = grid.steps[own, cell] <= facts.radii[n]
    return near and sees(own, cell, world.trees[i], grid)


@njit(**KERNEL)
def write_window(i, n, world, facts, window, own):
    """Write what panda n of world i sees; all zero of a dead one.

    Args:
        i: Number of the world.
        n: Number of the panda.
        world: Of `empty_world`.
        facts: Of `make_facts`.
        window: float32 [planes, K, K], K odd, overwritten.
        own: float32 [4], its column and row, how long it still chews and the time left, all
            in 0 to 1, overwritten.
    """
    window[:] = 0.0
    own[:] = 0.0
    if world.rest[i, n] < 0:
        return
    width, height = facts.grid.width, facts.grid.height
    side = window.shape[1]
    left = world.pandas[i, n] % width - side // 2
    top = world.pandas[i, n] // width - side // 2
    for row in range(side):
        for column in range(side):
            x, y = left + column, top + row
            if not _inside(i, n, x, y, world, facts):
                continue
            cell = y * width + x
            window[_SEEN, row, column] = 1.0
            window[_GROUND, row, column] = not world.tree_at[i, cell]
            other = world.standing[i, cell]
            if other != NOBODY:
                window[_PANDA, row, column] = 1.0
                chews = np.float32(world.rest[i, other]) / np.float32(max(facts.chew_steps, 1))
                window[_CHEWING, row, column] = chews
    for k in range(world.melons.shape[1]):
        _mark(_WATERMELON, world.melons[i, k], left, top, width, window)
    for s in range(world.scorpions.shape[1]):
        _mark(_SCORPION, world.scorpions[i, s], left, top, width, window)
    own[0] = np.float32(world.pandas[i, n] % width) / np.float32(width - 1)
    own[1] = np.float32(world.pandas[i, n] // width) / np.float32(height - 1)
    own[2] = np.float32(world.rest[i, n]) / np.float32(max(facts.chew_steps, 1))
    if facts.tells_time:
        own[3] = np.float32(facts.step_limit - world.steps[i]) / np.float32(facts.step_limit)


@njit(**KERNEL)
def _mark(plane, cell, left, top, width, window):
    """Mark a cell in a plane where the window sees it."""
    if cell == ABSENT:
        return
    column, row = cell % width - left, cell // width - top
    if 0 <= column < window.shape[2] and 0 <= row < window.shape[1]:
        window[plane, row, column] = window[_SEEN, row, column]

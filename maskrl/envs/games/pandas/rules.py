"""The rules of the pandas' world, as small compiled functions.

Pandas want watermelons and must not be caught. In one step: all pandas that act move at
once; who walked onto a scorpion is caught; who stands on a watermelon eats it and chews
for the next steps; then the scorpions move, one after the other. Environment, script and
planner call the same functions, so they cannot disagree about the rules.

- A move needs a cell on the grid, without a tree, on which no other panda stood when the
  step began. So pandas never share a cell and never swap. Of several that want one cell
  one gets it, each with the same chance, and the others stay.
- A panda that ate chews for `chew_steps` steps: it is alive, does nothing, can be caught.
- A scorpion with a panda within `SCORPION_REACH` steps creeps towards the nearest with
  probability `SCORPION_CREEP`, else it stays; of those equally near it is the one on the
  cell with the lower number. Otherwise it wanders: half of the time it stays, else it
  tries a random direction. Trees do not blind it. It steps on no tree and no watermelon,
  and scorpions pass each other. A panda on its cell is caught.
- A caught panda is dead and gone. With respawn it comes back after so many steps, on a
  random cell where nothing stands and farther from every scorpion than its reach; while
  there is none it waits.
- An episode terminates when no watermelon is left, at once, and when nobody lives and
  nobody comes back. At the step limit it is truncated.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.panda.rules import OUTSIDE, move_number, step_towards
from maskrl.envs.games.panda.settings import SCORPION_CREEP, SCORPION_REACH, SCORPION_WANDER
from maskrl.envs.games.pandas.settings import ABSENT, NOBODY, STAY

GOES_ON, ALL_EATEN, DIED_OUT, OUT_OF_TIME = range(4)
"""What became of an episode in a step: `infos["final_info"]["ending"]`."""
ENDINGS = ("goes on", "all eaten", "died out", "out of time")

_NO_MELON = -2  # `closed` holds the watermelons already


@njit(inline="always", **KERNEL)
def cell_ahead(action, cell, grid):
    """The cell that an action leads to, or `OUTSIDE`."""
    if action == STAY:
        return cell
    return grid.ahead[cell, action - 1]


@njit(inline="always", **KERNEL)
def action_allowed(action, cell, tree_at, standing, grid):
    """Whether a panda on this cell that acts may do this.

    Args:
        action: 0 to 4.
        cell: Where it stands.
        tree_at: bool [cells].
        standing: int32 [cells], which panda stands there, or `NOBODY`.
        grid: Tables of `grid_tables`.
    """
    if action == STAY:
        return True
    ahead = grid.ahead[cell, action - 1]
    return ahead != OUTSIDE and not tree_at[ahead] and standing[ahead] == NOBODY


@njit(**PART)
def nearest_panda(scorpion, pandas, rest, grid):
    """The cell of the living panda that a scorpion creeps towards, or `ABSENT`.

    Args:
        scorpion: The scorpion's cell.
        pandas: int32 [N], cells.
        rest: int32 [N], below 0 where dead.
        grid: Tables of `grid_tables`.
    """
    best = SCORPION_REACH + 1
    goal = np.int32(ABSENT)
    for n in range(pandas.shape[0]):
        if rest[n] < 0:
            continue
        away = grid.steps[scorpion, pandas[n]]
        if away < best or (away == best and away <= SCORPION_REACH and pandas[n] < goal):
            best = away
            goal = pandas[n]
    return goal


@njit(inline="always", **KERNEL)
def _wandered(direction, scorpion, closed, grid):
    """Cell of a scorpion after it tried to wander in a direction."""
    cell = grid.ahead[scorpion, direction]
    return scorpion if cell == OUTSIDE or closed[cell] else cell


@njit(**PART)
def scorpion_step(u, scorpion, goal, closed, grid):
    """Where uniform u makes a scorpion go: towards `goal` if there is one, else anywhere."""
    if goal != ABSENT:
        if move_number(u, 1.0 - SCORPION_CREEP, 1) == 0:
            return scorpion
        return step_towards(scorpion, goal, _NO_MELON, closed, grid)
    move = move_number(u, 1.0 - SCORPION_WANDER, 4)
    return scorpion if move == 0 else _wandered(move - 1, scorpion, closed, grid)


@njit(**KERNEL)
def scorpion_moves(cells, chances, scorpion, goal, closed, grid):
    """Write where a scorpion may be after its move, and how likely; return the count.

    `cells` and `chances` have room for 5 outcomes.
    """
    cells[0] = scorpion
    if goal != ABSENT:
        cells[1] = step_towards(scorpion, goal, _NO_MELON, closed, grid)
        chances[0] = 1.0 - SCORPION_CREEP
        chances[1] = SCORPION_CREEP
        return 2
    chances[0] = 1.0 - SCORPION_WANDER
    for direction in range(4):
        cells[1 + direction] = _wandered(direction, scorpion, closed, grid)
        chances[1 + direction] = SCORPION_WANDER / 4
    return 5

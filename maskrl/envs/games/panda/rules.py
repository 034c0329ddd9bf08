"""The rules of the panda world: what one step does, as small compiled functions.

The panda (one per world) wants the watermelon and must not be caught. In one
step: the panda acts; it picks up a banana that it stands on if its paws are
free; then the dragons and the scorpions move. A creature that shares the panda's
cell while awake has caught it. The environment and the planner call the same
functions, so they cannot disagree about the rules.

- A dragon chases what it sees: with the panda in view it makes, with probability
  `DRAGON_CHASE`, one step towards it. Otherwise it stays.
- A scorpion wanders: half of the time it stays, else it steps in a random
  direction. When the panda is in its view and within `SCORPION_REACH` steps it creeps
  towards it with probability `SCORPION_CREEP`. Trees do not blind it.
- A thrown banana hits the nearest creature that is awake, in the panda's view
  and at most `THROW_RANGE` steps away, and stuns it. Of those equally near it hits a
  dragon before a scorpion, and of one kind the one with the lower number.
  A stunned creature does nothing and wakes with probability `WAKE` per step.
- In view is what no tree stands before, not farther than one's view radius and within
  one's field of view, whose middle is the direction of one's last move (down before the
  first). Radius and field are unlimited unless the settings say otherwise.
- Trees block moves and sight; creatures never step on the watermelon, and pass each
  other.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.panda.settings import (
    CREATURES_ABSENT,
    DOWN,
    DRAGON,
    DRAGON_CHASE,
    FIRST_FACING,
    LEFT,
    PANDA,
    RIGHT,
    S_PANDA,
    SCORPION,
    SCORPION_CREEP,
    SCORPION_REACH,
    SCORPION_WANDER,
    THROW_RANGE,
    UP,
    USE_ITEM,
    WAIT,
)

OUTSIDE = -1
NO_TARGET = -1
NOTHING = np.uint64(0)


@njit(cache=True, inline="always")
def neighbour(cell, direction, width, height):
    """Cell one step away (`UP`, `DOWN`, `LEFT`, `RIGHT`), or `OUTSIDE`."""
    x = cell % width
    y = cell // width
    if direction == UP:
        return cell - width if y > 0 else OUTSIDE
    if direction == DOWN:
        return cell + width if y < height - 1 else OUTSIDE
    if direction == LEFT:
        return cell - 1 if x > 0 else OUTSIDE
    return cell + 1 if x < width - 1 else OUTSIDE


@njit(cache=True, inline="always")
def distance(a, b, width):
    """Steps between two cells along the grid, trees ignored."""
    return abs(a % width - b % width) + abs(a // width - b // width)


@njit(cache=True)
def greedy_steps(start, goal, width, height):
    """Cells of a greedy step: along the longer axis (the row, on ties), then along the other."""
    dx = goal % width - start % width
    dy = goal // width - start // width
    if dx == 0 and dy == 0:
        return OUTSIDE, OUTSIDE
    horizontal = neighbour(start, RIGHT if dx > 0 else LEFT, width, height)
    vertical = neighbour(start, DOWN if dy > 0 else UP, width, height)
    first, second = (horizontal, vertical) if abs(dx) >= abs(dy) else (vertical, horizontal)
    return first, second if dx != 0 and dy != 0 else OUTSIDE


@njit(inline="always", **KERNEL)
def sees(a, b, trees, grid):
    """Whether no tree stands on the sight line from cell a to cell b."""
    blocked = NOTHING
    for word in range(trees.shape[0]):  # without a way out: whether one sees is hard to predict
        blocked |= grid.between[a, b, word] & trees[word]
    return blocked == NOTHING


@njit(inline="always", **KERNEL)
def looks_at(kind, facing, a, b, grid):
    """Whether cell b is as near and as far in front of a as who stands there can see."""
    return grid.in_view[kind, facing, grid.offsets[b] - grid.offsets[a] + grid.middle]


@njit(inline="always", **KERNEL)
def in_view(kind, facing, a, b, trees, grid):
    """Whether an entity of this kind on cell a, that faces there, sees what is on cell b."""
    clear = sees(a, b, trees, grid)
    if grid.limited:
        clear &= looks_at(kind, facing, a, b, grid)
    return clear


@njit(inline="always", **KERNEL)
def _in_reach(facing, scorpion, panda, grid):
    """Whether the panda is so near that the scorpion creeps towards it."""
    near = grid.steps[scorpion, panda] <= SCORPION_REACH
    if grid.limited:
        near &= looks_at(SCORPION, facing, scorpion, panda, grid)
    return near


@njit(inline="always", **KERNEL)
def action_allowed(action, panda, carrying, tree_at, grid):
    """Whether the panda may take this action: no tree or border ahead; a banana to use."""
    if action == WAIT:
        return True
    if action == USE_ITEM:
        return carrying != 0
    cell = grid.ahead[panda, action]
    return cell != OUTSIDE and not tree_at[cell]


@njit(inline="always", **KERNEL)
def _enterable(cell, watermelon, tree_at):
    """Whether a creature may step on a cell: on the grid, no tree, not the watermelon."""
    return (cell != OUTSIDE) & (cell != watermelon) & (not tree_at[cell])


@njit(**PART)
def step_towards(start, goal, watermelon, tree_at, grid):
    """Cell after one greedy step: along the longer axis if free, else the other, else stay."""
    first, second = grid.towards[start, goal, 0], grid.towards[start, goal, 1]
    other = second if _enterable(second, watermelon, tree_at) else start
    return first if _enterable(first, watermelon, tree_at) else other


@njit(inline="always", **KERNEL)
def move_number(u, stay, moves):
    """Which move uniform u selects: 0 with chance `stay`, else one of 1 to `moves` alike."""
    if u < stay:
        return 0
    return 1 + min(int((u - stay) / (1.0 - stay) * moves), moves - 1)


@njit(**PART)
def dragon_step(u, dragon, facing, panda, watermelon, tree_at, trees, grid):
    """Where uniform u makes the dragon go: towards a panda that it sees, or nowhere."""
    if move_number(u, 1.0 - DRAGON_CHASE, 1) == 0:
        return dragon
    if not in_view(DRAGON, facing, dragon, panda, trees, grid):
        return dragon
    return step_towards(dragon, panda, watermelon, tree_at, grid)


@njit(**KERNEL)
def dragon_moves(cells, chances, dragon, facing, panda, watermelon, tree_at, trees, grid):
    """Write where the dragon may be after its move, and how likely; return the count.

    `cells` and `chances` have room for 5 outcomes.
    """
    cells[0] = dragon
    chances[0] = 1.0
    if not in_view(DRAGON, facing, dragon, panda, trees, grid):
        return 1
    cells[1] = step_towards(dragon, panda, watermelon, tree_at, grid)
    chances[0] = 1.0 - DRAGON_CHASE
    chances[1] = DRAGON_CHASE
    return 2


@njit(inline="always", **KERNEL)
def _wandered(direction, scorpion, watermelon, tree_at, grid):
    """Cell of the scorpion after it tried to wander in a direction."""
    cell = grid.ahead[scorpion, direction]
    return cell if _enterable(cell, watermelon, tree_at) else scorpion


@njit(**PART)
def scorpion_step(u, scorpion, facing, panda, watermelon, tree_at, grid):
    """Where uniform u makes the scorpion go: it creeps near the panda, and wanders elsewhere."""
    if _in_reach(facing, scorpion, panda, grid):
        if move_number(u, 1.0 - SCORPION_CREEP, 1) == 0:
            return scorpion
        return step_towards(scorpion, panda, watermelon, tree_at, grid)
    move = move_number(u, 1.0 - SCORPION_WANDER, 4)
    return scorpion if move == 0 else _wandered(move - 1, scorpion, watermelon, tree_at, grid)


@njit(**KERNEL)
def scorpion_moves(cells, chances, scorpion, facing, panda, watermelon, tree_at, grid):
    """Write where the scorpion may be after its move, and how likely; return the count.

    `cells` and `chances` have room for 5 outcomes.
    """
    cells[0] = scorpion
    if _in_reach(facing, scorpion, panda, grid):
        cells[1] = step_towards(scorpion, panda, watermelon, tree_at, grid)
        chances[0] = 1.0 - SCORPION_CREEP
        chances[1] = SCORPION_CREEP
        return 2
    chances[0] = 1.0 - SCORPION_WANDER
    for direction in range(4):
        cells[1 + direction] = _wandered(direction, scorpion, watermelon, tree_at, grid)
        chances[1 + direction] = SCORPION_WANDER / 4
    return 5


@njit(**PART)
def throw_target(state, trees, cast, grid):
    """Number of the creature that a banana thrown now hits, or `NO_TARGET`.

    Args:
        state: int32 [S].
        trees: uint64 [words].
        cast: Columns of the creatures, of `make_cast`.
        grid: Tables of `world_grid`.
    """
    panda = state[S_PANDA]
    facing = np.int64(state[cast.facings[0]]) if cast.faces else FIRST_FACING
    target = NO_TARGET
    nearest = THROW_RANGE + 1
    for creature in cast.order:
        cell = state[cast.cells[creature]]
        if cell != CREATURES_ABSENT and not state[cast.stuns[creature]]:
            away = grid.steps[panda, cell]
            if away < nearest and in_view(PANDA, facing, panda, cell, trees, grid):
                nearest = away
                target = creature
    return target

"""The rules of the panda world: what one step does, as small compiled functions.

The panda (one per world) wants the watermelon and must not be caught. In one
step: the panda acts; it picks up a banana that it stands on if its paws are
free; then the dragon and the scorpion move. A creature that shares the panda's
cell while awake has caught it. The environment and the planner call the same
functions, so they cannot disagree about the rules.

- The dragon chases what it sees: with a clear sight line to the panda it makes,
  with probability `DRAGON_CHASE`, one step towards it. Otherwise it stays.
- The scorpion wanders: half of the time it stays, else it steps in a random
  direction. When the panda comes within `SCORPION_REACH` steps it creeps
  towards it with probability `SCORPION_CREEP`. Trees do not blind it.
- A thrown banana hits the nearest creature that is awake, in the panda's sight
  and at most `THROW_RANGE` steps away (the dragon, on ties), and stuns it.
  A stunned creature does nothing and wakes with probability `WAKE` per step.
- Trees block moves and sight; creatures never step on the watermelon.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.panda.settings import (
    CREATURES_ABSENT,
    DOWN,
    DRAGON,
    DRAGON_CHASE,
    LEFT,
    RIGHT,
    SCORPION,
    SCORPION_CREEP,
    SCORPION_REACH,
    SCORPION_WANDER,
    THROW_RANGE,
    UP,
    USE_ITEM,
    WAIT,
)

NO_TARGET = -1


@njit(cache=True, inline="always")
def neighbour(cell, direction, width, height):
    """Cell one step away (`UP`, `DOWN`, `LEFT`, `RIGHT`), or -1 outside the grid."""
    x = cell % width
    y = cell // width
    if direction == UP:
        return cell - width if y > 0 else -1
    if direction == DOWN:
        return cell + width if y < height - 1 else -1
    if direction == LEFT:
        return cell - 1 if x > 0 else -1
    return cell + 1 if x < width - 1 else -1


@njit(cache=True, inline="always")
def distance(a, b, width):
    """Steps between two cells along the grid, trees ignored."""
    return abs(a % width - b % width) + abs(a // width - b // width)


@njit(cache=True, inline="always")
def sees(a, b, between, trees):
    """Whether no tree stands on the sight line from cell a to cell b."""
    for word in range(trees.shape[0]):  # noqa: SIM110 - a generator would not compile
        if between[a, b, word] & trees[word]:
            return False
    return True


@njit(cache=True, inline="always")
def action_allowed(action, panda, carrying, tree_at, width, height):
    """Whether the panda may take this action: no tree or border ahead; a banana to use."""
    if action == WAIT:
        return True
    if action == USE_ITEM:
        return carrying != 0
    cell = neighbour(panda, action, width, height)
    return cell >= 0 and not tree_at[cell]


@njit(cache=True)
def step_towards(start, goal, watermelon, tree_at, width, height):
    """Cell after one greedy step: along the longer axis if free, else the other, else stay."""
    dx = goal % width - start % width
    dy = goal // width - start // width
    horizontal = RIGHT if dx > 0 else LEFT
    vertical = DOWN if dy > 0 else UP
    first, second = (horizontal, vertical) if abs(dx) >= abs(dy) else (vertical, horizontal)
    shorter = min(abs(dx), abs(dy))
    if dx != 0 or dy != 0:
        cell = neighbour(start, first, width, height)
        if cell >= 0 and not tree_at[cell] and cell != watermelon:
            return cell
        if shorter > 0:
            cell = neighbour(start, second, width, height)
            if cell >= 0 and not tree_at[cell] and cell != watermelon:
                return cell
    return start


@njit(cache=True)
def dragon_moves(cells, chances, dragon, panda, watermelon, tree_at, between, trees, width, height):
    """Write where the dragon may be after its move, and how likely; return the count.

    `cells` and `chances` have room for 5 outcomes.
    """
    cells[0] = dragon
    chances[0] = 1.0
    if not sees(dragon, panda, between, trees):
        return 1
    cells[1] = step_towards(dragon, panda, watermelon, tree_at, width, height)
    chances[0] = 1.0 - DRAGON_CHASE
    chances[1] = DRAGON_CHASE
    return 2


@njit(cache=True)
def scorpion_moves(cells, chances, scorpion, panda, watermelon, tree_at, width, height):
    """Write where the scorpion may be after its move, and how likely; return the count.

    `cells` and `chances` have room for 5 outcomes.
    """
    cells[0] = scorpion
    if distance(scorpion, panda, width) <= SCORPION_REACH:
        cells[1] = step_towards(scorpion, panda, watermelon, tree_at, width, height)
        chances[0] = 1.0 - SCORPION_CREEP
        chances[1] = SCORPION_CREEP
        return 2
    chances[0] = 1.0 - SCORPION_WANDER
    for direction in range(4):
        cell = neighbour(scorpion, direction, width, height)
        free = cell >= 0 and not tree_at[cell] and cell != watermelon
        cells[1 + direction] = cell if free else scorpion
        chances[1 + direction] = SCORPION_WANDER / 4
    return 5


@njit(cache=True)
def pick(cells, chances, count, u):
    """The outcome that uniform u selects among `count` cells with their chances."""
    total = 0.0
    for k in range(count - 1):
        total += chances[k]
        if u < total:
            return cells[k]
    return cells[count - 1]


@njit(cache=True)
def throw_target(panda, scorpion, dragon, scorpion_stunned, dragon_stunned, between, trees, width):
    """Whom a banana thrown from the panda's cell hits: `DRAGON`, `SCORPION` or `NO_TARGET`."""
    target = NO_TARGET
    nearest = THROW_RANGE + 1
    if dragon != CREATURES_ABSENT and not dragon_stunned:
        away = distance(panda, dragon, width)
        if away < nearest and sees(panda, dragon, between, trees):
            nearest = away
            target = DRAGON
    if scorpion != CREATURES_ABSENT and not scorpion_stunned:
        away = distance(panda, scorpion, width)
        if away < nearest and sees(panda, scorpion, between, trees):
            target = SCORPION
    return target

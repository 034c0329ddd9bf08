"""The rules of the outpost: what is allowed and what one command does, as compiled functions.

An outpost is one row of the state table. Each step the player commands one unit; the
others stand still. Environment, masks and planner call the functions below, so they
cannot disagree about the rules.

- Miner and forester walk to the next cell, not into rocks, wolves or out of the grid.
  Empty-handed at its site (mine, grove) either picks up a load; in the base it hands it in.
- The archer shoots a living wolf within `REACH` steps of the base, `TOWER_REACH` with
  the tower built.
- The builder spends the store on a building. A tower stands once, the others as often as
  they can be paid for.
- Waiting is always allowed.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.outpost.settings import (
    ABSENT,
    ARCHER,
    BASE,
    BOUNTY,
    BUILDER,
    CHOICES_OF,
    DELIVERY,
    FORESTER,
    MINER,
    ORE_COST,
    POINTS,
    REACH,
    S_ALIVE,
    S_LOAD,
    S_MINE,
    S_ORE,
    S_ROCKS,
    S_TOWER,
    S_WOLVES,
    S_WOOD,
    SIZE,
    TOWER,
    TOWER_REACH,
    WAIT,
    WOLVES,
    WOOD_COST,
)
from maskrl.envs.games.panda.rules import distance, neighbour


@njit(cache=True, inline="always")
def is_free(state, cell):
    """Whether a mover may stand on a cell: neither rock nor living wolf."""
    if (state[S_ROCKS] >> cell) & 1:
        return False
    for k in range(WOLVES):  # noqa: SIM110 - a generator would not compile
        if state[S_WOLVES + k] == cell and (state[S_ALIVE] >> k) & 1:
            return False
    return True


@njit(cache=True)
def can_move(state, mover, direction):
    """Whether miner or forester may make one step."""
    cell = neighbour(state[mover], direction, SIZE, SIZE)
    return cell != ABSENT and is_free(state, cell)


@njit(cache=True)
def can_shoot(state, wolf):
    """Whether a wolf is alive and near enough."""
    if not (state[S_ALIVE] >> wolf) & 1:
        return False
    reach = TOWER_REACH if state[S_TOWER] else REACH
    return distance(BASE, state[S_WOLVES + wolf], SIZE) <= reach


@njit(cache=True)
def can_build(state, building):
    """Whether the store pays for a building that may still be built."""
    if building == TOWER and state[S_TOWER]:
        return False
    return state[S_ORE] >= ORE_COST[building] and state[S_WOOD] >= WOOD_COST[building]


@njit(cache=True)
def can_choose(state, unit, choice):
    """Whether a unit may be told this choice of its own part of the command."""
    if unit == ARCHER:
        return can_shoot(state, choice)
    if unit == BUILDER:
        return can_build(state, choice)
    return unit == WAIT or can_move(state, unit, choice)


@njit(cache=True)
def can_command(state, unit):
    """Whether a unit has anything to do."""
    for choice in range(CHOICES_OF[unit]):  # noqa: SIM110 - a generator would not compile
        if can_choose(state, unit, choice):
            return True
    return False


@njit(cache=True)
def obey(state, unit, choice):
    """Change the state by one allowed command, the step count apart; the points it gives."""
    if unit == ARCHER:
        state[S_ALIVE] &= ~(1 << choice)
        return BOUNTY
    if unit == BUILDER:
        state[S_ORE] -= ORE_COST[choice]
        state[S_WOOD] -= WOOD_COST[choice]
        if choice == TOWER:
            state[S_TOWER] = 1
        return POINTS[choice]
    if unit in (MINER, FORESTER):
        cell = neighbour(state[unit], choice, SIZE, SIZE)
        state[unit] = cell
        if cell == state[S_MINE + unit]:
            state[S_LOAD + unit] = 1
        elif cell == BASE:
            points = DELIVERY * state[S_LOAD + unit]
            state[S_ORE + unit] += state[S_LOAD + unit]
            state[S_LOAD + unit] = 0
            return points
    return 0

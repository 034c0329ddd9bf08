"""What the commander of an outpost is told: a vector of features, and what is allowed.

The features are places as one-hot planes of the grid, the way from each mover to where
it has to go next, each wolf by itself, and what else counts. The masks are a row for
every head and a table of the directions by unit, both straight from the rules.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.outpost.rules import can_build, can_move, can_shoot
from maskrl.envs.games.outpost.settings import (
    ARCHER,
    BASE,
    BUILDER,
    BUILDING_START,
    BUILDINGS,
    CELLS,
    DIRECTION_START,
    DIRECTIONS,
    MOVERS,
    S_ALIVE,
    S_LOAD,
    S_MINE,
    S_ORE,
    S_ROCKS,
    S_STEP,
    S_TOWER,
    S_WOLVES,
    SIZE,
    TARGET_START,
    WAIT,
    WOLVES,
)

_PLANES = ("miner", "forester", "mine", "grove", "rock", "wolf")
_SPAN = 2 * SIZE - 1  # offsets along one axis, from -(SIZE - 1) to SIZE - 1
_STOCK = 3  # the store tells apart 0, 1, 2 and more of a kind

FEATURES = (
    *(f"{name}_at_{c % SIZE}_{c // SIZE}" for name in _PLANES for c in range(CELLS)),
    *(
        f"{mover}_{axis}_to_goal_is_{offset:+d}"
        for mover in ("miner", "forester")
        for axis in "xy"
        for offset in range(1 - SIZE, SIZE)
    ),
    *(f"{mover}_can_go_{d}" for mover in ("miner", "forester") for d in DIRECTIONS),
    *("miner_carries", "forester_carries"),
    *(f"wolf_{k + 1}_{fact}" for k in range(WOLVES) for fact in ("alive", "at_mine", "at_grove")),
    *(f"wolf_{k + 1}_at_{c % SIZE}_{c // SIZE}" for k in range(WOLVES) for c in range(CELLS)),
    *(f"{kind}_is_{count}" for kind in ("ore", "wood") for count in range(_STOCK)),
    *("tower", "time_left"),
)
"""Names of the entries of the observation vector. A mover's goal is the base while it
carries something, else its site; the planes and facts of wolves show only living ones."""

_GOALS = len(_PLANES) * CELLS
_OPEN = _GOALS + 4 * _SPAN
_LOADS = _OPEN + 2 * len(DIRECTIONS)
_WOLF_FACTS = _LOADS + 2
_WOLF_PLACES = _WOLF_FACTS + 3 * WOLVES
_STORE = _WOLF_PLACES + WOLVES * CELLS
_TOWER = _STORE + 2 * _STOCK
_TIME = _TOWER + 1


@njit(cache=True)
def write_features(state, features, step_limit):
    """Write the features of one state: float32 [len(FEATURES)]."""
    one = np.float32(1.0)
    features[:] = np.float32(0.0)
    for mover in MOVERS:
        at = state[mover]
        features[mover * CELLS + at] = one
        features[(2 + mover) * CELLS + state[S_MINE + mover]] = one
        goal = BASE if state[S_LOAD + mover] else state[S_MINE + mover]
        first = _GOALS + mover * 2 * _SPAN + SIZE - 1
        features[first + goal % SIZE - at % SIZE] = one
        features[first + _SPAN + goal // SIZE - at // SIZE] = one
        for direction in range(len(DIRECTIONS)):
            features[_OPEN + mover * len(DIRECTIONS) + direction] = can_move(
                state, mover, direction
            )
        features[_LOADS + mover] = state[S_LOAD + mover]
        features[_STORE + mover * _STOCK + min(state[S_ORE + mover], _STOCK - 1)] = one
    for cell in range(CELLS):
        features[4 * CELLS + cell] = (state[S_ROCKS] >> cell) & 1
    for k in range(WOLVES):
        if (state[S_ALIVE] >> k) & 1:
            at = state[S_WOLVES + k]
            features[5 * CELLS + at] = one
            features[_WOLF_FACTS + 3 * k] = one
            features[_WOLF_FACTS + 3 * k + 1] = at == state[S_MINE]
            features[_WOLF_FACTS + 3 * k + 2] = at == state[S_MINE + 1]
            features[_WOLF_PLACES + k * CELLS + at] = one
    features[_TOWER] = state[S_TOWER]
    features[_TIME] = np.float32(step_limit - state[S_STEP]) / np.float32(step_limit)


@njit(cache=True)
def write_masks(state, action_mask, direction_table):
    """Write what is allowed: bool [MASK_SIZE], one row per head, and bool [units, directions].

    A unit is allowed where its own part of the command leaves something to choose. The flat
    row of the directions is all True: which of them a mover has is for the table to say.
    """
    action_mask[:] = False
    direction_table[:] = False
    action_mask[WAIT] = True
    action_mask[DIRECTION_START:TARGET_START] = True
    for mover in MOVERS:
        for direction in range(len(DIRECTIONS)):
            if can_move(state, mover, direction):
                direction_table[mover, direction] = True
                action_mask[mover] = True
    for wolf in range(WOLVES):
        if can_shoot(state, wolf):
            action_mask[TARGET_START + wolf] = True
            action_mask[ARCHER] = True
    for building in range(len(BUILDINGS)):
        if can_build(state, building):
            action_mask[BUILDING_START + building] = True
            action_mask[BUILDER] = True

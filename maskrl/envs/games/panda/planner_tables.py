"""What follows from where everybody is, looked up by the planner: moves of creatures, throws.

The rules are those of the environment, called for every combination of places and kept in
tables. A place is a number: the index of a cell times the facings that are told apart,
plus the facing; who is not there has the one place 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.panda.cast import facing_after
from maskrl.envs.games.panda.rules import NO_TARGET, dragon_moves, scorpion_moves, throw_target
from maskrl.envs.games.panda.settings import CREATURES_ABSENT, DRAGON, S_PANDA, SCORPION


@njit(cache=True)
def place_of(cell, before, facing, facings, index_of, grid):
    """Place of somebody who went to a cell from the one before."""
    if facings == 1:
        return index_of[cell]
    return index_of[cell] * facings + facing_after(before, cell, facing, grid)


@njit(cache=True, nogil=True)
def creature_tables(cells_of, index_of, places, facings, watermelon, tree_at, trees, grid):
    """For every panda cell: where each creature may go, as places with chances."""
    count = cells_of.shape[0]
    _, scorpions, dragons = places
    _, scorpion_facings, dragon_facings = facings
    dragon_to = np.zeros((count, dragons), np.int64)
    dragon_chance = np.zeros((count, dragons), np.float32)
    scorpion_to = np.zeros((count, scorpions, 5), np.int64)
    scorpion_chance = np.zeros((count, scorpions, 5), np.float32)
    cells = np.empty(5, np.int64)
    chances = np.empty(5, np.float64)
    for p in range(count):
        panda = cells_of[p]
        for d in range(dragons if dragons > 1 else 0):
            cell, facing = cells_of[d // dragon_facings], d % dragon_facings
            outcomes = dragon_moves(
                cells, chances, cell, facing, panda, watermelon, tree_at, trees, grid
            )
            dragon_to[p, d] = d
            if outcomes == 2:
                dragon_to[p, d] = place_of(cells[1], cell, facing, dragon_facings, index_of, grid)
                dragon_chance[p, d] = chances[1]
        for s in range(scorpions):
            scorpion_to[p, s, :] = s
            if scorpions == 1:
                scorpion_chance[p, s, 0] = 1.0
                continue
            cell, facing = cells_of[s // scorpion_facings], s % scorpion_facings
            outcomes = scorpion_moves(
                cells, chances, cell, facing, panda, watermelon, tree_at, grid
            )
            for k in range(outcomes):
                scorpion_to[p, s, k] = place_of(
                    cells[k], cell, facing, scorpion_facings, index_of, grid
                )
                scorpion_chance[p, s, k] = chances[k]
    return dragon_to, dragon_chance, scorpion_to, scorpion_chance


@njit(cache=True, nogil=True)
def _put(state, cast, kind, cell, facing, stunned):
    """Put the one creature of a kind somewhere in a state."""
    for creature in range(cast.kinds.shape[0]):
        if cast.kinds[creature] == kind:
            state[cast.cells[creature]] = cell
            state[cast.stuns[creature]] = stunned
            if cast.faces:
                state[cast.facings[1 + creature]] = facing


@njit(cache=True, nogil=True)
def throw_targets(start, cells_of, places, facings, trees, cast, grid):
    """Which kind a throw hits: int8 [scorpion stunned, dragon stunned, P, S, D]."""
    pandas, scorpions, dragons = places
    targets = np.empty((2, 2, pandas, scorpions, dragons), np.int8)
    state = start.copy()
    for flags in range(4):
        scorpion_stunned, dragon_stunned = flags // 2, flags % 2
        for p in range(pandas):
            state[S_PANDA] = cells_of[p // facings[0]]
            if cast.faces:
                state[cast.facings[0]] = p % facings[0]
            for s in range(scorpions):
                cell = cells_of[s // facings[1]] if scorpions > 1 else CREATURES_ABSENT
                _put(state, cast, SCORPION, cell, s % facings[1], scorpion_stunned)
                for d in range(dragons):
                    cell = cells_of[d // facings[2]] if dragons > 1 else CREATURES_ABSENT
                    _put(state, cast, DRAGON, cell, d % facings[2], dragon_stunned)
                    hit = throw_target(state, trees, cast, grid)
                    targets[scorpion_stunned, dragon_stunned, p, s, d] = (
                        NO_TARGET if hit == NO_TARGET else cast.kinds[hit]
                    )
    return targets

"""What the panda is told: entities, who is there, who sees whom, what is allowed.

Entity slots are, in order: panda, watermelon, scorpion, dragon, bananas, trees.
A slot that holds nothing (a banana that was taken, a tree fewer) is padding:
all zero, `entity_mask` False. Hidden entities stay in `entities`: it is
`visibility` that keeps them from an observer, so a critic may be omniscient.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.panda.rules import action_allowed, sees
from maskrl.envs.games.panda.settings import (
    ACTIONS,
    BANANA,
    DRAGON,
    PANDA,
    S_BANANAS,
    S_CARRYING,
    S_DRAGON_STUNNED,
    S_PANDA,
    S_SCORPION_STUNNED,
    S_STEP,
    S_TREES,
    SCORPION,
    TREE,
)

_TYPES = 6
_X, _Y, _X_FROM, _Y_FROM, _CARRYING, _STUNNED, _TIME_LEFT = range(_TYPES, _TYPES + 7)


@njit(cache=True)
def write_action_mask(state, blocked, action_mask, width, height):
    """Write what the panda may do now: bool [6]."""
    for action in range(ACTIONS):
        action_mask[action] = action_allowed(
            action, state[S_PANDA], state[S_CARRYING], blocked, width, height
        )


@njit(cache=True)
def _slot_cells(state, cells, banana_slots, shown_bananas, shown_trees):
    """Write the cell of every entity slot, -1 for padding; return nothing."""
    for k in range(4):
        cells[k] = state[k]
    for k in range(shown_bananas):
        cells[4 + k] = state[S_BANANAS + k] if k < banana_slots else -1
    first_tree = S_BANANAS + banana_slots
    for k in range(shown_trees):
        present = k < state[S_TREES]
        cells[4 + shown_bananas + k] = state[first_tree + k] if present else -1


@njit(cache=True)
def write_visibility(cells, trees, between, full_sight, visibility):
    """Write who may attend to whom: bool [E, E].

    One sight line per unordered pair. The scorpion is an ambusher: trees hide it
    and do not blind it. Padding sees nothing and is seen by nobody.
    """
    count = cells.shape[0]
    for i in range(count):
        if cells[i] < 0:
            for j in range(count):
                visibility[i, j] = False
                visibility[j, i] = False
            continue
        visibility[i, i] = True
        for j in range(i + 1, count):
            if cells[j] < 0:
                continue
            clear = full_sight or sees(cells[i], cells[j], between, trees)
            visibility[i, j] = clear or i == SCORPION
            visibility[j, i] = clear or j == SCORPION


@njit(cache=True)
def write_observation(
    state,
    blocked,
    trees,
    between,
    entities,
    entity_mask,
    visibility,
    action_mask,
    cells,
    width,
    height,
    banana_slots,
    shown_bananas,
    shown_trees,
    step_limit,
    full_sight,
    plain_features,
):
    """Write one environment's observation.

    Args:
        state: int32 [S].
        blocked: bool [cells].
        trees: uint64 [words].
        between: uint64 [cells, cells, words] of `geometry.cells_between`.
        entities: float32 [E, F], overwritten.
        entity_mask: bool [E], overwritten.
        visibility: bool [E, E], overwritten.
        action_mask: bool [6], overwritten.
        cells: int64 [E], working space.
        width: Cells in a row.
        height: Cells in a column.
        banana_slots: Banana columns of the state.
        shown_bananas: Entity slots for bananas.
        shown_trees: Entity slots for trees.
        step_limit: Steps of an episode.
        full_sight: True makes everything that is there visible to everybody.
        plain_features: True writes x, y, type as in the founding article.
    """
    _slot_cells(state, cells, banana_slots, shown_bananas, shown_trees)
    write_visibility(cells, trees, between, full_sight, visibility)
    write_action_mask(state, blocked, action_mask, width, height)
    panda_x = state[S_PANDA] % width
    panda_y = state[S_PANDA] // width
    scale_x = np.float32(1.0 / (width - 1))
    scale_y = np.float32(1.0 / (height - 1))
    for slot in range(cells.shape[0]):
        cell = cells[slot]
        row = entities[slot]
        row[:] = np.float32(0.0)
        entity_mask[slot] = cell >= 0
        if cell < 0:
            continue
        if slot < 4:
            kind = slot
        elif slot < 4 + shown_bananas:
            kind = BANANA
        else:
            kind = TREE
        x = cell % width
        y = cell // width
        if plain_features:
            row[0] = x
            row[1] = y
            row[2] = kind
            continue
        row[kind] = np.float32(1.0)
        row[_X] = np.float32(2 * x) * scale_x - np.float32(1.0)
        row[_Y] = np.float32(2 * y) * scale_y - np.float32(1.0)
        row[_X_FROM] = np.float32(x - panda_x) * scale_x
        row[_Y_FROM] = np.float32(y - panda_y) * scale_y
        if kind == PANDA:
            row[_CARRYING] = state[S_CARRYING]
            row[_TIME_LEFT] = np.float32(step_limit - state[S_STEP]) / np.float32(step_limit)
        elif kind == SCORPION:
            row[_STUNNED] = state[S_SCORPION_STUNNED]
        elif kind == DRAGON:
            row[_STUNNED] = state[S_DRAGON_STUNNED]

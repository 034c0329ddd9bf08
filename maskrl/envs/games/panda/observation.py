"""What the panda is told: entities, who is there, who sees whom, what is allowed.

`write_observation` writes everything, `update_observation` only what a step can
change; both leave the same numbers. Entity slots are, in order: panda,
watermelon, scorpion, dragon, bananas, trees. A slot that holds nothing (a banana
that was taken, a tree fewer) is padding: all zero, `entity_mask` False. Hidden
entities stay in `entities`: it is `visibility` that keeps them from an observer,
so a critic may be omniscient.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.panda.rules import action_allowed, sees
from maskrl.envs.games.panda.settings import (
    ACTIONS,
    BANANA,
    DRAGON,
    NEAR_STEPS,
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
_X, _Y, _X_FROM, _Y_FROM, _CARRYING, _STUNNED, _TIME_LEFT, _X_STEPS = range(_TYPES, _TYPES + 8)
_Y_STEPS = _X_STEPS + 2 * NEAR_STEPS + 1
_END = _Y_STEPS + 2 * NEAR_STEPS + 1


@njit(cache=True)
def write_action_mask(state, tree_at, action_mask, width, height):
    """Write what the panda may do now: bool [6]."""
    for action in range(ACTIONS):
        action_mask[action] = action_allowed(
            action, state[S_PANDA], state[S_CARRYING], tree_at, width, height
        )


@njit(cache=True)
def _slot_cell(slot, state, banana_slots, shown_bananas):
    """Cell of what an entity slot shows, -1 for padding."""
    if slot < 4:
        return state[slot]
    banana = slot - 4
    if banana < shown_bananas:
        return state[S_BANANAS + banana] if banana < banana_slots else -1
    tree = banana - shown_bananas
    return state[S_BANANAS + banana_slots + tree] if tree < state[S_TREES] else -1


@njit(cache=True)
def _write_sight(i, first, cells, trees, between, full_sight, visibility):
    """Write who may attend to whom for entity i and the entities from `first` on.

    One sight line per unordered pair. The scorpion is an ambusher: trees hide it
    and do not blind it. Padding is skipped.
    """
    for j in range(first, cells.shape[0]):
        if cells[j] >= 0 and j != i:
            clear = full_sight or sees(cells[i], cells[j], between, trees)
            visibility[i, j] = clear or i == SCORPION
            visibility[j, i] = clear or j == SCORPION


@njit(cache=True)
def _write_place(row, cell, panda_cell, width, height):
    """Write where an entity stands, absolutely and from the panda."""
    scale_x = np.float32(1.0 / (width - 1))
    scale_y = np.float32(1.0 / (height - 1))
    x = cell % width
    y = cell // width
    row[_X] = np.float32(2 * x) * scale_x - np.float32(1.0)
    row[_Y] = np.float32(2 * y) * scale_y - np.float32(1.0)
    x_steps = x - panda_cell % width
    y_steps = y - panda_cell // width
    row[_X_FROM] = np.float32(x_steps) * scale_x
    row[_Y_FROM] = np.float32(y_steps) * scale_y
    row[_X_STEPS:_END] = np.float32(0.0)
    row[_X_STEPS + min(max(x_steps, -NEAR_STEPS), NEAR_STEPS) + NEAR_STEPS] = np.float32(1.0)
    row[_Y_STEPS + min(max(y_steps, -NEAR_STEPS), NEAR_STEPS) + NEAR_STEPS] = np.float32(1.0)


@njit(cache=True)
def _write_condition(entities, state, step_limit):
    """Write what changes without moving: carried item, stuns, time left."""
    entities[PANDA, _CARRYING] = state[S_CARRYING]
    entities[PANDA, _TIME_LEFT] = np.float32(step_limit - state[S_STEP]) / np.float32(step_limit)
    entities[SCORPION, _STUNNED] = state[S_SCORPION_STUNNED]
    entities[DRAGON, _STUNNED] = state[S_DRAGON_STUNNED]


@njit(cache=True)
def write_observation(
    state,
    tree_at,
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
    step_limit,
    full_sight,
    plain_features,
):
    """Write one environment's observation.

    Args:
        state: int32 [S].
        tree_at: bool [cells].
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
    count = cells.shape[0]
    panda_cell = state[S_PANDA]
    entities[:] = np.float32(0.0)
    visibility[:] = False
    for slot in range(count):
        cell = _slot_cell(slot, state, banana_slots, shown_bananas)
        cells[slot] = cell
        entity_mask[slot] = cell >= 0
        if cell < 0:
            continue
        visibility[slot, slot] = True
        kind = slot
        if slot >= 4:
            kind = BANANA if slot < 4 + shown_bananas else TREE
        if plain_features:
            entities[slot, 0] = cell % width
            entities[slot, 1] = cell // width
            entities[slot, 2] = kind
        else:
            entities[slot, kind] = np.float32(1.0)
            _write_place(entities[slot], cell, panda_cell, width, height)
    for slot in range(count):
        if cells[slot] >= 0:
            _write_sight(slot, slot + 1, cells, trees, between, full_sight, visibility)
    if not plain_features:
        _write_condition(entities, state, step_limit)
    write_action_mask(state, tree_at, action_mask, width, height)


@njit(cache=True)
def update_observation(
    state,
    tree_at,
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
    step_limit,
    full_sight,
    plain_features,
    panda_moved,
):
    """Bring one environment's observation of the step before up to date.

    Within an episode only the panda and the creatures move, and only bananas
    vanish. Arguments are those of `write_observation`, and `panda_moved`: whether
    offsets from the panda changed.
    """
    count = cells.shape[0]
    panda_cell = state[S_PANDA]
    for slot in range(count):
        cell = _slot_cell(slot, state, banana_slots, shown_bananas)
        cells[slot] = cell
        if cell < 0:
            if entity_mask[slot]:
                entity_mask[slot] = False
                entities[slot, :] = np.float32(0.0)
                visibility[slot, :] = False
                visibility[:, slot] = False
        elif plain_features:
            entities[slot, 0] = cell % width
            entities[slot, 1] = cell // width
        elif panda_moved or slot in (SCORPION, DRAGON):
            _write_place(entities[slot], cell, panda_cell, width, height)
    if not full_sight:
        for slot in (PANDA, SCORPION, DRAGON):
            if cells[slot] >= 0:
                _write_sight(
                    slot, 0 if slot == PANDA else 1, cells, trees, between, full_sight, visibility
                )
    if not plain_features:
        _write_condition(entities, state, step_limit)
    write_action_mask(state, tree_at, action_mask, width, height)

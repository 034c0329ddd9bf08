"""What the panda is told: entities, who is there, who sees whom, what is allowed.

Entity slots are, in order: panda, watermelon, scorpions, dragons, bananas, trees. A
slot that holds nothing (a banana that was taken, a tree fewer) is padding: all
zero, `entity_mask` False. Hidden entities stay in `entities`: it is `visibility`
that keeps them from an observer, so a critic may be omniscient. Features that
depend on where an entity stands are looked up in tables, so that the whole
observation is written anew in every step, straight into the caller's array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART, copy_block
from maskrl.envs.games.panda.cast import FIRST_CREATURE, Cast, facing_of, make_cast
from maskrl.envs.games.panda.grid import Grid, world_grid
from maskrl.envs.games.panda.rules import action_allowed
from maskrl.envs.games.panda.settings import (
    ACTIONS,
    BANANA,
    DEFAULT_FEATURES,
    NEAR_STEPS,
    PANDA,
    S_BANANAS,
    S_CARRYING,
    S_PANDA,
    S_STEP,
    S_TREES,
    S_WATERMELON,
    TREE,
    WATERMELON,
    PandaSettings,
)

_TYPES = 6
_COLUMNS = len(DEFAULT_FEATURES)
_X, _Y, _X_FROM, _Y_FROM, _CARRYING, _STUNNED, _TIME_LEFT, _X_STEPS = range(_TYPES, _TYPES + 8)
_Y_STEPS = _X_STEPS + 2 * NEAR_STEPS + 1


class View(NamedTuple):
    """What the writing of observations needs to know of a world; it never changes.

    Attributes:
        grid: Tables of the empty grid.
        cast: Columns of the creatures.
        kinds: int64 [E], the type of each slot.
        places: float32 [P, F], feature rows by offset from the panda, x and y left 0;
            the last row, of padding, is all zero.
        middle: Row of `places` of no offset.
        offsets: int64 [cells + 1], number of a cell as an offset: entity minus panda, plus
            `middle`, is a row of `places`. The last entry, of padding, is beyond all rows.
        spots: float32 [cells + 1, 3], 1 and features x and y of every cell; the last row,
            of padding, is all zero.
        first_banana: Entity slot behind that of the last creature.
        banana_slots: Banana columns of the state.
        shown_bananas: Entity slots for bananas.
        step_limit: Steps of an episode.
        full_sight: Whether everything is visible.
        tells_time: Whether the panda is told how much time is left.
        plain: Whether entities are x, y, type as in the founding article.
    """

    grid: Grid
    cast: Cast
    kinds: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    middle: int
    offsets: npt.NDArray[np.int64]
    spots: npt.NDArray[np.float32]
    first_banana: int
    banana_slots: int
    shown_bananas: int
    step_limit: int
    full_sight: bool
    tells_time: bool
    plain: bool


def make_view(settings: PandaSettings) -> View:
    """The tables of one world's observations."""
    width, height, plain = settings.width, settings.height, settings.features == "xyt"
    shown_bananas = 0 if plain else settings.max_bananas
    cast = make_cast(settings)
    first_banana = FIRST_CREATURE + len(cast.kinds)
    kinds = np.full(settings.entity_slots, TREE, np.int64)
    kinds[:first_banana] = (PANDA, WATERMELON, *cast.kinds)
    kinds[first_banana : first_banana + shown_bananas] = BANANA
    x, y = np.arange(settings.cells) % width, np.arange(settings.cells) // width
    scale = (1.0 / np.array([width - 1, height - 1])).astype(np.float32)
    spots = np.zeros((settings.cells + 1, 3), np.float32)
    spots[:-1, 0] = 1.0
    spots[:-1, 1:] = 2 * np.stack([x, y], axis=1).astype(np.float32) * scale - np.float32(1.0)
    span = 2 * width - 1
    places = np.zeros((span * (2 * height - 1) + 1, _COLUMNS), np.float32)
    for row, place in enumerate(places[:-1]):
        steps = np.array([row % span - (width - 1), row // span - (height - 1)])
        place[[_X_FROM, _Y_FROM]] = steps.astype(np.float32) * scale
        near = np.clip(steps, -NEAR_STEPS, NEAR_STEPS) + NEAR_STEPS
        place[[_X_STEPS + near[0], _Y_STEPS + near[1]]] = 1.0
    return View(
        grid=world_grid(settings),
        cast=cast,
        kinds=kinds,
        places=places,
        middle=(height - 1) * span + width - 1,
        offsets=np.append(y * span + x, 2 * len(places)).astype(np.int64),
        spots=spots,
        first_banana=first_banana,
        banana_slots=settings.banana_slots,
        shown_bananas=shown_bananas,
        step_limit=settings.step_limit,
        full_sight=settings.sight == "full",
        tells_time=settings.tells_time,
        plain=plain,
    )


@njit(**KERNEL)
def locate(state, view, cells, moved):
    """Write the cell of what every entity slot shows, -1 for padding: int32 [E]."""
    first_tree = view.first_banana + view.shown_bananas
    relocate(state, view, cells, moved)
    for k in range(cells.shape[0] - first_tree):
        there = k < state[S_TREES]
        cells[first_tree + k] = state[S_BANANAS + view.banana_slots + k] if there else -1


@njit(inline="always", **KERNEL)
def _relocate_one(slot, cell, cells, moved):
    moved[slot] = cells[slot] != cell
    cells[slot] = cell


@njit(**PART)
def relocate(state, view, cells, moved):
    """Bring the cells of the step before up to date: trees stay where they are.

    Args:
        state: int32 [S].
        view: Tables of `make_view`.
        cells: int32 [E], the cell of every entity, brought up to date.
        moved: bool [E], written for panda, watermelon and creatures: it stands elsewhere.
    """
    _relocate_one(PANDA, state[S_PANDA], cells, moved)
    _relocate_one(WATERMELON, state[S_WATERMELON], cells, moved)
    for creature in range(view.cast.cells.shape[0]):
        cell = state[view.cast.cells[creature]]
        _relocate_one(FIRST_CREATURE + creature, cell, cells, moved)
    for k in range(view.shown_bananas):
        cells[view.first_banana + k] = state[S_BANANAS + k] if k < view.banana_slots else -1


@njit(**PART)
def write_action_mask(state, tree_at, grid, action_mask):
    """Write what the panda may do now: bool [6]."""
    for action in range(ACTIONS):
        action_mask[action] = action_allowed(
            action, state[S_PANDA], state[S_CARRYING], tree_at, grid
        )


@njit(**PART)
def _write_plain(cells, view, i, entities, entity_mask):
    """Write x, y, type of every entity."""
    width = view.grid.width
    for slot in range(cells.shape[0]):
        cell = cells[slot]
        there = cell >= 0
        entity_mask[i, slot] = there
        entities[i, slot, 0] = cell % width if there else 0
        entities[i, slot, 1] = cell // width if there else 0
        entities[i, slot, 2] = view.kinds[slot] if there else 0


@njit(**PART)
def _write_features(cells, state, view, i, entities, entity_mask):
    """Write the default features of every entity."""
    count = cells.shape[0]
    columns = entities.shape[2]
    nowhere = view.places.shape[0] - 1
    origin = view.middle - view.offsets[state[S_PANDA]]
    for slot in range(count):
        cell = cells[slot]  # of padding -1, and so the last entry of a table
        place = min(view.offsets[cell] + origin, nowhere)
        copy_block(entities, (i * count + slot) * columns, view.places, place * _COLUMNS, _COLUMNS)
        entities[i, slot, view.kinds[slot]] = view.spots[cell, 0]
        entities[i, slot, _X] = view.spots[cell, 1]
        entities[i, slot, _Y] = view.spots[cell, 2]
        entity_mask[i, slot] = cell >= 0
    entities[i, PANDA, _CARRYING] = state[S_CARRYING]
    if view.tells_time:
        left = np.float32(view.step_limit - state[S_STEP])
        entities[i, PANDA, _TIME_LEFT] = left / np.float32(view.step_limit)
    for creature in range(view.cast.stuns.shape[0]):
        stunned = state[view.cast.stuns[creature]]
        entities[i, FIRST_CREATURE + creature, _STUNNED] = stunned
    if view.cast.faces:
        for slot in range(count):
            entities[i, slot, _COLUMNS:] = 0.0
            moves = slot == PANDA or FIRST_CREATURE <= slot < view.first_banana
            if moves and cells[slot] >= 0:
                entities[i, slot, _COLUMNS + facing_of(slot, state, view.cast)] = 1.0


@njit(**PART)
def write_observation(i, state, tree_at, cells, sight, view, observation):
    """Write the observation of world i.

    Args:
        i: Number of the world.
        state: int32 [N, S].
        tree_at: bool [N, cells].
        cells: int32 [N, E], the cell of every entity, of `locate`.
        sight: bool [N, E, E], who sees whom.
        view: Tables of `make_view`.
        observation: entities float32 [N, E, F], entity_mask bool [N, E], visibility bool
            [N, E, E] and action_mask bool [N, 6]; row i of each is overwritten.
    """
    entities, entity_mask, visibility, action_mask = observation
    if view.plain:
        _write_plain(cells[i], view, i, entities, entity_mask)
    else:
        _write_features(cells[i], state[i], view, i, entities, entity_mask)
    pairs = sight.shape[1] * sight.shape[2]
    copy_block(visibility, i * pairs, sight, i * pairs, pairs)
    write_action_mask(state[i], tree_at[i], view.grid, action_mask[i])

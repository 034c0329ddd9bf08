"""What a team is told as a scene: entities, who is there, who sees whom, who may do what.

Entity slots are, in order: pandas, watermelons, scorpions, trees; agent n is entity n. A
slot that holds nothing (a dead panda, an eaten watermelon, a tree fewer) is padding: all
zero, `entity_mask` False. No row holds anything of another entity, so that a policy that
reads an agent's own row of `visibility` knows what this agent sees and nothing else. Only
pandas look: the rows of `visibility` of everything else hold the thing itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import PART
from maskrl.envs.games.panda.rules import sees
from maskrl.envs.games.pandas.rules import action_allowed
from maskrl.envs.games.pandas.settings import (
    ABSENT,
    ACTIONS,
    FEATURES,
    PANDA,
    PLANES,
    SCORPION,
    TREE,
    WATERMELON,
    PandasSettings,
)

_X, _Y, _CHEWING, _TIME_LEFT = (FEATURES.index(name) for name in ("x", "y", "chewing", "time_left"))


class Told(NamedTuple):
    """Arrays that observations of B worlds are written to; those of the other form are empty.

    Attributes:
        entities: float32 [B, E, F].
        entity_mask: bool [B, E].
        visibility: bool [B, E, E], entity i may attend to entity j.
        positions: int32 [B, E, 2], column and row of each entity's cell.
        slot_actions: bool [B, N, A], what each acting panda may do.
        slot_agents: bool [B, N], who acts.
        grid: float32 [B, C, H, W].
        cell_actions: bool [B, A, H, W], the same as `slot_actions` by cell.
        cell_agents: bool [B, H, W], the same as `slot_agents` by cell.
        agent_cells: int64 [B, N], where each living panda stands, else -1.
        alive: bool [B, N].
    """

    entities: npt.NDArray[np.float32]
    entity_mask: npt.NDArray[np.bool_]
    visibility: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.int32]
    slot_actions: npt.NDArray[np.bool_]
    slot_agents: npt.NDArray[np.bool_]
    grid: npt.NDArray[np.float32]
    cell_actions: npt.NDArray[np.bool_]
    cell_agents: npt.NDArray[np.bool_]
    agent_cells: npt.NDArray[np.int64]
    alive: npt.NDArray[np.bool_]


SCENE = {
    "entities": "entities",
    "entity_mask": "entity_mask",
    "visibility": "visibility",
    "positions": "positions",
    "action_mask": "slot_actions",
    "agent_mask": "slot_agents",
    "alive": "alive",
}
"""Entries of a scene's observation, and the field of `Told` that each is kept in."""

GRID = {
    "grid": "grid",
    "action_mask": "cell_actions",
    "agent_mask": "cell_agents",
    "agent_cells": "agent_cells",
    "alive": "alive",
}
"""The same of the grid's observation."""


def room_to_tell(settings: PandasSettings, count: int) -> Told:
    """Arrays for the observations of `count` worlds."""
    pandas, slots = settings.pandas, settings.entity_slots
    scene, grid = (count, 0) if settings.form == "grid" else (0, count)
    scene, grid = (count - scene, count - grid)
    height, width = settings.height, settings.width
    return Told(
        entities=np.zeros((scene, slots, len(FEATURES)), np.float32),
        entity_mask=np.zeros((scene, slots), np.bool_),
        visibility=np.zeros((scene, slots, slots), np.bool_),
        positions=np.zeros((scene, slots, 2), np.int32),
        slot_actions=np.zeros((scene, pandas, ACTIONS), np.bool_),
        slot_agents=np.zeros((scene, pandas), np.bool_),
        grid=np.zeros((grid, len(PLANES), height, width), np.float32),
        cell_actions=np.zeros((grid, ACTIONS, height, width), np.bool_),
        cell_agents=np.zeros((grid, height, width), np.bool_),
        agent_cells=np.zeros((grid, pandas), np.int64),
        alive=np.zeros((count, pandas), np.bool_),
    )


@njit(**PART)
def _put(i, slot, kind, cell, facts, told):
    """Write one entity, or padding."""
    there = cell != ABSENT
    told.entity_mask[i, slot] = there
    for column in range(told.entities.shape[2]):
        told.entities[i, slot, column] = 0.0
    told.positions[i, slot, 0] = 0
    told.positions[i, slot, 1] = 0
    if there:
        width, height = facts.grid.width, facts.grid.height
        x, y = cell % width, cell // width
        told.entities[i, slot, kind] = 1.0
        told.entities[i, slot, _X] = 2 * np.float32(x) / np.float32(width - 1) - 1
        told.entities[i, slot, _Y] = 2 * np.float32(y) / np.float32(height - 1) - 1
        told.positions[i, slot, 0] = x
        told.positions[i, slot, 1] = y


@njit(**PART)
def _look(i, n, slot, cell, world, facts, told):
    """Write whether panda n sees the entity in a slot; n is alive."""
    own = world.pandas[i, n]
    seen = cell != ABSENT
    if seen and not facts.sees_all and slot != n:
        seen = facts.grid.steps[own, cell] <= facts.radii[n]
        if seen:
            seen = sees(own, cell, world.trees[i], facts.grid)
    told.visibility[i, n, slot] = seen


@njit(**PART)
def write_scene(i, world, facts, told):
    """Write the observation of world i as a scene.

    Args:
        i: Number of the world.
        world: Of `empty_world`.
        facts: Of `make_facts`.
        told: Of `room_to_tell`; row i of the arrays of a scene is overwritten.
    """
    pandas = world.pandas.shape[1]
    melons = pandas + world.melons.shape[1]
    scorpions = melons + world.scorpions.shape[1]
    slots = told.entities.shape[1]
    left = np.float32(0)
    if facts.tells_time:
        left = np.float32(facts.step_limit - world.steps[i]) / np.float32(facts.step_limit)
    for n in range(pandas):
        rest = world.rest[i, n]
        cell = world.pandas[i, n] if rest >= 0 else np.int32(ABSENT)
        _put(i, n, PANDA, cell, facts, told)
        told.alive[i, n] = rest >= 0
        told.slot_agents[i, n] = rest == 0
        for action in range(ACTIONS):
            told.slot_actions[i, n, action] = rest == 0 and action_allowed(
                action, cell, world.tree_at[i], world.standing[i], facts.grid
            )
        if rest >= 0:
            told.entities[i, n, _TIME_LEFT] = left
            if rest > 0:
                told.entities[i, n, _CHEWING] = np.float32(rest) / np.float32(facts.chew_steps)
    for k in range(pandas, melons):
        _put(i, k, WATERMELON, world.melons[i, k - pandas], facts, told)
    for k in range(melons, scorpions):
        _put(i, k, SCORPION, world.scorpions[i, k - melons], facts, told)
    for k in range(scorpions, slots):
        _put(i, k, TREE, world.tree_cells[i, k - scorpions], facts, told)
    for row in range(slots):
        for column in range(slots):
            told.visibility[i, row, column] = False
        told.visibility[i, row, row] = told.entity_mask[i, row]
    for n in range(pandas):
        if world.rest[i, n] >= 0:
            for k in range(pandas):
                other = world.pandas[i, k] if world.rest[i, k] >= 0 else np.int32(ABSENT)
                _look(i, n, k, other, world, facts, told)
            for k in range(pandas, melons):
                _look(i, n, k, world.melons[i, k - pandas], world, facts, told)
            for k in range(melons, scorpions):
                _look(i, n, k, world.scorpions[i, k - melons], world, facts, told)
            for k in range(scorpions, slots):
                _look(i, n, k, world.tree_cells[i, k - scorpions], world, facts, told)

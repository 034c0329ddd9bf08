"""Layouts of the pandas' world: where everything stands when an episode begins.

A layout is a function of its seed and of the world's sizes alone, so one seed means the
same layout in training, in evaluation and in the planner. Every panda and every watermelon
stands where every panda can get to, and no scorpion starts near a panda. Training,
validation and test draw seeds from the panda's ranges, which do not overlap.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.placing import flood, take_cell
from maskrl.envs.games.pandas.settings import ABSENT, SCORPION_DISTANCE, PandasSettings
from maskrl.envs.games.pandas.world import World, derive, empty_world, make_facts
from maskrl.envs.games.random_stream import below, mix
from maskrl.errors import ConfigError

_LAYOUT_STREAM = np.uint64(0x70616E6461730001)
_ATTEMPTS = 2_000


@njit(**KERNEL)
def write_layout(layout_seed, i, world, facts, scratch):
    """Write the layout of one seed into world i.

    Args:
        layout_seed: Integer that determines the layout.
        i: Number of the world.
        world: Of `empty_world`; row i of everything but streams and counts is overwritten.
        facts: Of `make_facts`.
        scratch: uint64 [2, words], working space.

    Returns:
        Whether a layout was found; False only for settings that leave no room.
    """
    key = mix(np.uint64(layout_seed) ^ _LAYOUT_STREAM)
    counter = np.uint64(0)
    cells = world.tree_at.shape[1]
    free, reached = scratch[0], scratch[1]
    for _ in range(_ATTEMPTS):
        for word in range(free.shape[0]):
            free[word] = facts.grid.all_cells[word]
        most = world.tree_cells.shape[1]
        count = facts.min_trees + below(key, counter, most - facts.min_trees + 1)
        counter += np.uint64(1)
        fine = True
        for k in range(most):
            cell = ABSENT
            if k < count:
                cell, counter = take_cell(key, counter, cells, free, free)
                fine &= cell >= 0
            world.tree_cells[i, k] = cell
        first, counter = take_cell(key, counter, cells, free, free)
        if not fine or first < 0:
            continue
        flood(first, free, reached, facts.grid)
        world.pandas[i, 0] = first
        for n in range(1, world.pandas.shape[1]):
            cell, counter = take_cell(key, counter, cells, free, reached)
            fine &= cell >= 0
            world.pandas[i, n] = cell
        for k in range(world.melons.shape[1]):
            cell, counter = take_cell(key, counter, cells, free, reached)
            fine &= cell >= 0
            world.melons[i, k] = cell
        for s in range(world.scorpions.shape[1]):
            if fine:
                cell, counter = _far_cell(key, counter, cells, i, world, facts.grid, free)
                fine &= cell >= 0
                world.scorpions[i, s] = cell
        if fine:
            world.rest[i, :] = 0
            world.steps[i] = 0
            derive(i, world)
            return True
    return False


@njit(**KERNEL)
def _far_cell(key, counter, cells, i, world, grid, free):
    """Take a random free cell far enough from every panda: (cell or -1, next counter)."""
    for _ in range(16):
        cell, counter = take_cell(key, counter, cells, free, free)
        if cell < 0:
            return cell, counter
        far = True
        for n in range(world.pandas.shape[1]):
            far &= grid.steps[cell, world.pandas[i, n]] >= SCORPION_DISTANCE
        if far:
            return cell, counter
        free[cell >> 6] |= np.uint64(1) << np.uint64(cell & 63)
    return -1, counter


def layout(settings: PandasSettings, layout_seed: int) -> World:
    """One layout, as the arrays of a single world.

    Raises:
        ConfigError: No layout was found: the grid is too small for what is to stand on it.
    """
    world = empty_world(settings, 1)
    scratch = np.empty((2, world.trees.shape[1]), np.uint64)
    if not write_layout(layout_seed, 0, world, make_facts(settings), scratch):
        raise ConfigError(no_room(settings, layout_seed))
    world.layout_ids[0] = layout_seed
    return world


def no_room(settings: PandasSettings, layout_seed: int) -> str:
    """What to say when no layout was found."""
    return (
        f"pandas: found no layout for seed {layout_seed} with {settings.pandas} pandas, "
        f"{settings.watermelons} watermelons, {settings.scorpions} scorpions at least "
        f"{SCORPION_DISTANCE} steps from every panda, and {settings.min_trees} to "
        f"{settings.max_trees} trees on {settings.width} x {settings.height} cells; make the grid "
        "larger or ask for less"
    )

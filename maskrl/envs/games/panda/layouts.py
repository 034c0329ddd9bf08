"""Layouts of the panda world: random ones from a layout seed, and the article's two scenes.

A layout is where everything stands when an episode begins. A random layout is
a function of its seed alone, so one seed means the same layout in training, in
evaluation and in the planner. The seeds of training, validation and test come
from ranges that do not overlap. Every random layout has a path from the panda
to the watermelon and to every banana, and no creature starts near the panda.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.cast import make_cast, state_columns
from maskrl.envs.games.panda.grid import world_grid
from maskrl.envs.games.panda.placing import flood, take_cell
from maskrl.envs.games.panda.settings import (
    ARTICLE_CELLS,
    ARTICLE_TREES,
    CREATURES_ABSENT,
    FIRST_FACING,
    S_BANANAS,
    S_CARRYING,
    S_DRAGON,
    S_PANDA,
    S_SCORPION,
    S_TREES,
    S_WATERMELON,
    SCORPION,
    START_DISTANCE,
    PandaSettings,
)
from maskrl.envs.games.random_stream import below, mix
from maskrl.errors import ConfigError
from maskrl.geometry import words_for

_LAYOUT_STREAM = np.uint64(0x6C61796F75740001)
# Far beyond what a sensible setting needs: a third of the attempts succeed at default size.
_ATTEMPTS = 10_000


@njit(**KERNEL)
def write_layout(layout_seed, state, tree_at, trees, limits, cast, grid, scratch):
    """Write the random layout of one seed into one environment's rows.

    Args:
        layout_seed: Integer that determines the layout.
        state: int32 [S], overwritten.
        tree_at: bool [cells], True on trees, overwritten.
        trees: uint64 [words], the same as bits, overwritten.
        limits: Fewest and most trees, bananas, scorpions and dragons, as a tuple; there are as
            many columns of each as there are at most.
        cast: Columns of the creatures, of `make_cast`.
        grid: Tables of `world_grid`.
        scratch: uint64 [2, words], working space.

    Returns:
        Whether a layout was found; False only for settings that leave no room.
    """
    min_trees, max_trees, min_bananas, max_bananas = limits[:4]
    min_scorpions, max_scorpions, min_dragons, max_dragons = limits[4:]
    key = mix(np.uint64(layout_seed) ^ _LAYOUT_STREAM)
    counter = np.uint64(0)
    cells = tree_at.shape[0]
    free, reached = scratch[0], scratch[1]
    first_tree = S_BANANAS + max_bananas
    for _ in range(_ATTEMPTS):
        for word in range(free.shape[0]):
            free[word] = grid.all_cells[word]
        state[:] = 0
        state[S_BANANAS:] = CREATURES_ABSENT
        tree_count = min_trees + below(key, counter, max_trees - min_trees + 1)
        banana_count = min_bananas + below(
            key, counter + np.uint64(1), max_bananas - min_bananas + 1
        )
        counter += np.uint64(2)
        scorpion_count, dragon_count = max_scorpions, max_dragons
        if min_scorpions < max_scorpions:
            scorpion_count = min_scorpions + below(key, counter, max_scorpions - min_scorpions + 1)
            counter += np.uint64(1)
        if min_dragons < max_dragons:
            dragon_count = min_dragons + below(key, counter, max_dragons - min_dragons + 1)
            counter += np.uint64(1)
        state[S_SCORPION] = state[S_DRAGON] = CREATURES_ABSENT
        state[S_TREES] = tree_count
        fine = True
        for k in range(tree_count):
            cell, counter = take_cell(key, counter, cells, free, free)
            if cell < 0:
                fine = False
                break
            state[first_tree + k] = cell
        if not fine:
            continue
        for word in range(trees.shape[0]):
            trees[word] = grid.all_cells[word] & ~free[word]
        panda, counter = take_cell(key, counter, cells, free, free)
        if panda < 0:
            continue
        flood(panda, free, reached, grid)
        watermelon, counter = take_cell(key, counter, cells, free, reached)
        nearest = grid.steps[panda, watermelon] if watermelon >= 0 else np.int32(0)
        for creature in range(cast.cells.shape[0]):
            state[cast.stuns[creature]] = 0
            scorpion = cast.kinds[creature] == SCORPION
            number = creature if scorpion else creature - max_scorpions
            if number < (scorpion_count if scorpion else dragon_count):
                cell, counter = take_cell(key, counter, cells, free, free)
                fine &= cell >= 0
                state[cast.cells[creature]] = cell
                nearest = min(nearest, grid.steps[panda, max(cell, 0)])
        if not fine or nearest < START_DISTANCE:
            continue
        if cast.faces:
            for column in cast.facings:
                state[column] = FIRST_FACING
        state[S_PANDA] = panda
        state[S_WATERMELON] = watermelon
        for k in range(banana_count):
            cell, counter = take_cell(key, counter, cells, free, reached)
            if cell < 0:
                fine = False
                break
            state[S_BANANAS + k] = cell
        if fine:
            tree_at[:] = False
            for k in range(tree_count):
                tree_at[state[first_tree + k]] = True
            return True
    return False


def empty_rows(
    settings: PandaSettings, count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Room for `count` layouts: state [count, S], tree_at [count, cells], trees [count, W]."""
    return (
        np.zeros((count, state_columns(settings)), np.int32),
        np.zeros((count, settings.cells), np.bool_),
        np.zeros((count, words_for(settings.cells)), np.uint64),
    )


def article_layout(
    settings: PandaSettings,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """The founding article's scene, with its three trees if `settings.preset` is `trees`."""
    state, tree_at, trees = empty_rows(settings, 1)
    columns = {"panda": S_PANDA, "watermelon": S_WATERMELON}
    columns |= {"scorpion": S_SCORPION, "dragon": S_DRAGON}
    for name, (x, y) in ARTICLE_CELLS.items():
        state[0, columns[name]] = y * settings.width + x
    state[0, S_CARRYING] = 0
    if settings.facing_matters:
        state[0, make_cast(settings).facings] = FIRST_FACING
    if settings.preset == "trees":
        state[0, S_TREES] = len(ARTICLE_TREES)
        for k, (x, y) in enumerate(ARTICLE_TREES):
            cell = y * settings.width + x
            state[0, S_BANANAS + k] = cell
            tree_at[0, cell] = True
            trees[0, cell // 64] |= np.uint64(1 << (cell % 64))
    return state[0], tree_at[0], trees[0]


def layout_limits(settings: PandaSettings) -> tuple[int, int, int, int, int, int, int, int]:
    """Fewest and most trees, bananas, scorpions and dragons of a random layout."""
    bananas = settings.banana_slots
    return (
        settings.min_trees,
        settings.max_trees,
        min(settings.min_bananas, bananas),
        bananas,
        settings.min_scorpions,
        settings.max_scorpions,
        settings.min_dragons,
        settings.max_dragons,
    )


def layout(
    settings: PandaSettings, layout_seed: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """One layout as the rows (state [S], tree_at [cells], trees [words]) of an environment.

    Raises:
        ConfigError: No layout was found: the grid is too small for what is to stand on it.
    """
    if settings.preset != "random":
        return article_layout(settings)
    state, tree_at, trees = empty_rows(settings, 1)
    found = write_layout(
        layout_seed,
        state[0],
        tree_at[0],
        trees[0],
        layout_limits(settings),
        make_cast(settings),
        world_grid(settings),
        np.empty((2, trees.shape[1]), np.uint64),
    )
    if not found:
        raise ConfigError(
            f"panda: found no layout for seed {layout_seed} with {settings.max_trees} trees, "
            f"{settings.max_bananas} bananas and {settings.creatures} creatures on "
            f"{settings.width} x {settings.height} cells; make the grid larger or ask for less"
        )
    return state[0], tree_at[0], trees[0]

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

from maskrl.envs.games.panda.random_stream import below, mix
from maskrl.envs.games.panda.rules import distance, neighbour
from maskrl.envs.games.panda.settings import (
    ARTICLE_CELLS,
    ARTICLE_TREES,
    CREATURES_ABSENT,
    S_BANANAS,
    S_CARRYING,
    S_DRAGON,
    S_PANDA,
    S_SCORPION,
    S_TREES,
    S_WATERMELON,
    START_DISTANCE,
    PandaSettings,
    Split,
)
from maskrl.errors import ConfigError
from maskrl.geometry import words_for

SEEDS_PER_SPLIT = 2**40
FIRST_SEED: dict[Split, int] = {
    "test": 0,
    "validation": SEEDS_PER_SPLIT,
    "train": 2 * SEEDS_PER_SPLIT,
}
_LAYOUT_STREAM = np.uint64(0x6C61796F75740001)
# Far beyond what a sensible setting needs: a third of the attempts succeed at default size.
_ATTEMPTS = 10_000


def split_seeds(split: Split, count: int, *, start: int = 0) -> npt.NDArray[np.int64]:
    """The first `count` layout seeds of a split, from `start` on: int64 [count]."""
    if count < 1 or start < 0 or start + count > SEEDS_PER_SPLIT:
        raise ConfigError(
            f"split_seeds: count and start must lie in a split of {SEEDS_PER_SPLIT} seeds; "
            f"got count={count}, start={start}"
        )
    return FIRST_SEED[split] + start + np.arange(count, dtype=np.int64)


@njit(cache=True)
def _free_cell(key, counter, taken, reached, need_reach):
    """A random cell that nothing stands on: (cell, next counter); -1 when 64 draws all failed."""
    for _ in range(64):
        cell = below(key, counter, taken.shape[0])
        counter += np.uint64(1)
        if not taken[cell] and (reached[cell] or not need_reach):
            taken[cell] = True
            return cell, counter
    return -1, counter


@njit(cache=True)
def _flood(start, tree_at, reached, stack, width, height):
    """Mark every cell that free cells connect to `start`."""
    reached[:] = False
    reached[start] = True
    stack[0] = start
    size = 1
    while size > 0:
        size -= 1
        cell = stack[size]
        for direction in range(4):
            ahead = neighbour(cell, direction, width, height)
            if ahead >= 0 and not tree_at[ahead] and not reached[ahead]:
                reached[ahead] = True
                stack[size] = ahead
                size += 1


@njit(cache=True)
def write_layout(
    layout_seed,
    state,
    tree_at,
    trees,
    width,
    height,
    min_trees,
    max_trees,
    min_bananas,
    max_bananas,
    scratch,
):
    """Write the random layout of one seed into one environment's rows.

    Args:
        layout_seed: Integer that determines the layout.
        state: int32 [S], overwritten.
        tree_at: bool [cells], True on trees, overwritten.
        trees: uint64 [words], the same as bits, overwritten.
        width: Cells in a row.
        height: Cells in a column.
        min_trees: Fewest trees.
        max_trees: Most trees, the number of tree columns.
        min_bananas: Fewest bananas.
        max_bananas: Most bananas, the number of banana columns.
        scratch: int64 [2, cells], working space.

    Returns:
        Whether a layout was found; False only for settings that leave no room.
    """
    key = mix(np.uint64(layout_seed) ^ _LAYOUT_STREAM)
    counter = np.uint64(0)
    cells = width * height
    stack = scratch[0]
    taken = np.empty(cells, np.bool_)
    reached = np.empty(cells, np.bool_)
    first_tree = S_BANANAS + max_bananas
    for _ in range(_ATTEMPTS):
        taken[:] = False
        reached[:] = True
        tree_at[:] = False
        trees[:] = np.uint64(0)
        state[:] = 0
        state[S_BANANAS:] = CREATURES_ABSENT
        tree_count = min_trees + below(key, counter, max_trees - min_trees + 1)
        banana_count = min_bananas + below(
            key, counter + np.uint64(1), max_bananas - min_bananas + 1
        )
        counter += np.uint64(2)
        state[S_TREES] = tree_count
        fine = True
        for k in range(tree_count):
            cell, counter = _free_cell(key, counter, taken, reached, False)
            if cell < 0:
                fine = False
                break
            state[first_tree + k] = cell
            tree_at[cell] = True
            trees[cell // 64] |= np.uint64(1) << np.uint64(cell % 64)
        if not fine:
            continue
        panda, counter = _free_cell(key, counter, taken, reached, False)
        if panda < 0:
            continue
        _flood(panda, tree_at, reached, stack, width, height)
        watermelon, counter = _free_cell(key, counter, taken, reached, True)
        scorpion, counter = _free_cell(key, counter, taken, reached, False)
        dragon, counter = _free_cell(key, counter, taken, reached, False)
        if watermelon < 0 or scorpion < 0 or dragon < 0:
            continue
        if (
            distance(panda, watermelon, width) < START_DISTANCE
            or distance(panda, scorpion, width) < START_DISTANCE
            or distance(panda, dragon, width) < START_DISTANCE
        ):
            continue
        state[S_PANDA] = panda
        state[S_WATERMELON] = watermelon
        state[S_SCORPION] = scorpion
        state[S_DRAGON] = dragon
        for k in range(banana_count):
            cell, counter = _free_cell(key, counter, taken, reached, True)
            if cell < 0:
                fine = False
                break
            state[S_BANANAS + k] = cell
        if fine:
            return True
    return False


def empty_rows(
    settings: PandaSettings, count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Room for `count` layouts: state [count, S], tree_at [count, cells], trees [count, W]."""
    columns = S_BANANAS + settings.banana_slots + settings.tree_slots
    return (
        np.zeros((count, columns), np.int32),
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
    if settings.preset == "trees":
        state[0, S_TREES] = len(ARTICLE_TREES)
        for k, (x, y) in enumerate(ARTICLE_TREES):
            cell = y * settings.width + x
            state[0, S_BANANAS + k] = cell
            tree_at[0, cell] = True
            trees[0, cell // 64] |= np.uint64(1 << (cell % 64))
    return state[0], tree_at[0], trees[0]


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
    scratch = np.empty((2, settings.cells), np.int64)
    found = write_layout(
        layout_seed,
        state[0],
        tree_at[0],
        trees[0],
        settings.width,
        settings.height,
        settings.min_trees,
        settings.max_trees,
        min(settings.min_bananas, settings.banana_slots),
        settings.banana_slots,
        scratch,
    )
    if not found:
        raise ConfigError(
            f"panda: found no layout for seed {layout_seed} with {settings.max_trees} trees and "
            f"{settings.max_bananas} bananas on {settings.width} x {settings.height} cells; "
            "make the grid larger or ask for fewer trees"
        )
    return state[0], tree_at[0], trees[0]

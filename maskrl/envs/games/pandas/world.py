"""The arrays that many worlds of pandas live in, and the facts that never change in one.

`World` is what a step changes. Some of it follows from the rest and is kept because a step
reads it often: who stands where, where trees are, as flags and as bits. `Facts` are the
settings and tables that compiled code reads. Both are named tuples, which Numba takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.grid import Grid, grid_tables
from maskrl.envs.games.pandas.settings import ABSENT, NOBODY, PandasSettings
from maskrl.geometry import words_for


class World(NamedTuple):
    """The state of B worlds.

    Attributes:
        pandas: int32 [B, N], the cell of every panda; of a dead one, where it died.
        rest: int32 [B, N], 0 acts, above 0 chews for as many steps more, below 0 is dead: with
            respawn it comes back after as many steps, else it stays at -1.
        melons: int32 [B, M], cells; `ABSENT` once eaten.
        scorpions: int32 [B, S], cells.
        tree_cells: int32 [B, T], cells; `ABSENT` for those that the layout does not have.
        steps: int32 [B], steps taken in the episode.
        keys: uint64 [B], of the random streams.
        counters: uint64 [B], numbers drawn from them.
        layout_ids: int64 [B].
        episodes: int64 [B], episodes begun.
        tree_at: bool [B, cells]. It and all below follow from those above.
        closed: bool [B, cells], where no scorpion goes: trees and watermelons.
        trees: uint64 [B, words], the trees as bits.
        standing: int32 [B, cells], which living panda stands there, or `NOBODY`.
    """

    pandas: npt.NDArray[np.int32]
    rest: npt.NDArray[np.int32]
    melons: npt.NDArray[np.int32]
    scorpions: npt.NDArray[np.int32]
    tree_cells: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]
    counters: npt.NDArray[np.uint64]
    layout_ids: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]
    tree_at: npt.NDArray[np.bool_]
    closed: npt.NDArray[np.bool_]
    trees: npt.NDArray[np.uint64]
    standing: npt.NDArray[np.int32]


SAVED = World._fields[:10]
"""What a state consists of; the rest is derived from it."""


class Facts(NamedTuple):
    """What never changes in a world.

    Attributes:
        grid: Tables of the empty grid.
        radii: int32 [N], steps as far as which each panda sees.
        sees_all: Whether nothing is hidden from anybody.
        chew_steps: Steps for which a panda chews.
        respawn_steps: Steps after which a dead panda comes back; 0: never.
        step_limit: Steps of an episode.
        shares: Whether every agent gets what the team gets.
        by_cell: Whether observations and actions go by cells of the grid.
        tells_time: Whether the time left is told.
        min_trees: Fewest trees of a layout.
    """

    grid: Grid
    radii: npt.NDArray[np.int32]
    sees_all: bool
    chew_steps: int
    respawn_steps: int
    step_limit: int
    shares: bool
    by_cell: bool
    tells_time: bool
    min_trees: int


def make_facts(settings: PandasSettings) -> Facts:
    """The facts of one world."""
    return Facts(
        grid=grid_tables(settings.width, settings.height),
        radii=np.array(settings.radii, np.int32),
        sees_all=settings.sight == "full",
        chew_steps=settings.chew_steps,
        respawn_steps=settings.respawn_steps or 0,
        step_limit=settings.step_limit,
        shares=settings.reward == "team",
        by_cell=settings.form == "grid",
        tells_time=settings.tells_time,
        min_trees=settings.min_trees,
    )


def empty_world(settings: PandasSettings, count: int) -> World:
    """Room for `count` worlds, nothing in it."""
    cells = settings.cells
    return World(
        pandas=np.zeros((count, settings.pandas), np.int32),
        rest=np.full((count, settings.pandas), -1, np.int32),
        melons=np.full((count, settings.watermelons), ABSENT, np.int32),
        scorpions=np.zeros((count, settings.scorpions), np.int32),
        tree_cells=np.full((count, settings.max_trees), ABSENT, np.int32),
        steps=np.zeros(count, np.int32),
        keys=np.zeros(count, np.uint64),
        counters=np.zeros(count, np.uint64),
        layout_ids=np.zeros(count, np.int64),
        episodes=np.zeros(count, np.int64),
        tree_at=np.zeros((count, cells), np.bool_),
        closed=np.zeros((count, cells), np.bool_),
        trees=np.zeros((count, words_for(cells)), np.uint64),
        standing=np.full((count, cells), NOBODY, np.int32),
    )


@njit(**KERNEL)
def derive(i, world):
    """Bring what follows from the rest of world i up to date: trees, closed cells, who stands."""
    world.tree_at[i, :] = False
    world.trees[i, :] = np.uint64(0)
    for k in range(world.tree_cells.shape[1]):
        cell = world.tree_cells[i, k]
        if cell != ABSENT:
            world.tree_at[i, cell] = True
            world.trees[i, cell >> 6] |= np.uint64(1) << np.uint64(cell & 63)
    for cell in range(world.tree_at.shape[1]):
        world.closed[i, cell] = world.tree_at[i, cell]
    for k in range(world.melons.shape[1]):
        cell = world.melons[i, k]
        if cell != ABSENT:
            world.closed[i, cell] = True
    world.standing[i, :] = NOBODY
    for n in range(world.pandas.shape[1]):
        if world.rest[i, n] >= 0:
            world.standing[i, world.pandas[i, n]] = n


@njit(nogil=True, **KERNEL)
def derive_all(world):
    """`derive` for every world."""
    for i in range(world.steps.shape[0]):
        derive(i, world)

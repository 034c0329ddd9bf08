"""Layouts of the outpost: where rocks, wolves, mine and grove are, from a layout seed.

A layout is a function of its seed alone, so one seed means the same in training, in
evaluation and in the planner; splits are ranges of seeds that do not overlap. Wolves
like to lie on the mine or the grove. Every layout has a way to at least one of both,
once the archer has shot what it can reach from the base.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.outpost.settings import (
    ABSENT,
    BASE,
    CELLS,
    FARTHEST_SITE,
    NEAREST_SITE,
    REACH,
    S_ALIVE,
    S_COLUMNS,
    S_FORESTER,
    S_GROVE,
    S_MINE,
    S_MINER,
    S_ROCKS,
    S_WOLVES,
    SIZE,
    WOLVES,
    OutpostSettings,
)
from maskrl.envs.games.panda.rules import distance, neighbour
from maskrl.envs.games.random_stream import below, mix
from maskrl.errors import ConfigError

_LAYOUT_STREAM = np.uint64(0x6F7574706F737401)
# At the largest settings more than one attempt in ten succeeds.
_ATTEMPTS = 10_000
_LURES = 4  # a wolf picks the mine or the grove in one of so many cases each


@njit(cache=True)
def reached_from_base(state, reached):
    """Mark the cells that a mover can walk to once the archer has shot what it reaches.

    Args:
        state: int64 [S_COLUMNS], the start of a layout.
        reached: bool [CELLS], overwritten.
    """
    stack = np.empty(CELLS, np.int64)
    closed = np.zeros(CELLS, np.bool_)
    for cell in range(CELLS):
        closed[cell] = (state[S_ROCKS] >> cell) & 1
    for k in range(WOLVES):
        wolf = state[S_WOLVES + k]
        if wolf != ABSENT and distance(BASE, wolf, SIZE) > REACH:
            closed[wolf] = True
    reached[:] = False
    reached[BASE] = True
    stack[0] = BASE
    size = 1
    while size > 0:
        size -= 1
        cell = stack[size]
        for direction in range(4):
            ahead = neighbour(cell, direction, SIZE, SIZE)
            if ahead != ABSENT and not closed[ahead] and not reached[ahead]:
                reached[ahead] = True
                stack[size] = ahead
                size += 1


@njit(cache=True)
def _is_site(cell):
    """Whether a mine or a grove may lie on a cell."""
    return NEAREST_SITE <= distance(BASE, cell, SIZE) <= FARTHEST_SITE


@njit(cache=True)
def write_layout(layout_seed, state, min_rocks, max_rocks, min_wolves, max_wolves):
    """Write the start of one layout into a row of the state table.

    Args:
        layout_seed: Integer that determines the layout.
        state: int64 [S_COLUMNS], overwritten.
        min_rocks: Fewest rocks.
        max_rocks: Most rocks.
        min_wolves: Fewest wolves.
        max_wolves: Most wolves.

    Returns:
        Whether a layout was found.
    """
    key = mix(np.uint64(layout_seed) ^ _LAYOUT_STREAM)
    counter = np.uint64(0)
    one = np.uint64(1)
    order = np.empty(CELLS - 1, np.int64)
    taken = np.empty(CELLS, np.bool_)
    reached = np.empty(CELLS, np.bool_)
    for _ in range(_ATTEMPTS):
        state[:] = 0
        state[S_MINER] = BASE
        state[S_FORESTER] = BASE
        state[S_WOLVES:] = ABSENT
        taken[:] = False
        taken[BASE] = True
        # A random order of all cells but the base: sites first, then rocks, then wolves.
        for k in range(CELLS - 1):
            order[k] = k if k < BASE else k + 1
        for k in range(CELLS - 2):
            other = k + below(key, counter, CELLS - 1 - k)
            counter += one
            order[k], order[other] = order[other], order[k]
        mine, grove = order[0], order[1]
        if not (_is_site(mine) and _is_site(grove)):
            continue
        state[S_MINE] = mine
        state[S_GROVE] = grove
        used = 2
        rocks = min_rocks + below(key, counter, max_rocks - min_rocks + 1)
        counter += one
        for _rock in range(rocks):
            state[S_ROCKS] |= np.int64(1) << order[used]
            used += 1
        wolves = min_wolves + below(key, counter, max_wolves - min_wolves + 1)
        counter += one
        for k in range(wolves):
            lure = below(key, counter, _LURES)
            counter += one
            cell = mine if lure == 0 else grove
            if lure > 1 or taken[cell]:
                cell = order[used]
                used += 1
            taken[cell] = True
            state[S_WOLVES + k] = cell
            state[S_ALIVE] |= np.int64(1) << k
        reached_from_base(state, reached)
        if reached[mine] or reached[grove]:
            return True
    return False


def layout(settings: OutpostSettings, layout_seed: int) -> npt.NDArray[np.int64]:
    """One layout as a row of the state table: int64 [S_COLUMNS].

    Raises:
        ConfigError: No layout was found.
    """
    state = np.zeros(S_COLUMNS, np.int64)
    if not write_layout(layout_seed, state, *limits(settings)):
        raise no_layout(layout_seed)
    return state


def limits(settings: OutpostSettings) -> tuple[int, int, int, int]:
    """What `write_layout` needs to know of the settings."""
    return settings.min_rocks, settings.max_rocks, settings.min_wolves, settings.max_wolves


def no_layout(layout_seed: int) -> ConfigError:
    """The error that no layout was found."""
    return ConfigError(
        f"outpost: found no layout for seed {layout_seed}; ask for fewer rocks or wolves"
    )

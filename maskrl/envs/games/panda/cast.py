"""Who takes part in a world besides panda and watermelon, and where its state is kept.

A cast is the scorpions and then the dragons that a layout may hold, in the order of their
entity slots. The first of each kind has its columns at the front of the state table, where
worlds with one of each have always had them; those of further ones, and where everybody
faces if that matters, follow behind the trees. Dragons move before scorpions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.panda.settings import (
    DRAGON,
    FIRST_FACING,
    RIGHT,
    S_BANANAS,
    S_DRAGON,
    S_DRAGON_STUNNED,
    S_SCORPION,
    S_SCORPION_STUNNED,
    SCORPION,
    PandaSettings,
)

FIRST_CREATURE = 2
"""Entity slot of the first creature: those of panda and watermelon come before."""


class Cast(NamedTuple):
    """Columns of the state by creature; the arrays are read-only.

    Attributes:
        kinds: int64 [C], `SCORPION` or `DRAGON`.
        cells: int64 [C], column of the creature's cell.
        stuns: int64 [C], column that says whether it is stunned.
        order: int64 [C], creatures in the order in which they move and throws prefer them.
        facings: int64 [1 + C], columns of where the panda and each creature faces; all 0 if
            facing does not matter.
        faces: Whether facing matters, and so is kept.
    """

    kinds: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    stuns: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    facings: npt.NDArray[np.int64]
    faces: bool


def state_columns(settings: PandaSettings) -> int:
    """Number of columns of a world's state table."""
    further = max(settings.max_scorpions - 1, 0) + max(settings.max_dragons - 1, 0)
    facings = 1 + settings.creatures if settings.facing_matters else 0
    return S_BANANAS + settings.banana_slots + settings.tree_slots + 2 * further + facings


def make_cast(settings: PandaSettings) -> Cast:
    """The cast of one world.

    >>> make_cast(PandaSettings(max_scorpions=2, max_trees=6, max_bananas=2)).cells.tolist()
    [2, 17, 3]
    """
    column = S_BANANAS + settings.banana_slots + settings.tree_slots
    kinds: list[int] = []
    cells: list[int] = []
    stuns: list[int] = []
    for kind, count, cell, stunned in (
        (SCORPION, settings.max_scorpions, S_SCORPION, S_SCORPION_STUNNED),
        (DRAGON, settings.max_dragons, S_DRAGON, S_DRAGON_STUNNED),
    ):
        for number in range(count):
            kinds.append(kind)
            cells.append(column if number else cell)
            stuns.append(column + 1 if number else stunned)
            column += 2 if number else 0
    numbers = np.arange(len(kinds))
    order = np.concatenate((numbers[settings.max_scorpions :], numbers[: settings.max_scorpions]))
    faces = settings.facing_matters
    facings = column + np.arange(1 + len(kinds)) if faces else np.zeros(1 + len(kinds))
    arrays = [np.asarray(each, dtype=np.int64) for each in (kinds, cells, stuns, order, facings)]
    for array in arrays:
        array.setflags(write=False)
    return Cast(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], faces)


@njit(inline="always", **KERNEL)
def facing_of(slot, state, cast):
    """Where who is in an entity slot faces, if that matters; `FIRST_FACING` of all others."""
    if not cast.faces or slot > cast.kinds.shape[0] + 1 or slot == 1:
        return FIRST_FACING
    return np.int64(state[cast.facings[max(slot - 1, 0)]])


@njit(inline="always", **KERNEL)
def facing_after(before, after, facing, grid):
    """Where somebody faces who went from one cell to another: a move turns, staying does not."""
    for direction in range(RIGHT + 1):
        if grid.ahead[before, direction] == after:
            return direction
    return facing

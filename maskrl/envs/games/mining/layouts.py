"""The four maps: where mines, bases and workers stand when an episode begins.

A map has no walls, and nothing about a start is random: all episodes of a map begin alike, in
what other worlds call a layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.mining.settings import (
    B_HIT_POINTS,
    B_KIND,
    B_LOAD,
    B_OWNER,
    BASE,
    ENEMY,
    HIT_POINTS,
    LAYERS,
    MINE,
    NOBODY,
    OWN,
    SIZES,
    WORKER,
)

Cell = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """The start of one map; cells are (x, y).

    Attributes:
        mines: Cells and units of both mines, ours first.
        base: Our base.
        worker: Our worker.
        enemy_base: The opponent's base.
        enemy_worker: The opponent's worker.
    """

    mines: tuple[tuple[Cell, int], tuple[Cell, int]]
    base: Cell
    worker: Cell
    enemy_base: Cell
    enemy_worker: Cell

    @property
    def units_to_harvest(self) -> int:
        """Units in all mines."""
        return sum(units for _, units in self.mines)


LAYOUTS: Final[dict[str, Layout]] = {
    "4x4": Layout((((0, 0), 20), ((3, 3), 20)), (2, 1), (1, 1), (1, 2), (2, 2)),
    "10x10": Layout((((0, 0), 20), ((9, 9), 20)), (2, 1), (1, 1), (7, 8), (8, 8)),
    "16x16": Layout((((0, 1), 20), ((15, 14), 25)), (2, 2), (1, 1), (13, 13), (14, 14)),
    "24x24": Layout((((0, 1), 20), ((23, 22), 25)), (2, 2), (1, 1), (21, 21), (22, 22)),
}


def start_board(name: str) -> npt.NDArray[np.int16]:
    """The board of a map at the start of an episode: int16 [LAYERS, cells]."""
    layout, size = LAYOUTS[name], SIZES[name]
    board = np.zeros((LAYERS, size * size), np.int16)
    standing = [
        (layout.base, BASE, OWN, 0),
        (layout.worker, WORKER, OWN, 0),
        (layout.enemy_base, BASE, ENEMY, 0),
        (layout.enemy_worker, WORKER, ENEMY, 0),
        *((cell, MINE, NOBODY, units) for cell, units in layout.mines),
    ]
    for (x, y), kind, owner, load in standing:
        cell = y * size + x
        board[B_KIND, cell] = 1 + kind
        board[B_OWNER, cell] = owner
        board[B_HIT_POINTS, cell] = HIT_POINTS[kind]
        board[B_LOAD, cell] = load
    return board

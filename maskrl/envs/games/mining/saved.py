"""What a saved board must be like before compiled code follows it.

Moves and productions lead to a neighbouring cell, and hit points to a unit's end: values that
no play leads to would be read outside of the arrays, or reported as a real game.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.mining.layouts import Layout
from maskrl.envs.games.mining.settings import (
    B_DIRECTION,
    B_HIT_POINTS,
    B_KIND,
    B_LEFT,
    B_LOAD,
    B_ORDER,
    B_OWNER,
    B_PRODUCT,
    C_STEP,
    C_STOCK,
    COST,
    DIRECTIONS,
    ENEMY,
    HIT_POINTS,
    KINDS,
    MINE,
    MOVE,
    NOBODY,
    NONE,
    ORDERS,
    OWN,
    PRODUCE,
    PRODUCE_TICKS,
    START_STOCK,
    STEP_LIMIT,
    STEP_X,
    STEP_Y,
    WORKER,
)
from maskrl.errors import ConfigError

_HIGHEST = {
    B_KIND: len(KINDS),
    B_OWNER: ENEMY,
    B_HIT_POINTS: int(HIT_POINTS.max()),
    B_ORDER: len(ORDERS) - 1,
    B_LEFT: int(PRODUCE_TICKS.max()),
    B_DIRECTION: len(DIRECTIONS) - 1,
    B_PRODUCT: len(KINDS) - 1,
}


def require_sound(board: npt.NDArray[Any], counts: npt.NDArray[Any], layout: Layout) -> None:
    """Refuse boards and counts that no play leads to.

    Args:
        board: integers [N, LAYERS, cells].
        counts: integers [N, 2]: stock and step.
        layout: Of the map.

    Raises:
        ConfigError: One is damaged; the message names the world, the layer and the cell.
    """
    units = layout.units_to_harvest
    for layer, highest in {**_HIGHEST, B_LOAD: units}.items():
        _refuse((board[:, layer] < 0) | (board[:, layer] > highest), board, layer)
    kind, owner, order = board[:, B_KIND], board[:, B_OWNER], board[:, B_ORDER]
    empty = kind == 0
    for layer in range(board.shape[1]):
        _refuse(empty & (board[:, layer] != 0), board, layer)
    _refuse(~empty & ((kind == 1 + MINE) != (owner == NOBODY)), board, B_OWNER)
    points = board[:, B_HIT_POINTS]
    _refuse(~empty & ((points < 1) | (points > HIT_POINTS[np.maximum(kind, 1) - 1])), board, 2)
    busy = board[:, B_LEFT] > 0
    _refuse(busy & (owner != OWN), board, B_LEFT)
    _refuse((order != NONE) & (~busy | ((order != MOVE) & (order != PRODUCE))), board, B_ORDER)
    side = int(board.shape[2] ** 0.5)
    cell = np.arange(board.shape[2])
    x = cell % side + STEP_X[board[:, B_DIRECTION]]
    y = cell // side + STEP_Y[board[:, B_DIRECTION]]
    off = (x < 0) | (y < 0) | (x >= side) | (y >= side)
    _refuse((order != NONE) & off, board, B_DIRECTION)
    load, most = board[:, B_LOAD], kind == 1 + WORKER  # a worker carries one, others nothing
    _refuse(np.where(kind == 1 + MINE, load < 1, load > most), board, B_LOAD)
    least = START_STOCK - int(COST.sum()) * board.shape[2]
    fine = (counts[:, C_STOCK] >= least) & (counts[:, C_STOCK] <= START_STOCK + units)
    fine &= (counts[:, C_STEP] >= 0) & (counts[:, C_STEP] <= STEP_LIMIT)
    if not fine.all():
        index = int(np.flatnonzero(~fine)[0])
        raise ConfigError(
            f"mining: the saved state is damaged: world {index} has {counts[index, C_STOCK]} in "
            f"store after {counts[index, C_STEP]} steps, which no play leads to"
        )


def _refuse(wrong: npt.NDArray[np.bool_], board: npt.NDArray[Any], layer: int) -> None:
    if wrong.any():
        index, cell = (int(k[0]) for k in np.nonzero(wrong))
        raise ConfigError(
            f"mining: the saved state is damaged: board[{index}, {layer}, {cell}] is "
            f"{board[index, layer, cell]}, which no play leads to"
        )

"""One moment of a mining world as plain data, for the pictures that microRTS has here.

`MiningScene` is a scene of that game with what matters in this task: the points so far, the
last order, and what became of it. An order that ends in the step that gave it is shown where
the unit stands, as if it were still at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.scene import NOBODY as NO_SIDE
from maskrl.envs.adapters.microrts.scene import OFFSETS, OPPONENT, Scene, Unit
from maskrl.envs.adapters.microrts.scene import OWN as OWN_SIDE
from maskrl.envs.games.mining.settings import (
    ATTACK,
    B_DIRECTION,
    B_HIT_POINTS,
    B_KIND,
    B_LOAD,
    B_ORDER,
    B_OWNER,
    B_PRODUCT,
    C_STEP,
    C_STOCK,
    CARRIED_OUT,
    DIRECTIONS,
    FATES,
    HARVEST,
    HIT_POINTS,
    KINDS,
    MINE,
    NONE,
    ORDERS,
    PRODUCE,
    RETURN,
    START_STOCK,
    STEP_LIMIT,
)

_SIDES = (NO_SIDE, OWN_SIDE, OPPONENT)


@dataclass(frozen=True)
class MiningScene(Scene):
    """One moment.

    Attributes:
        points: Rewards of the episode so far.
        last_order: The last order in words, "" before the first.
        fate: What became of it, one of `settings.FATES`.
    """

    points: int = 0
    last_order: str = ""
    fate: str = FATES[CARRIED_OUT]

    @property
    def status(self) -> str:
        """The line under a picture."""
        told = f"step {self.time}/{self.max_steps}   points {self.points}   store {self.stocks[0]}"
        if self.last_order:
            told += f"   {self.last_order}"
            told += f": {self.fate}" if self.fate != FATES[CARRIED_OUT] else ""
        return told


def scene_of(
    board: npt.NDArray[Any],
    counts: npt.NDArray[Any],
    *,
    points: int = 0,
    action: tuple[int, ...] | None = None,
    fate: int = CARRIED_OUT,
) -> MiningScene:
    """The scene of one board.

    Args:
        board: int16 [LAYERS, cells].
        counts: int64 [2]: stock and step.
        points: Rewards so far.
        action: The last order.
        fate: What became of it.
    """
    size = int(board.shape[1] ** 0.5)
    units = [
        _unit(board[:, cell].tolist(), divmod(int(cell), size))
        for cell in np.flatnonzero(board[B_KIND])
    ]
    if action is not None and fate == CARRIED_OUT:
        units = [_at_work(unit, action, size) for unit in units]
    return MiningScene(
        walls=np.zeros((size, size), np.bool_),
        units=tuple(units),
        stocks=(int(counts[C_STOCK]), START_STOCK),
        time=int(counts[C_STEP]),
        max_steps=STEP_LIMIT,
        points=points,
        last_order="" if action is None else order_words(action, size),
        fate=FATES[fate],
    )


def _unit(column: list[int], place: tuple[int, int]) -> Unit:
    order, kind = column[B_ORDER], column[B_KIND] - 1
    return Unit(
        kind="resource" if kind == MINE else KINDS[kind],
        owner=_SIDES[column[B_OWNER]],
        row=place[0],
        column=place[1],
        hit_points=column[B_HIT_POINTS],
        resources=column[B_LOAD],
        action=None if order == NONE else ORDERS[order],
        target=None if order == NONE else OFFSETS[column[B_DIRECTION]],
        produces=KINDS[column[B_PRODUCT]] if order == PRODUCE else None,
        full_hit_points=int(HIT_POINTS[kind]),
    )


def _at_work(unit: Unit, action: tuple[int, ...], size: int) -> Unit:
    """The unit as it was during the step that is over, if the order was for it and it stayed."""
    what = action[1]
    if (unit.row, unit.column) != divmod(action[0], size) or unit.action is not None:
        return unit
    if what in (HARVEST, RETURN):
        return _doing(unit, what, OFFSETS[action[1 + what]])
    if what == ATTACK:
        row, column = divmod(action[7], size)
        return _doing(unit, what, (column - unit.column, row - unit.row))
    return unit


def _doing(unit: Unit, what: int, target: tuple[int, int]) -> Unit:
    values = {**vars(unit), "action": ORDERS[what], "target": target}
    return Unit(**values)


def order_words(action: tuple[int, ...], size: int) -> str:
    """An action in words: the unit's cell (x, y) and the parts that count, no others.

    >>> order_words((5, 4, 0, 0, 0, 2, 3, 0), 4)
    '1,1 produce worker down'
    """
    cell, what = action[0], action[1]
    words = f"{cell % size},{cell // size} {ORDERS[what]}"
    if what == NONE:
        return words
    if what == ATTACK:
        return f"{words} {action[7] % size},{action[7] // size}"
    if what == PRODUCE:
        words += f" {KINDS[action[6]]}"
    return f"{words} {DIRECTIONS[action[1 + what]]}"

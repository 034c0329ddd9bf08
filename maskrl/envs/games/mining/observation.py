"""What a miner is told: 27 feature planes, and masks of one of three strengths.

The planes are five groups, each one-hot in every cell: hit points, load, owner, kind, order.
How much is in store, and how long an order still takes, they do not tell. All masks come
straight from the rules; those of the article come from the planes, as theirs did, so that
they also offer units that wait for an impossible order to end.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from maskrl.envs.games.mining.rules import (
    can_attack,
    can_harvest,
    can_return,
    is_empty,
    is_free_unit,
    is_paid,
    next_cell,
    note_running,
)
from maskrl.envs.games.mining.settings import (
    ATTACK,
    B_HIT_POINTS,
    B_KIND,
    B_LOAD,
    B_ORDER,
    B_OWNER,
    C_STOCK,
    CONDITIONAL,
    DIRECTIONS,
    ENEMY,
    FIGHTS,
    HARVEST,
    HEAD_NAMES,
    KINDS,
    MOVE,
    MOVES,
    NONE,
    ORDERS,
    OWN,
    PLANE_SIZES,
    PLANE_STARTS,
    PRODUCE,
    PRODUCES,
    PUBLISHED,
    REACH,
    RETURN,
)
from maskrl.masks.tree import FLAT_MASK

TABLES: Final = tuple(f"{FLAT_MASK}:{name}" for name in HEAD_NAMES[1:])
"""Entries of the conditional masks beside the flat one: a row for every unit."""

_LAYER_OF_GROUP: Final = np.array([B_HIT_POINTS, B_LOAD, B_OWNER, B_KIND, B_ORDER], np.int64)
_HIGHEST: Final = np.array(PLANE_SIZES, np.int64) - 1
_START: Final = np.array(PLANE_STARTS, np.int64)


@njit(cache=True)
def write_planes(board, planes):
    """Write the feature planes of one board.

    Args:
        board: int16 [LAYERS, cells].
        planes: int8 [cells, 27], overwritten.
    """
    planes[:] = 0
    for cell in range(planes.shape[0]):
        for group in range(_START.shape[0]):
            value = min(np.int64(board[_LAYER_OF_GROUP[group], cell]), _HIGHEST[group])
            planes[cell, _START[group] + value] = 1


@njit(cache=True)
def write_masks(board, counts, size, mode, flat, tables, wanted):
    """Write the masks of one board.

    Args:
        board: int16 [LAYERS, cells].
        counts: int64 [2]: stock and step.
        size: Cells along one side.
        mode: PUBLISHED, HEADS or CONDITIONAL.
        flat: bool [2 * cells + 29], overwritten.
        tables: With CONDITIONAL, one bool [cells, choices] for every part after the unit, each
            False but for the rows of units that `flat` names from the last time; overwritten.
        wanted: bool [cells], for use here.
    """
    if mode == PUBLISHED:
        _write_published(board, flat)
    elif mode == CONDITIONAL:
        _write_conditional(board, counts, size, flat, tables, wanted)
    else:
        _write_heads(board, counts, size, flat, wanted)


@njit(cache=True)
def _write_published(board, flat):
    """Which units may be ordered and attacked, as far as the planes tell."""
    cells = board.shape[1]
    flat[:] = True
    for cell in range(cells):
        at_rest = board[B_ORDER, cell] == NONE
        flat[cell] = at_rest and board[B_OWNER, cell] == OWN
        flat[flat.shape[0] - cells + cell] = at_rest and board[B_OWNER, cell] == ENEMY


@njit(cache=True)
def _write_conditional(board, counts, size, flat, tables, wanted):
    """Per free unit a row of each table."""
    kinds, move, harvest, hand_in, produce, product, target = tables
    cells = board.shape[1]
    stock = counts[C_STOCK]
    dearest, _ = note_running(board, size, wanted)
    flat[cells:] = True
    for cell in range(cells):
        if flat[cell]:
            kinds[cell] = False
            move[cell] = False
            harvest[cell] = False
            hand_in[cell] = False
            produce[cell] = False
            product[cell] = False
            target[cell] = False
        flat[cell] = is_free_unit(board, cell)
        if flat[cell]:
            write_unit(
                board,
                stock,
                cell,
                size,
                wanted,
                dearest,
                kinds[cell],
                move[cell],
                harvest[cell],
                hand_in[cell],
                produce[cell],
                product[cell],
                target[cell],
            )


@njit(cache=True)
def _write_heads(board, counts, size, flat, wanted):
    """Per part of an order what some free unit has there."""
    cells = board.shape[1]
    stock = counts[C_STOCK]
    dearest, _ = note_running(board, size, wanted)
    flat[:] = False
    first = cells + len(ORDERS)
    for cell in range(cells):
        flat[cell] = is_free_unit(board, cell)
        if flat[cell]:
            write_unit(
                board,
                stock,
                cell,
                size,
                wanted,
                dearest,
                flat[cells:first],
                flat[first : first + 4],
                flat[first + 4 : first + 8],
                flat[first + 8 : first + 12],
                flat[first + 12 : first + 16],
                flat[first + 16 : first + 16 + len(KINDS)],
                flat[first + 16 + len(KINDS) :],
            )


@njit(cache=True)
def write_unit(
    board,
    stock,
    cell,
    size,
    wanted,
    dearest,
    kinds,
    move,
    harvest,
    hand_in,
    produce,
    product,
    target,
):
    """Set what a free unit may be told; entries that it may not be told are left alone.

    Args:
        board: int16 [LAYERS, cells].
        stock: Units in store.
        cell: Of the unit.
        size: Cells along one side.
        wanted: As `note_running` marked it.
        dearest: As `note_running` gave it.
        kinds: bool [6], what the unit is to do.
        move: bool [4], where to go.
        harvest: bool [4], where to harvest.
        hand_in: bool [4], where to hand in.
        produce: bool [4], where to produce.
        product: bool [7], what is to be made.
        target: bool [cells], who is to be hit.
    """
    kind = board[B_KIND, cell] - 1
    kinds[NONE] = True
    payable = False
    for made in range(len(KINDS)):
        payable |= PRODUCES[kind, made] and is_paid(stock, made, dearest)
    made_somewhere = False
    for direction in range(len(DIRECTIONS)):
        ahead = next_cell(cell, direction, size)
        if is_empty(board, ahead) and not wanted[ahead]:
            if MOVES[kind]:
                kinds[MOVE] = move[direction] = True
            if payable:
                kinds[PRODUCE] = produce[direction] = made_somewhere = True
        elif can_harvest(board, cell, direction, size):
            kinds[HARVEST] = harvest[direction] = True
        elif can_return(board, cell, direction, size):
            kinds[RETURN] = hand_in[direction] = True
    if made_somewhere:
        for made in range(len(KINDS)):
            if PRODUCES[kind, made] and is_paid(stock, made, dearest):
                product[made] = True
    if FIGHTS[kind]:
        x, y, reach = cell % size, cell // size, REACH[kind]
        for row in range(max(y - reach, 0), min(y + reach, size - 1) + 1):
            for column in range(max(x - reach, 0), min(x + reach, size - 1) + 1):
                enemy = row * size + column
                if can_attack(board, cell, enemy, size):
                    kinds[ATTACK] = target[enemy] = True

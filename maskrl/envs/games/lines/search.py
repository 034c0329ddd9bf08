"""Looking moves ahead in a game of lines, compiled: which moves come out best.

A search of n plies counts moves of both players: with one a player wins when it can, with
two it also stops the other from winning next. What lies beyond is worth nothing, so all
moves that neither win nor lose within the depth are equals, and one of them is drawn.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.lines.rules import cell_of, makes_line

WON = 100
"""Worth of a line; sooner ones are worth more, later losses are preferred to sooner ones."""


@njit(cache=True)
def worth_of(own, other, depth, shape, through):
    """What a position is worth to the player who is to move, looking `depth` plies ahead.

    Returns:
        WON + plies left after the line for a win, the negative of it for a loss, else 0.
    """
    rows, columns, falls = shape
    if depth == 0:
        return 0
    actions = columns if falls else rows * columns
    best = -1000
    for action in range(actions):
        cell = cell_of(own | other, action, rows, columns, falls)
        if cell < 0:
            continue
        after = own | (np.int64(1) << cell)
        if makes_line(after, cell, through):
            return WON + depth
        value = -worth_of(other, after, depth - 1, shape, through)
        best = max(best, value)
    return 0 if best == -1000 else best  # a full board is a draw


@njit(cache=True, nogil=True)
def best_moves(pieces, depth, best, shape, through):
    """Mark the moves of equal and highest worth in many positions.

    Args:
        pieces: int64 [K, 2], of who is to move and of the other.
        depth: Plies to look ahead, at least 1.
        best: bool [K, actions], overwritten; nothing where the board is full.
        shape: rows, columns, falls.
        through: int64 [cells, most], of the board.
    """
    rows, columns, falls = shape
    for k in range(pieces.shape[0]):
        own, other = pieces[k, 0], pieces[k, 1]
        highest = -1000
        for action in range(best.shape[1]):
            best[k, action] = False
            cell = cell_of(own | other, action, rows, columns, falls)
            if cell < 0:
                continue
            after = own | (np.int64(1) << cell)
            if makes_line(after, cell, through):
                value = WON + depth
            else:
                value = -worth_of(other, after, depth - 1, shape, through)
            if value > highest:
                best[k, :action] = False
                highest = value
            best[k, action] = value == highest


@njit(cache=True, nogil=True)
def win_or_block(pieces, best, shape, through):
    """Mark the moves that win; if none does those that take a winning cell; else all.

    Args:
        pieces: int64 [K, 2], of who is to move and of the other.
        best: bool [K, actions], overwritten; nothing where the board is full.
        shape: rows, columns, falls.
        through: int64 [cells, most], of the board.
    """
    rows, columns, falls = shape
    for k in range(pieces.shape[0]):
        own, other = pieces[k, 0], pieces[k, 1]
        rank = 0  # of what was found so far: 1 any move, 2 one that blocks, 3 one that wins
        for action in range(best.shape[1]):
            best[k, action] = False
            cell = cell_of(own | other, action, rows, columns, falls)
            if cell < 0:
                continue
            bit = np.int64(1) << cell
            mine = 1
            if makes_line(own | bit, cell, through):
                mine = 3
            elif makes_line(other | bit, cell, through):
                mine = 2
            if mine > rank:
                best[k, :action] = False
                rank = mine
            best[k, action] = mine == rank

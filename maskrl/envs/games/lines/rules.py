"""One move of a game of lines, compiled: where a piece goes, and whether it wins.

Pieces are bits of int64 numbers, one number per player. Nothing here knows whose turn it is
or what a game is worth.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, inline="always")
def cell_of(taken, action, rows, columns, falls):
    """The cell that a piece comes to lie in.

    Args:
        taken: Bits of all cells that are taken.
        action: A column where pieces fall, a cell elsewhere.
        rows: Of the board.
        columns: Of the board.
        falls: Whether pieces fall.

    Returns:
        The cell; -1 where the action is not allowed.
    """
    if not falls:
        return -1 if (taken >> action) & 1 else action
    for row in range(rows - 1, -1, -1):
        cell = row * columns + action
        if not (taken >> cell) & 1:
            return cell
    return -1


@njit(cache=True, inline="always")
def makes_line(pieces, cell, through):
    """Whether a line of these pieces runs through a cell.

    Args:
        pieces: Bits of one player's pieces, the one in `cell` included.
        cell: Just taken.
        through: int64 [cells, most], of the board.
    """
    for k in range(through.shape[1]):
        line = through[cell, k]
        if line == 0:
            return False
        if pieces & line == line:
            return True
    return False

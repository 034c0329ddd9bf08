"""One move in each of many games of lines, and what their players see, in compiled loops.

The loops are compiled once for every board: a board's shape and lines are arguments.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.envs.games.lines.rules import cell_of, makes_line


@njit(cache=True, nogil=True)
def play_all(games, actions, world, rewards, shape, through):
    """Make the next move of some games.

    The player whose turn it is takes a cell. Who completes a line gets 1 and the other -1; a
    full board is a draw; a move that is not allowed ends the game with -1 for who made it,
    and 0 for the other, and leaves the board as it was.

    Args:
        games: int64 [K], which games, each at most once and none that is over.
        actions: int64 [K], in range.
        world: pieces int64 [N, 2], to_move int64 [N] (-1 when over), over bool [N]; changed.
        rewards: float64 [N, 2]; added to.
        shape: rows, columns, falls.
        through: int64 [cells, most], of the board.
    """
    pieces, to_move, over = world
    rows, columns, falls = shape
    full = (np.int64(1) << (rows * columns)) - 1
    for k in range(games.shape[0]):
        game = games[k]
        player = to_move[game]
        taken = pieces[game, 0] | pieces[game, 1]
        cell = cell_of(taken, actions[k], rows, columns, falls)
        if cell < 0:
            rewards[game, player] -= 1.0
            over[game] = True
        else:
            pieces[game, player] |= np.int64(1) << cell
            if makes_line(pieces[game, player], cell, through):
                rewards[game, player] += 1.0
                rewards[game, 1 - player] -= 1.0
                over[game] = True
            elif pieces[game, 0] | pieces[game, 1] == full:
                over[game] = True
        to_move[game] = -1 if over[game] else 1 - player


@njit(cache=True, nogil=True)
def observe_all(games, seats, pieces, planes, action_mask, shape):
    """Write what players see: their own pieces, the other's, and which actions are allowed.

    Args:
        games: int64 [K].
        seats: int64 [K], who looks.
        pieces: int64 [N, 2].
        planes: int8 [K, cells, 2], overwritten.
        action_mask: bool [K, actions], overwritten.
        shape: rows, columns, falls.
    """
    rows, columns, falls = shape
    for k in range(games.shape[0]):
        own = pieces[games[k], seats[k]]
        other = pieces[games[k], 1 - seats[k]]
        for cell in range(rows * columns):
            planes[k, cell, 0] = (own >> cell) & 1
            planes[k, cell, 1] = (other >> cell) & 1
        taken = own | other
        for action in range(action_mask.shape[1]):
            # of a column the topmost cell tells whether it is full
            action_mask[k, action] = not (taken >> action) & 1


@njit(cache=True, nogil=True)
def read_all(planes, pieces):
    """Bits of pieces from planes, the reverse of `observe_all`.

    Args:
        planes: [K, cells, 2], not 0 where a piece is.
        pieces: int64 [K, 2], overwritten.
    """
    for k in range(planes.shape[0]):
        for player in range(2):
            bits = np.int64(0)
            for cell in range(planes.shape[1]):
                if planes[k, cell, player]:
                    bits |= np.int64(1) << cell
            pieces[k, player] = bits

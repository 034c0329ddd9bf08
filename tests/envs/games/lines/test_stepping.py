"""One move in many games at once, and what is seen of it, by hand."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.lines.board import TIC_TAC_TOE
from maskrl.envs.games.lines.stepping import observe_all, play_all, read_all

SHAPE = (3, 3, False)


def world(*pieces, to_move):
    """Pieces of both players as lists of cells."""
    held = [[sum(1 << cell for cell in own) for own in both] for both in pieces]
    count = len(held)
    return np.array(held), np.array(to_move), np.zeros(count, bool)


def test_winning_drawing_breaking_the_rules_and_going_on():
    games = world(
        ([0, 1], [3, 4]),  # the first takes 2 and wins
        ([0, 1], [3, 4]),  # the second, whose turn it is here, takes 5 and wins
        ([0, 1, 5, 6], [2, 3, 4, 7]),  # the last cell, no line
        ([0], [4]),  # the first takes what is taken
        ([0], [4]),  # and here nothing happens: it is not asked
        ([0], [4]),
        to_move=[0, 1, 0, 0, 0, 0],
    )
    before = games[0].copy()
    rewards = np.zeros((6, 2))
    asked = np.array([0, 1, 2, 3, 5])
    play_all(asked, np.array([2, 5, 8, 4, 8]), games, rewards, SHAPE, TIC_TAC_TOE.through)
    pieces, to_move, over = games
    assert rewards.tolist() == [[1, -1], [-1, 1], [0, 0], [-1, 0], [0, 0], [0, 0]]
    assert over.tolist() == [True, True, True, True, False, False]
    assert to_move.tolist() == [-1, -1, -1, -1, 0, 1]
    np.testing.assert_array_equal(pieces[[3, 4]], before[[3, 4]])  # an illegal move changes nothing
    assert pieces[5].tolist() == [1 | 1 << 8, 1 << 4]


def test_each_player_sees_its_own_pieces_first():
    pieces, _, _ = world(([0, 2], [4]), to_move=[1])
    planes = np.full((2, 9, 2), 7, np.int8)
    mask = np.zeros((2, 9), bool)
    observe_all(np.array([0, 0]), np.array([0, 1]), pieces, planes, mask, SHAPE)
    assert np.flatnonzero(planes[0, :, 0]).tolist() == [0, 2]
    assert np.flatnonzero(planes[0, :, 1]).tolist() == [4]
    np.testing.assert_array_equal(planes[1], planes[0][:, ::-1])
    free = [cell not in (0, 2, 4) for cell in range(9)]
    assert mask.tolist() == [free, free]
    read = np.zeros((2, 2), np.int64)
    read_all(planes, read)
    assert read.tolist() == [[0b101, 0b10000], [0b10000, 0b101]]

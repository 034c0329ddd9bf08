"""Searches against the same search in plain Python, and positions judged by hand."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.search import WON, best_moves, win_or_block, worth_of

SHAPE = (6, 7, True)


def bits(planes):
    flat = planes.reshape(-1, 2)
    return [sum(1 << int(n) for n in np.flatnonzero(flat[:, k])) for k in range(2)]


def marked(rule, pieces, board=CONNECT_FOUR, *more):
    found = np.zeros((1, board.actions), np.bool_)
    shape = (board.rows, board.columns, board.falls)
    rule(np.array([pieces], np.int64), *more, found, shape, board.through)
    return np.flatnonzero(found[0]).tolist()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_best_moves_are_those_of_a_plain_search(positions, depth):
    decided = 0
    for game, player in positions[: 60 if depth < 3 else 12]:
        worths = {c: game.move_worth(c, player, depth) for c in game.free()}
        best = [c for c, w in worths.items() if w == max(worths.values())]
        assert marked(best_moves, bits(game.planes(player)), CONNECT_FOUR, depth) == best
        decided += len(best) < len(worths)
    assert decided >= 3  # in some positions there was something to see


def test_win_or_block_does_what_its_name_says(positions):
    kinds = {"win": 0, "block": 0, "any": 0}
    for game, player in positions:
        wins = [c for c in game.free() if game.after(c, player).has_won(player)]
        blocks = [c for c in game.free() if game.after(c, 3 - player).has_won(3 - player)]
        expected = wins or blocks or game.free()
        kinds["win" if wins else "block" if blocks else "any"] += 1
        assert marked(win_or_block, bits(game.planes(player))) == expected
    assert min(kinds.values()) >= 3


def test_a_sooner_win_is_worth_more():
    # three in the bottom row, cells 35, 36, 37: column 4 (cell 38) wins at once
    own = 0b111 << 35
    assert worth_of(own, 0, 3, SHAPE, CONNECT_FOUR.through) == WON + 3
    assert marked(best_moves, (own, 0), CONNECT_FOUR, 3) == [3]
    # the other stops it, and between two open ends it cannot
    assert marked(best_moves, (0, own), CONNECT_FOUR, 2) == [3]
    assert worth_of(0, 0b111 << 36, 2, SHAPE, CONNECT_FOUR.through) == -(WON + 1)


def test_a_full_board_is_worth_nothing():
    full = (1 << 42) - 1
    assert worth_of(0, full, 4, SHAPE, CONNECT_FOUR.through) == 0
    assert marked(best_moves, (0, full), CONNECT_FOUR, 2) == []
    assert marked(win_or_block, (0, full)) == []


def test_perfect_tic_tac_toe_is_a_draw():
    through = TIC_TAC_TOE.through
    assert worth_of(0, 0, 9, (3, 3, False), through) == 0
    # after a corner only the centre holds: cell 0 taken, 4 is the one good reply
    assert marked(best_moves, (0, 1), TIC_TAC_TOE, 8) == [4]

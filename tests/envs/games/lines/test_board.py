"""The boards of line games: their lines, counted by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE, Board
from maskrl.errors import ConfigError


def test_the_lines_of_connect_four():
    # across 6 rows x 4, down 3 x 7, and 3 x 4 of each diagonal: 24 + 21 + 12 + 12
    lines = CONNECT_FOUR.lines()
    assert len(lines) == len(set(lines)) == 69
    assert all(line.bit_count() == 4 and line < 1 << 42 for line in lines)


def test_the_lines_of_tic_tac_toe():
    # by hand, cells 0 to 8 row by row
    by_hand = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8)]
    by_hand += [(2, 4, 6)]
    assert sorted(TIC_TAC_TOE.lines()) == sorted(sum(1 << c for c in line) for line in by_hand)


@pytest.mark.parametrize("board", [CONNECT_FOUR, TIC_TAC_TOE, Board(4, 3, 2, falls=True)])
def test_every_line_is_found_from_each_of_its_cells(board):
    for cell in range(board.cells):
        through = {line for line in board.lines() if line >> cell & 1}
        assert set(board.through[cell].tolist()) - {0} == through
        filled = board.through[cell] != 0
        assert (np.diff(filled.astype(int)) <= 0).all()  # zeros come last, where the rule stops


def test_actions_are_columns_or_cells():
    assert CONNECT_FOUR.actions == 7 and CONNECT_FOUR.action_names[0] == "column 1"
    assert TIC_TAC_TOE.actions == 9 and TIC_TAC_TOE.action_names[5] == "row 2, column 3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((9, 7, 4), "expected 1 to 62 cells, got 9 x 7"), ((3, 3, 4), "length: expected 1 to 3")],
)
def test_boards_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Board(*arguments, falls=True)

"""Where a piece goes and whether it wins, against a plain grid and by hand."""

from __future__ import annotations

import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.rules import cell_of, makes_line


def bits(*cells):
    return sum(1 << cell for cell in cells)


def test_pieces_fall_and_stand_on_each_other():
    # 6 rows of 7, cell 0 at the top left: column 3 is 38, 31, 24, 17, 10, 3 from below
    column = [38, 31, 24, 17, 10, 3]
    for height, cell in enumerate(column):
        assert cell_of(bits(*column[:height]), 3, 6, 7, True) == cell
    assert cell_of(bits(*column), 3, 6, 7, True) == -1
    assert cell_of(bits(*column), 2, 6, 7, True) == 37  # others do not care


def test_elsewhere_a_cell_is_taken_once():
    assert cell_of(0, 4, 3, 3, False) == 4
    assert cell_of(bits(4), 4, 3, 3, False) == -1
    assert cell_of(bits(4), 5, 3, 3, False) == 5


@pytest.mark.parametrize(
    ("line", "wins"),
    [
        ((35, 36, 37, 38), True),  # a row
        ((0, 7, 14, 21), True),  # a column
        ((38, 32, 26, 20), True),  # up to the right
        ((0, 8, 16, 24), True),  # down to the right
        ((4, 5, 6, 7), False),  # around the edge
        ((35, 36, 37), False),
        ((35, 36, 37, 39), False),
    ],
)
def test_lines_of_connect_four(line, wins):
    # whichever of its cells was taken last
    assert {makes_line(bits(*line), cell, CONNECT_FOUR.through) for cell in line} == {wins}


def test_only_lines_through_the_cell_count():
    pieces = bits(0, 1, 2, 7)
    assert makes_line(pieces, 1, TIC_TAC_TOE.through)
    assert not makes_line(pieces, 7, TIC_TAC_TOE.through)


def test_every_position_of_a_plain_grid(positions):
    for game, player in positions:
        taken = [bits(*(game.grid.reshape(-1) == p).nonzero()[0].tolist()) for p in (1, 2)]
        for column in range(7):
            cell = cell_of(taken[0] | taken[1], column, 6, 7, True)
            assert (cell >= 0) == (column in game.free())
            if cell < 0:
                continue
            after = game.after(column, player)
            assert after.grid.reshape(-1)[cell] == player
            mine = taken[player - 1] | 1 << cell
            assert makes_line(mine, cell, CONNECT_FOUR.through) == after.has_won(player)

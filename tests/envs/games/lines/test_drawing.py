"""Pictures of boards: every piece in its place and colour."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.drawing import (
    EMPTY,
    LINE,
    PIECES,
    board_text,
    draw_board,
    finished_line,
    picture_of,
)
from maskrl.errors import ConfigError, MaskShapeError


def test_pieces_are_where_they_lie():
    first, second = (1 << 35) | (1 << 28), 1 << 41
    picture = draw_board(CONNECT_FOUR, (first, second), cell=20)
    assert picture.shape == (140, 140, 3) and picture.dtype == np.uint8
    for cell in range(42):
        row, column = divmod(cell, 7)
        wanted = EMPTY
        if first >> cell & 1:
            wanted = PIECES[0]
        if second >> cell & 1:
            wanted = PIECES[1]
        assert tuple(picture[row * 20 + 10, column * 20 + 10]) == wanted


def test_a_finished_line_is_outlined():
    won = 0b1111 << 35
    plain, outlined = (draw_board(CONNECT_FOUR, (p, 0), cell=40) for p in (won ^ 1 << 38, won))
    assert not (plain[:240] == LINE).all(-1).any() and (outlined[:240] == LINE).all(-1).any()
    assert finished_line(CONNECT_FOUR, (won, 0)) == won
    assert "\x1b[1;" in board_text(CONNECT_FOUR, (won, 0))
    assert "\x1b[1;" not in board_text(CONNECT_FOUR, (won ^ 1 << 38, 0))


def test_the_seat_tells_whose_pieces_are_whose():
    planes = np.zeros((3, 3, 2), np.int8)
    planes[0, 0, 0] = planes[2, 2, 1] = 1
    first = picture_of(TIC_TAC_TOE, planes, 0, "ansi").splitlines()
    second = picture_of(TIC_TAC_TOE, planes, 1, "ansi").splitlines()
    assert "x" in first[0] and "o" in first[2] and "o" in second[0] and "x" in second[2]
    assert first[-1] == "the agent: x" and second[-1] == "the agent: o"
    np.testing.assert_array_equal(
        picture_of(TIC_TAC_TOE, planes, 1, "rgb_array"), draw_board(TIC_TAC_TOE, (256, 1))
    )


def test_what_is_refused():
    with pytest.raises(ConfigError, match="cell must be at least 12 pixels, got 5"):
        draw_board(TIC_TAC_TOE, (0, 0), cell=5)
    with pytest.raises(MaskShapeError, match=r"planes have shape \(3, 3, 2\), expected \(6, 7, 2"):
        picture_of(CONNECT_FOUR, np.zeros((3, 3, 2)), 0, "ansi")

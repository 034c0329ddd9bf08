"""The board under all pictures of pandas: sprites land where they are put, text is centred."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lettering import write
from maskrl.envs.games.panda.board import (
    PAPER,
    frame,
    meadow,
    print_line,
    put,
    strip_height,
    tint,
)


def test_the_meadow_has_two_greens_and_cannot_be_drawn_on() -> None:
    grass = meadow(3, 2, 20)
    assert grass.shape == (40, 60, 3) and meadow(3, 2, 20) is grass
    first, second = grass[:20, :20].reshape(-1, 3), grass[:20, 20:40].reshape(-1, 3)
    assert np.median(first, axis=0).tolist() != np.median(second, axis=0).tolist()
    with pytest.raises(ValueError, match="read-only"):
        grass[:] = 0
    assert strip_height(8) == 18 and strip_height(50) == 31


@pytest.mark.parametrize("at", [(1, 1), (0, 0), (2, 1), (1.5, 0.5), (-2, 0)])
def test_a_stamp_lies_on_the_middle_of_its_cell_and_is_cut_at_the_border(at: tuple) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    stamp = np.zeros((4, 4, 4), np.float32)
    stamp[..., 0], stamp[..., 3] = 100, 0.5  # premultiplied: half a layer of red
    picture[..., 1] = 80
    put(picture, stamp, at, 10)
    expected = np.zeros((20, 30), bool)
    middle_x, middle_y = (at[0] + 0.5) * 10, (at[1] + 0.5) * 10
    if at[0] >= 0:
        expected[int(middle_y) - 2 : int(middle_y) + 2, int(middle_x) - 2 : int(middle_x) + 2] = (
            True
        )
    np.testing.assert_array_equal(picture[..., 0] == 100, expected)
    np.testing.assert_array_equal(picture[..., 1] == 40, expected)


def test_tints_mix_and_frames_go_around() -> None:
    area = np.full((4, 4, 3), 100, np.uint8)
    tint(area, (200, 100, 0), 0.25)
    assert area[0, 0].tolist() == [125, 100, 75]
    board = np.zeros((9, 9, 3), np.uint8)
    frame(board, (200, 200, 200), 2)
    edge = np.ones((9, 9), bool)
    edge[2:-2, 2:-2] = False
    np.testing.assert_array_equal(board[..., 0] == 170, edge)
    assert (board[2:-2, 2:-2] == 0).all()


def test_text_is_printed_around_its_middle() -> None:
    picture = np.zeros((30, 40, 3), np.uint8)
    coverage = write("o", 10)
    print_line(picture, coverage, 5, 15, 10, PAPER)
    rows, columns = np.nonzero(picture[..., 0] > 128)
    assert abs(rows.mean() - 15) < 1 and columns.min() >= 5
    assert columns.max() < 5 + coverage.shape[1]

"""Sight lines: hand-drawn cases, symmetry, and the bit sets behind them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrl.geometry import cell_bits, cells_between, line_of_sight, words_for


def _cells(width: int, height: int, start: tuple[int, int], end: tuple[int, int]) -> set[tuple]:
    table = cells_between(width, height)
    row = table[start[1] * width + start[0], end[1] * width + end[0]]
    numbers = [c for c in range(width * height) if int(row[c // 64]) >> (c % 64) & 1]
    return {(c % width, c // width) for c in numbers}


def test_straight_and_diagonal_lines_cross_what_lies_between() -> None:
    assert _cells(7, 7, (1, 2), (5, 2)) == {(2, 2), (3, 2), (4, 2)}
    assert _cells(7, 7, (3, 6), (3, 3)) == {(3, 5), (3, 4)}
    assert _cells(7, 7, (0, 0), (3, 3)) == {(1, 1), (2, 2)}


def test_neighbours_have_nothing_between_them() -> None:
    for end in ((2, 3), (4, 3), (3, 2), (3, 4), (2, 2), (4, 4), (3, 3)):
        assert _cells(7, 7, (3, 3), end) == set()


@pytest.mark.parametrize(("width", "height"), [(7, 7), (5, 9), (1, 6), (9, 8), (12, 12)])
def test_lines_are_symmetric_and_never_hold_their_ends(width: int, height: int) -> None:
    table = cells_between(width, height)
    np.testing.assert_array_equal(table, table.swapaxes(0, 1))
    for a in range(width * height):
        assert not any(int(table[a, b, a // 64]) >> (a % 64) & 1 for b in range(width * height))


def test_a_line_has_one_cell_per_step_of_its_longer_side() -> None:
    assert len(_cells(9, 9, (0, 0), (8, 3))) == 7
    assert len(_cells(9, 9, (1, 8), (3, 0))) == 7


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_cell_bits_agree_with_the_cells(cells: int, seed: int) -> None:
    occluders = np.random.default_rng(seed).random((3, cells)) < 0.5
    words = cell_bits(occluders)
    assert words.shape == (3, words_for(cells))
    for row in range(3):
        unpacked = [bool(int(words[row, c // 64]) >> (c % 64) & 1) for c in range(cells)]
        assert unpacked == occluders[row].tolist()


def test_line_of_sight_sees_around_and_not_through() -> None:
    trees = np.zeros((3, 3), bool)
    trees[1, 1] = True
    positions = np.array([[0, 1], [2, 1], [2, 0], [1, 1]])
    expected = np.array(
        [
            [True, False, False, True],  # the tree hides (2, 1) and (2, 0) from (0, 1)
            [False, True, True, True],
            [False, True, True, True],
            [True, True, True, True],  # a tree is seen: only what lies between blocks
        ]
    )
    np.testing.assert_array_equal(line_of_sight(positions, trees), expected)


def test_messages_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"positions\[1\] = \[3, 0\] lies outside"):
        line_of_sight(np.array([[0, 0], [3, 0]]), np.zeros((3, 3), bool))
    with pytest.raises(ValueError, match="must be positive, got 0, 3"):
        cells_between(0, 3)
    with pytest.raises(ValueError, match="more than 1 GiB"):
        cells_between(100, 100)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint64])
def test_narrow_positions_do_not_overflow(dtype: type) -> None:
    trees = np.zeros((30, 10), dtype=bool)
    trees[29, 5] = True
    places = np.array([[0, 29], [9, 29], [0, 0]])
    expected = line_of_sight(places, trees)
    assert not expected[0, 1] and expected[0, 2]
    np.testing.assert_array_equal(line_of_sight(places.astype(dtype), trees), expected)


def test_positions_are_integers() -> None:
    with pytest.raises(ValueError, match="must be integers, got float64"):
        line_of_sight(np.array([[0.5, 0.0]]), np.zeros((3, 3), dtype=bool))

"""The tables say what the plain rules compute, on square and on oblong grids."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.panda.rules import OUTSIDE
from maskrl.envs.games.panda.settings import DOWN, LEFT, RIGHT, UP
from maskrl.geometry import cells_between, words_for

STEP = {UP: (0, -1), DOWN: (0, 1), LEFT: (-1, 0), RIGHT: (1, 0)}


@pytest.mark.parametrize(("width", "height"), [(7, 7), (5, 9), (16, 5), (8, 8)])
def test_tables_against_coordinates(width: int, height: int) -> None:
    grid = grid_tables(width, height)
    cells = [(cell % width, cell // width) for cell in range(width * height)]
    for cell, (x, y) in enumerate(cells):
        for direction, (dx, dy) in STEP.items():
            inside = 0 <= x + dx < width and 0 <= y + dy < height
            ahead = (y + dy) * width + x + dx if inside else OUTSIDE
            assert grid.ahead[cell, direction] == ahead
        for other, (u, v) in enumerate(cells):
            assert grid.steps[cell, other] == abs(x - u) + abs(y - v)
            first, second = grid.towards[cell, other]
            if cell != other:  # the greedy step comes closer, and starts along the longer axis
                assert grid.steps[first, other] == grid.steps[cell, other] - 1
                assert (abs(first - cell) == 1) == (abs(x - u) >= abs(y - v))
            if x != u and y != v:
                assert grid.steps[second, other] == grid.steps[cell, other] - 1 and second != first
            else:
                assert second == OUTSIDE
    np.testing.assert_array_equal(grid.between, cells_between(width, height))


def test_sets_of_cells_are_bits() -> None:
    grid = grid_tables(16, 5)
    for name, wanted in (
        ("all_cells", range(80)),
        ("has_left", [cell for cell in range(80) if cell % 16 != 0]),
        ("has_right", [cell for cell in range(80) if cell % 16 != 15]),
    ):
        words = getattr(grid, name)
        assert words.shape == (words_for(80),)
        bits = [word * 64 + b for word in range(2) for b in range(64) if int(words[word]) >> b & 1]
        assert bits == list(wanted), name


def test_tables_are_shared_and_cannot_be_written_to() -> None:
    grid = grid_tables(7, 7)
    assert grid_tables(7, 7) is grid
    for table in (entry for entry in grid if isinstance(entry, np.ndarray)):
        with pytest.raises(ValueError, match="read-only"):
            table[:] = 0

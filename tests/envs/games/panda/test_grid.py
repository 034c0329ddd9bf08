"""The tables say what the plain rules compute, on square and on oblong grids."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import grid_tables, world_grid
from maskrl.envs.games.panda.rules import OUTSIDE
from maskrl.envs.games.panda.settings import (
    DOWN,
    DRAGON,
    LEFT,
    PANDA,
    RIGHT,
    SCORPION,
    TREE,
    UP,
    WATERMELON,
    PandaSettings,
)
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


def _seen(kind: int, facing: int, start: int = 12, **limits: int) -> list[str]:
    """The cells of a 5 x 5 grid that somebody in its middle looks at, as five rows."""
    grid = world_grid(PandaSettings(width=5, height=5, **limits))
    ways = grid.offsets - grid.offsets[start] + grid.middle
    told = grid.in_view[kind, facing, ways].reshape(5, 5)
    return ["".join("x" if cell else "." for cell in row) for row in told]


def test_a_radius_counts_steps() -> None:
    near = ["..x..", ".xxx.", "xxxxx", ".xxx.", "..x.."]
    assert _seen(PANDA, UP, panda_view_radius=2) == near
    assert _seen(PANDA, LEFT, panda_view_radius=1)[2] == ".xxx."
    assert _seen(DRAGON, UP, panda_view_radius=2) == ["xxxxx"] * 5  # everybody's own limits


def test_a_field_of_view_opens_where_one_faces() -> None:
    quarter = ["xxxxx", ".xxx.", "..x..", ".....", "....."]
    assert _seen(DRAGON, UP, dragon_field_of_view=90) == quarter
    assert _seen(DRAGON, DOWN, dragon_field_of_view=90) == quarter[::-1]
    assert _seen(DRAGON, LEFT, dragon_field_of_view=90) == [
        "x....",
        "xx...",
        "xxx..",
        "xx...",
        "x....",
    ]
    half = ["..xxx", "..xxx", "..xxx", "..xxx", "..xxx"]
    assert _seen(SCORPION, RIGHT, scorpion_field_of_view=180) == half
    # Less than 45 degrees to either side: neither the diagonal nor what is beside it.
    assert _seen(PANDA, UP, panda_field_of_view=89)[:2] == [".xxx.", "..x.."]
    # All but what is straight behind.
    assert _seen(PANDA, UP, panda_field_of_view=359) == ["xxxxx"] * 3 + ["xx.xx"] * 2


def test_radius_and_field_limit_together() -> None:
    limits = {"dragon_field_of_view": 90, "dragon_view_radius": 2}
    assert _seen(DRAGON, UP, **limits) == ["..x..", ".xxx.", "..x..", ".....", "....."]


def test_things_without_eyes_see_as_before_and_worlds_without_limits_share_tables() -> None:
    limited = world_grid(PandaSettings(panda_view_radius=1, dragon_field_of_view=10))
    assert limited.limited and limited.in_view[[WATERMELON, TREE]].all()
    assert limited.between is grid_tables(7, 7).between
    assert world_grid(PandaSettings(max_dragons=3)) is grid_tables(7, 7)
    assert not grid_tables(7, 7).limited

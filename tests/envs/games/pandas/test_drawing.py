"""Pictures of many pandas: each thing in its own cell, and the strip that tells the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.panda.board import meadow, strip_height
from maskrl.envs.games.pandas.drawing import cell_size, draw_team
from maskrl.envs.games.pandas.scene import TeamScene
from maskrl.errors import ConfigError

CELL = 32
SCENE = TeamScene(
    width=12,
    height=8,
    pandas=((2, 2), (5, 5), None),
    chewing=(0, 1, 0),
    watermelons=((7, 1),),
    scorpions=((9, 4), (9, 4)),
    trees=((0, 7),),
    watermelons_at_first=4,
    step=3,
    step_limit=12,
)


def changed(first: np.ndarray, second: np.ndarray) -> set[tuple[int, int]]:
    """Cells (x, y) of the board in which two pictures differ."""
    different = (first != second).any(axis=-1)[: 8 * CELL]
    y, x = np.nonzero(different)
    return set(zip((x // CELL).tolist(), (y // CELL).tolist(), strict=True))


def test_each_thing_is_drawn_in_its_own_cell() -> None:
    picture = draw_team(SCENE, CELL)
    assert picture.shape == (8 * CELL + strip_height(CELL), 12 * CELL, 3)
    assert picture.dtype == np.uint8
    found = changed(picture, np.pad(meadow(12, 8, CELL), ((0, strip_height(CELL)), (0, 0), (0, 0))))
    assert found == {(2, 2), (5, 5), (7, 1), (9, 4), (0, 7)}
    again = draw_team(SCENE, CELL)
    np.testing.assert_array_equal(picture, again)
    assert again is not picture


@pytest.mark.parametrize(
    ("change", "cells"),
    [
        ({"chewing": (2, 1, 0)}, {(2, 2)}),
        ({"last_actions": ("left", None, None)}, {(3, 2)}),
        ({"last_actions": ("up", "stay", None)}, {(2, 3)}),
        ({"fallen": ((6, 6),)}, {(6, 6)}),
        ({"watermelons": ()}, {(7, 1)}),
        ({"pandas": ((2, 2), (5, 5), (11, 7))}, {(11, 7)}),
    ],
)
def test_what_changes_in_a_scene_changes_in_its_cell(
    change: dict[str, Any], cells: set[tuple[int, int]]
) -> None:
    assert changed(draw_team(SCENE, CELL), draw_team(replace(SCENE, **change), CELL)) == cells


def test_pandas_wear_numbers_where_there_is_room() -> None:
    swapped = replace(SCENE, pandas=((5, 5), (2, 2), None), chewing=(1, 0, 0))
    assert changed(draw_team(SCENE, CELL), draw_team(swapped, CELL)) == {(2, 2), (5, 5)}
    np.testing.assert_array_equal(draw_team(SCENE, 20), draw_team(swapped, 20))


def test_the_strip_tells_steps_meals_lives_and_the_end() -> None:
    plain = draw_team(SCENE, CELL)[8 * CELL :]
    bar = plain[0, :, 1] > 150
    assert bar.sum() == 12 * CELL * 3 // 12 and bar[: bar.sum()].all()
    for change in ({"step": 4}, {"watermelons": ()}, {"pandas": ((2, 2), None, None)}):
        strip = draw_team(replace(SCENE, **change), CELL)[8 * CELL :]
        assert (strip != plain).any(), change
    board = draw_team(SCENE, CELL)[: 8 * CELL]
    frames = []
    for ending in ("all eaten", "died out", "out of time"):
        ended = draw_team(replace(SCENE, ending=ending), CELL)
        frames.append(ended[0, 0].tolist())
        assert (ended[8 * CELL :] != plain).any() and (ended[0] != board[0]).any()
    assert len({tuple(colour) for colour in frames}) == 3


def test_pictures_have_a_sensible_size() -> None:
    assert [cell_size(replace(SCENE, width=w, height=w)) for w in (12, 20, 32)] == [46, 28, 17]
    small = TeamScene(width=4, height=4, pandas=((0, 0),), chewing=(0,))
    assert cell_size(small) == 48 and draw_team(small, 8).shape == (32 + 18, 32, 3)
    with pytest.raises(ConfigError, match="at least 8 pixels, got 7"):
        draw_team(small, 7)

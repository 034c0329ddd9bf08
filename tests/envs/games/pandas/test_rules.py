"""The rules of the pandas' world, one function at a time, against words and counts."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.pandas.rules import (
    ENDINGS,
    OUT_OF_TIME,
    action_allowed,
    cell_ahead,
    nearest_panda,
    scorpion_moves,
    scorpion_step,
)
from maskrl.envs.games.pandas.settings import ABSENT, ACTION_NAMES, NOBODY

GRID = grid_tables(5, 5)


def test_actions_lead_where_their_names_say() -> None:
    ahead = [int(cell_ahead(action, 12, GRID)) for action in range(5)]
    assert dict(zip(ACTION_NAMES, ahead, strict=True)) == {
        "stay": 12,
        "up": 7,
        "down": 17,
        "left": 11,
        "right": 13,
    }
    assert ENDINGS[OUT_OF_TIME] == "out of time"


def test_borders_trees_and_pandas_are_in_the_way() -> None:
    trees, standing = np.zeros(25, bool), np.full(25, NOBODY, np.int32)
    trees[1], standing[5], standing[0] = True, 1, 0
    allowed = [bool(action_allowed(action, 0, trees, standing, GRID)) for action in range(5)]
    assert allowed == [True, False, False, False, False]
    standing[5], trees[1] = NOBODY, False
    allowed = [bool(action_allowed(action, 0, trees, standing, GRID)) for action in range(5)]
    assert allowed == [True, False, True, False, True]


def test_a_scorpion_goes_for_the_nearest_living_panda_of_the_lowest_cell() -> None:
    generator, found = np.random.default_rng(0), 0
    for _ in range(500):
        pandas = generator.choice(25, size=4, replace=False).astype(np.int32)
        rest = generator.integers(-1, 3, size=4).astype(np.int32)
        scorpion = int(generator.integers(25))
        near = sorted(
            (abs(scorpion % 5 - p % 5) + abs(scorpion // 5 - p // 5), int(p))
            for p, r in zip(pandas.tolist(), rest.tolist(), strict=True)
            if r >= 0
        )
        expected = near[0][1] if near and near[0][0] <= 2 else ABSENT
        assert nearest_panda(scorpion, pandas, rest, GRID) == expected
        order = generator.permutation(4)
        assert nearest_panda(scorpion, pandas[order], rest[order], GRID) == expected
        found += expected != ABSENT
    assert 100 < found < 400


@pytest.mark.parametrize("goal", [ABSENT, 6, 14])
def test_a_scorpion_moves_as_often_as_its_chances_say(goal: int) -> None:
    closed = np.zeros(25, bool)
    closed[[7, 13]] = True
    cells, chances = np.zeros(5, np.int32), np.zeros(5)
    count = scorpion_moves(cells, chances, 12, goal, closed, GRID)
    expected = np.zeros(25)
    np.add.at(expected, cells[:count], chances[:count])
    assert expected.sum() == pytest.approx(1) and expected[[7, 13]].sum() == 0
    draws = (np.arange(8000) + 0.5) / 8000
    ended = np.bincount([scorpion_step(u, 12, goal, closed, GRID) for u in draws], minlength=25)
    np.testing.assert_allclose(ended / 8000, expected, atol=1e-3)
    if goal == ABSENT:  # left and down are free, up and right are not
        assert expected[[11, 17, 12]].tolist() == [0.125, 0.125, 0.75]
    if goal == 6:  # both axes are as long, along the row first
        assert expected[11] == 0.5
    if goal == 14:  # the only way there is closed
        assert expected[12] == 1.0

"""The exact value of two pandas' play: by hand, against play, and what the script is worth."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.pandas.layouts import layout
from maskrl.envs.games.pandas.planner import plan
from maskrl.envs.games.pandas.reference import play
from maskrl.envs.games.pandas.settings import PandasSettings
from maskrl.errors import NoReferenceError


def _distance(a: int, b: int) -> int:
    return abs(a % 4 - b % 4) + abs(a // 4 - b // 4)


def test_one_step_is_worth_what_can_be_reached_in_it() -> None:
    # No scorpion, no tree: with one step to go each panda eats what lies beside it. Both may
    # want one watermelon, and get one. Random play takes it with the chance of its moves.
    settings = PandasSettings(
        pandas=2, width=4, watermelons=2, scorpions=0, max_trees=0, step_limit=1
    )
    seen = set()
    for seed in range(60):
        world = layout(settings, seed)
        first, second = (int(cell) for cell in world.pandas[0])
        beside = [
            {int(m) for m in world.melons[0] if _distance(int(m), p) == 1} for p in (first, second)
        ]
        union = len(beside[0] | beside[1])
        best = min(union, sum(bool(each) for each in beside))
        assert plan(settings, seed, "best") == best
        expected = 0.0
        moves = []
        for p, other in ((first, second), (second, first)):
            x, y = p % 4, p // 4
            inside = [
                v * 4 + u
                for u, v in ((x, y - 1), (x, y + 1), (x - 1, y), (x + 1, y))
                if 0 <= u < 4 and 0 <= v < 4
            ]
            moves.append([p, *(cell for cell in inside if cell != other)])
        melons = {int(m) for m in world.melons[0]}
        for a in moves[0]:
            for b in moves[1]:
                expected += len({a, b} & melons) / (len(moves[0]) * len(moves[1]))
        assert plan(settings, seed, "random") == pytest.approx(expected, abs=1e-12)
        seen.add((best, union))
    assert {(0, 0), (1, 1), (2, 2)} <= seen


def test_with_time_and_without_scorpions_everything_is_eaten() -> None:
    settings = PandasSettings(pandas=2, scorpions=0, step_limit=30)
    for seed in range(3):
        assert plan(settings, seed, "best") == 3.0
        assert plan(settings, seed, "script") == 3.0
        assert 0.0 < plan(settings, seed, "random") < 3.0


@pytest.mark.parametrize("chew", [0, 2])
def test_values_are_what_play_gets(chew: int) -> None:
    settings = PandasSettings(pandas=2, chew_steps=chew, step_limit=10)
    seeds = split_seeds("test", 2)
    for name, scripted in (("random", False), ("script", True)):
        exact = [plan(settings, int(seed), name) for seed in seeds]  # type: ignore[arg-type]
        played = play(settings, seeds, scripted=scripted, episodes=4000)
        # At most 1.5 standard deviation of a return: 0.1 is above four standard errors.
        np.testing.assert_allclose(played, exact, atol=0.1)
    assert np.mean(exact) > 0.5


def test_the_best_is_at_least_as_good_as_script_and_chance() -> None:
    settings = PandasSettings(pandas=2, step_limit=8)
    values = np.array(
        [[plan(settings, seed, k) for k in ("best", "script", "random")] for seed in range(2)]
    )
    assert (values[:, 0] >= values[:, 1]).all() and (values[:, 1] > values[:, 2]).all()


def test_larger_worlds_are_refused() -> None:
    with pytest.raises(NoReferenceError, match="cannot be planned exactly: it has 8 pandas"):
        plan(PandasSettings(), 0)


@pytest.mark.slow
def test_the_script_is_worth_seven_tenths_of_the_optimum() -> None:
    """Score of the script between random allowed play (0) and the best joint play (1)."""
    settings = PandasSettings(pandas=2)
    values = np.array(
        [
            [plan(settings, int(seed), k) for k in ("best", "script", "random")]
            for seed in split_seeds("test", 40)
        ]
    )
    best, script, chance = values.mean(axis=0)
    assert best - chance > 2
    assert (script - chance) / (best - chance) >= 0.7

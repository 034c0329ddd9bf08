"""What script and random play get: the same figures whenever asked, those of the environment."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.pandas.reference import EPISODES, play, random_actions, reference
from maskrl.envs.games.pandas.script import make_script_room, script_all
from maskrl.envs.games.pandas.settings import PandasSettings
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.envs.registry import find_entry
from maskrl.errors import ConfigError

SEEDS = split_seeds("test", 40)


def test_a_layout_has_the_same_figures_in_any_company() -> None:
    whole = reference({"pandas": 4}, SEEDS)
    part = reference({"pandas": 4, "form": "grid", "seed": 9, "split": "test"}, SEEDS[[7, 3, 7]])
    for name in ("planner", "random"):
        assert whole[name].shape == (40,) and whole[name].dtype == np.float64
        np.testing.assert_array_equal(part[name], whole[name][[7, 3, 7]])
    assert whole["label"] == "script"
    assert set(np.unique(whole["planner"] * EPISODES % 1)) == {0.0}


def test_it_is_what_the_environment_gives() -> None:
    settings = PandasSettings(pandas=4)
    expected = {name: play(settings, SEEDS, scripted=name, episodes=40).mean() for name in (0, 1)}
    env = PandasVectorEnv(400, pandas=4, layout_seeds=SEEDS, seed=8)
    room, actions = make_script_room(env.settings), np.zeros((400, 4), np.int64)
    for scripted in (False, True):
        observation, _ = env.reset(seed=8 + scripted)
        generator = np.random.default_rng(1)
        returns, live = np.zeros(400), np.ones(400, bool)
        while live.any():
            mask = observation["action_mask"]
            actions[:] = (generator.random(mask.shape) * mask).argmax(-1)
            if scripted:
                script_all(env._world, env._facts, room, actions)
            observation, rewards, terminated, truncated, _ = env.step(actions)
            returns += rewards * live
            live &= ~(terminated | truncated)
        # About four standard errors of 400 episodes.
        assert returns.mean() == pytest.approx(expected[scripted], abs=0.35 if scripted else 0.5)
    assert expected[1] - expected[0] > 3


def test_random_play_is_uniform_over_what_is_allowed() -> None:
    env = PandasVectorEnv(1, pandas=12, width=8, watermelons=6, scorpions=0, seed=0)
    observation, _ = env.reset()
    counts, counter = np.zeros((12, 5)), np.uint64(0)
    actions = np.zeros(12, np.int64)
    for _ in range(4000):
        counter = random_actions(0, np.uint64(3), counter, env._world, env._facts, actions)
        counts[np.arange(12), actions] += 1
    mask = observation["action_mask"][0]
    even = mask / mask.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(counts / 4000, even, atol=0.035)  # above four standard errors
    assert (counts[~mask] == 0).all()


def test_the_registry_knows_it() -> None:
    for env_id in ("pandas", "pandas-grid"):
        entry = find_entry(env_id)
        assert entry.reference is not None
        found = entry.reference(entry.kwargs_for("evaluation"), SEEDS[:4])
        assert (found["planner"] > found["random"] + 3).all()


def test_a_layout_that_does_not_exist_is_an_error() -> None:
    settings = PandasSettings(pandas=9, width=4, watermelons=1, scorpions=2, max_trees=0)
    with pytest.raises(ConfigError, match="no layout for seed 5"):
        play(settings, np.array([5]), scripted=True)

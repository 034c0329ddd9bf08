"""Reference returns: the planner's, in the order asked for, far apart for random and best play."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.packing.planner import plan
from maskrl.envs.games.packing.reference import reference
from maskrl.envs.games.packing.settings import CANDIDATE_FEATURES, PackingSettings
from maskrl.envs.games.packing.vector_env import PackingVectorEnv
from maskrl.envs.registry import find_entry


def test_values_are_the_planners_in_the_order_asked_for() -> None:
    found = reference({"split": "test", "layout_seeds": 3, "slots": 20}, [4, 2, 4])
    plans = [plan(PackingSettings(slots=20), seed) for seed in (4, 2, 4)]
    assert found["planner"].tolist() == [p.best for p in plans]
    assert found["random"].tolist() == [p.random for p in plans]
    assert reference({}, [])["planner"].shape == (0,)


def test_the_registered_entry_finds_it() -> None:
    ask = find_entry("packing").reference
    assert ask is not None
    np.testing.assert_array_equal(ask({}, [1])["planner"], reference({}, [1])["planner"])


def test_random_and_greedy_play_stay_below_the_threshold_of_a_trained_agent() -> None:
    """Over 500 test layouts: random 53 % of the optimum, greedy by density 88 %."""
    env = PackingVectorEnv(500, layout_seeds=500, split="test")
    observation, infos = env.reset()
    returns = reference({}, infos["layout_id"])
    optimum = returns["planner"].mean()
    assert 0.5 < returns["random"].mean() / optimum < 0.56
    density = CANDIDATE_FEATURES.index("worth_for_weight")
    earned, running = np.zeros(500), np.ones(500, bool)
    while running.any():
        score = np.where(observation["action_mask"], observation["candidates"][..., density], -1)
        observation, rewards, terminated, truncated, _ = env.step(score.argmax(axis=1))
        earned += rewards * running
        running &= ~(terminated | truncated)
    assert env.illegal_actions == 0
    assert (earned <= returns["planner"] + 1e-9).all()
    assert 0.86 < earned.mean() / optimum < 0.91

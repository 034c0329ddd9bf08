"""Both forms of the world obey the same rules and the project's contract."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.bench.groups.training_world import (
    ACTIONS,
    FEATURES,
    STEP_LIMIT,
    PythonWorld,
    native_world,
    python_world,
    settle,
)
from maskrl.bench.groups.worlds import random_valid


def test_what_is_seen_and_allowed():
    numbers = np.zeros((2, FEATURES))
    numbers[0, ACTIONS + 3] = 1.0
    observation, mask = settle(numbers)
    assert observation.dtype == np.float32 and mask.dtype == np.bool_
    assert mask.sum(-1).tolist() == [2, 1] and mask[0, 3] and mask[:, 0].all()


@pytest.mark.parametrize("make", [native_world, python_world])
def test_rewards_are_the_worth_of_actions_and_episodes_end(make):
    env = make(5, seed=0)
    obs, _ = env.reset()
    random = np.random.default_rng(0)
    ends = 0
    for _ in range(STEP_LIMIT + 1):
        assert env.observation_space.contains(obs)
        actions = random_valid(obs["action_mask"], random)
        worth = obs["observation"][np.arange(5), actions].copy()
        obs, rewards, terminated, truncated, _ = env.step(actions)
        assert rewards == pytest.approx(worth) and not truncated.any()
        ends += int(terminated.sum())
    assert ends == 5


def test_episodes_of_arrays_begin_at_different_places():
    env = native_world(3, seed=0)
    env.reset()
    ends = [np.flatnonzero(env.step(np.zeros(3, int))[2]).tolist() for _ in range(STEP_LIMIT)]
    assert ends[-3:] == [[2], [1], [0]] and not any(ends[:-3])


def test_the_single_one_is_seeded():
    worlds = [PythonWorld(), PythonWorld()]
    first, second = (world.reset(seed=3)[0]["observation"] for world in worlds)
    assert np.array_equal(first, second)
    steps = [world.step(0)[0]["observation"] for world in worlds]
    assert np.array_equal(*steps) and not np.array_equal(steps[0], first)

"""Illegal actions: by the masks, and by the environment only where the masks say nothing."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np

from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.trainers.illegal_count import IllegalCount, counted


class Counting(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.illegal_actions = 0


def test_the_masks_are_believed_where_they_disallow_something():
    venv = SimpleNamespace(illegal_actions=5)
    count = IllegalCount(venv)
    count.begin(opened=False)
    venv.illegal_actions += 7  # idle rows, and rows that do not count
    count.end(np.array([1, 2, 4]), np.array([True, False, True]))
    assert count.total == 5


def test_the_environment_is_believed_where_they_allow_everything():
    venv = SimpleNamespace(illegal_actions=5)
    count = IllegalCount(venv)
    count.begin(opened=True)
    venv.illegal_actions += 2
    count.end(np.zeros(3, int), np.array([True, False, True]))
    assert count.total == 2
    venv.illegal_actions = np.array([3, 8, 1])
    count.begin(opened=True)
    venv.illegal_actions = np.array([4, 9, 3])
    count.end(np.zeros(3, int), np.array([True, False, True]))
    assert count.total == 2 + 1 + 2


def test_sub_environments_count_for_themselves_through_wrappers():
    venv = GymnasiumVectorEnv([Counting] * 3)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(venv)
    for k, env in enumerate(venv.envs):
        env.illegal_actions = k
    assert counted(venv).tolist() == counted(wrapped).tolist() == [0, 1, 2]


def test_who_does_not_count_says_nothing():
    assert counted(SimpleNamespace()) is None
    count = IllegalCount(SimpleNamespace())
    count.begin(opened=True)
    count.end(np.array([1, 1]), np.array([True, False]))
    assert count.total == 1

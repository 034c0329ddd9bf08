"""The compiled loop: starts, final observations, and totals of what became of orders."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.mining.layouts import start_board
from maskrl.envs.games.mining.settings import CARRIED_OUT, FATES, IMPOSSIBLE, NO_UNIT
from maskrl.envs.games.mining.stepping import begin_episode
from maskrl.envs.games.mining.vector_env import MiningVectorEnv


def test_one_world_begins_anew_and_the_others_stay() -> None:
    world = np.ones((2, 8, 16), np.int16), np.full((2, 2), 9)
    begin_episode(1, world, start_board("4x4"))
    np.testing.assert_array_equal(world[0][1], start_board("4x4"))
    assert (world[0][0] == 1).all()
    assert world[1].tolist() == [[9, 9], [5, 0]]


def test_fates_are_told_by_world_and_added_up() -> None:
    env = MiningVectorEnv(3, board="4x4")
    env.reset()
    actions = np.zeros((3, 8), np.int64)
    actions[:, 0] = 5, 5, 3
    actions[:, 1] = 1  # up: free; harvest up: no mine there; and no unit at all
    actions[1, 1] = 2
    *_, infos = env.step(actions)
    assert infos["fate"].tolist() == [CARRIED_OUT, IMPOSSIBLE, NO_UNIT]
    assert env.fates == dict(zip(FATES, (1, 1, 0, 0, 1, 0, 0), strict=True))
    assert env.illegal_actions == 2


def test_no_reward_without_a_legal_order() -> None:
    env = MiningVectorEnv(2, board="4x4")
    env.reset()
    harvest = np.array([[5, 2, 0, 0, 0, 0, 0, 0]] * 2)  # nothing to harvest above (1, 1)
    _, rewards, *_ = env.step(harvest)
    assert rewards.tolist() == [0, 0]
    move = np.array([[5, 1, 0, 0, 0, 0, 0, 0], [5, 1, 3, 0, 0, 0, 0, 0]])
    env.step(move)
    harvest = np.array([[1, 2, 0, 3, 0, 0, 0, 0], [4, 2, 0, 0, 0, 0, 0, 0]])
    _, rewards, *_ = env.step(harvest)
    assert rewards.tolist() == [1, 1]

"""Episodes in one loop: layouts from lists or streams, ends, counted mistakes."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.outpost.layouts import layout
from maskrl.envs.games.outpost.settings import (
    MINER,
    S_COLUMNS,
    S_STEP,
    S_WOLVES,
    WAIT,
    OutpostSettings,
)
from maskrl.envs.games.outpost.stepping import begin_episode, step_all
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv

LIMITS = np.array([0, 3, 2, 3], np.int64)


def _world(count: int) -> tuple[np.ndarray, ...]:
    keys = np.arange(count, dtype=np.uint64)
    counters, numbers = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    return np.zeros((count, S_COLUMNS), np.int64), keys, counters, numbers, numbers.copy()


def test_listed_layouts_come_in_turn_and_draw_no_number() -> None:
    world = _world(2)
    listed = (np.array([5, 6, 7], np.int64), 0, 40, LIMITS)
    seen = []
    for _ in range(3):
        for index in range(2):
            assert begin_episode(index, world, listed)
            np.testing.assert_array_equal(
                world[0][index], layout(OutpostSettings(), int(world[3][index]))
            )
        seen.append(world[3].tolist())
    assert seen == [[5, 6], [7, 5], [6, 7]]
    assert not world[2].any() and world[4].tolist() == [3, 3]


def test_drawn_layouts_lie_in_their_range_and_differ() -> None:
    world = _world(300)
    drawn = (np.empty(0, np.int64), 1000, 40, LIMITS)
    for index in range(300):
        assert begin_episode(index, world, drawn)
    assert ((world[3] >= 1000) & (world[3] < 1000 + 2**40)).all()
    assert len(set(world[3].tolist())) == 300
    assert (world[2] == 1).all()


def test_settings_without_room_are_reported() -> None:
    # Rocks everywhere but in the base, the mine and the grove: no way to either.
    world = _world(3)
    full = (np.array([1], np.int64), 0, 40, np.array([22, 22, 0, 0], np.int64))
    assert not begin_episode(1, world, full)
    env = OutpostVectorEnv(3)
    env.reset(seed=0)
    arrays = (env._observation, env._final, env._rewards, env._ended, env._final_layouts)
    env._world[0][1, S_STEP] = 15
    actions = np.full((3, 4), 0)
    actions[:, 0] = WAIT
    assert step_all(actions, env._world, full, *arrays, 16, True) == (0, 1)


def test_without_autoreset_the_last_state_stays() -> None:
    env = OutpostVectorEnv(1, step_limit=1)
    env.reset(seed=0)
    env._autoreset = False
    start = env.get_state()["state"]
    _, _, terminated, _, infos = env.step(np.array([[WAIT, 0, 0, 0]]))
    assert terminated.all() and infos["layout_id"] == env.get_state()["layout_ids"]
    after = env.get_state()["state"]
    assert after[0, S_STEP] == 1
    np.testing.assert_array_equal(after[0, S_STEP + 1 :], start[0, S_STEP + 1 :])


def test_only_the_commanded_unit_acts() -> None:
    env = OutpostVectorEnv(64, seed=1)
    observation, _ = env.reset()
    before = env.get_state()["state"]
    directions = observation["action_mask:direction"][:, MINER].argmax(axis=1)
    actions = np.stack([np.zeros(64, int), directions, directions * 0, directions * 0], axis=1)
    env.step(actions)
    after = env.get_state()["state"]
    assert env.illegal_actions == 0
    assert (after[:, 0] != before[:, 0]).all()
    np.testing.assert_array_equal(after[:, [1, *range(2, 8)]], before[:, [1, *range(2, 8)]])
    np.testing.assert_array_equal(after[:, S_WOLVES:], before[:, S_WOLVES:])

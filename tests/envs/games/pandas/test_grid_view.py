"""The planes that a team is told, against the state they are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from maskrl.envs.games.pandas.settings import PLANES
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv


def test_planes_say_what_stands_where(drawn: Any) -> None:
    rows = ["1.M..", "....#", "..S..", "3...2"]
    env = drawn(rows, rest=[0, 1, -1], chew_steps=2, step_limit=40, form="grid")
    told = env.observation()
    planes = dict(zip(PLANES, told["grid"][0], strict=True))
    for name, cells in {
        "panda": {(0, 0): 1.0},
        "chewing": {(3, 4): 0.5},
        "watermelon": {(0, 2): 1.0},
        "scorpion": {(2, 2): 1.0},
    }.items():
        expected = np.zeros((4, 5), np.float32)
        for cell, value in cells.items():
            expected[cell] = value
        np.testing.assert_array_equal(planes[name], expected, err_msg=name)
    assert np.argwhere(planes["ground"] == 0).tolist() == [[1, 4]]
    assert (planes["time_left"] == 1).all()
    assert told["agent_cells"].tolist() == [[0, 19, -1]]
    assert told["alive"].tolist() == [[True, True, False]]
    assert np.argwhere(told["agent_mask"][0]).tolist() == [[0, 0]]
    # Panda 1 in the corner may stay, go down and go right; nobody else may do anything.
    assert np.argwhere(told["action_mask"][0]).tolist() == [[0, 0, 0], [2, 0, 0], [4, 0, 0]]


def test_nothing_is_left_over_from_the_step_before() -> None:
    env = PandasVectorEnv(5, form="grid", seed=2, copy=False)
    fresh = PandasVectorEnv(5, form="grid", seed=2, copy=True)
    env.reset()
    generator = np.random.default_rng(0)
    for _ in range(70):
        told, *_ = env.step(generator.integers(0, 5, size=(5, 10, 10)))
        fresh.set_state(env.get_state())
        for name, array in fresh.observation().items():
            np.testing.assert_array_equal(told[name], array, err_msg=name)
        assert told["grid"].max() <= 1 and told["grid"].min() >= 0

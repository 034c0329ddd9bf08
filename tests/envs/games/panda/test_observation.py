"""Observations: features, padding, and who sees whom, against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.settings import DEFAULT_FEATURES, S_BANANAS, S_TREES, SCORPION
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.geometry import line_of_sight

COLUMN = {name: k for k, name in enumerate(DEFAULT_FEATURES)}


def _played(steps: int = 12, **kwargs) -> tuple[PandaVectorEnv, dict[str, np.ndarray]]:
    env = PandaVectorEnv(64, seed=4, **kwargs)
    observation, _ = env.reset()
    generator = np.random.default_rng(1)
    for _ in range(steps):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        observation, *_ = env.step(scores.argmax(axis=1))
    return env, observation


def _positions(env: PandaVectorEnv, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots that hold something and their (x, y)."""
    state = env.get_state()["state"][row]
    cells = np.full(12, -1)
    cells[:4] = state[:4]
    cells[4:6] = state[S_BANANAS : S_BANANAS + 2]
    trees = int(state[S_TREES])
    cells[6 : 6 + trees] = state[S_BANANAS + 2 :][:trees]
    there = np.flatnonzero(cells >= 0)
    return there, np.stack([cells[there] % 7, cells[there] // 7], axis=1)


def test_visibility_is_the_line_of_sight_except_for_the_ambusher() -> None:
    env, observation = _played()
    tree_at = env.get_state()["tree_at"].reshape(-1, 7, 7)
    for row in range(64):
        there, positions = _positions(env, row)
        expected = np.zeros((12, 12), bool)
        expected[np.ix_(there, there)] = line_of_sight(positions, tree_at[row])
        expected[SCORPION, there] = True
        np.testing.assert_array_equal(observation["visibility"][row], expected)
        padding = np.setdiff1d(np.arange(12), there)
        np.testing.assert_array_equal(np.flatnonzero(~observation["entity_mask"][row]), padding)
        assert (observation["entities"][row, padding] == 0).all()


def test_full_sight_shows_everything_that_is_there_and_nothing_else() -> None:
    _, observation = _played(sight="full")
    mask = observation["entity_mask"]
    np.testing.assert_array_equal(observation["visibility"], mask[:, :, None] & mask[:, None, :])


def test_features_say_type_position_and_what_the_panda_must_know() -> None:
    env, observation = _played()
    entities = observation["entities"]
    state = env.get_state()["state"]
    assert (entities[:, 0, COLUMN["is_panda"]] == 1).all()
    assert (entities[:, 3, COLUMN["is_dragon"]] == 1).all()
    np.testing.assert_allclose(entities[:, 0, COLUMN["x"]], state[:, 0] % 7 / 3 - 1, atol=1e-6)
    np.testing.assert_allclose(entities[:, 1, COLUMN["y"]], state[:, 1] // 7 / 3 - 1, atol=1e-6)
    offset = (state[:, 3] % 7 - state[:, 0] % 7) / 6
    np.testing.assert_allclose(entities[:, 3, COLUMN["x_from_panda"]], offset, atol=1e-6)
    steps = np.clip(state[:, 3] // 7 - state[:, 0] // 7, -4, 4)
    first = COLUMN["y_from_panda_is_-4"]
    np.testing.assert_array_equal(entities[:, 3, first : first + 9], np.eye(9)[steps + 4])
    # Columns of the state: 4 carrying, 5 and 6 stunned, 7 steps taken of 40.
    np.testing.assert_array_equal(entities[:, 0, COLUMN["carrying"]], state[:, 4])
    np.testing.assert_array_equal(entities[:, 3, COLUMN["stunned"]], state[:, 6])
    time_left = entities[:, 0, COLUMN["time_left"]]
    np.testing.assert_allclose(time_left, 1 - state[:, 7] / 40, atol=1e-6)
    assert (observation["action_mask"][:, 5] == (state[:, 4] == 1)).all()
    assert state[:, 4].any() and not state[:, 4].all()


def test_the_articles_scene_reads_as_in_the_article() -> None:
    env = PandaVectorEnv(1, preset="trees", features="xyt")
    observation, _ = env.reset()
    expected = [[3, 0, 0], [2, 6, 1], [6, 4, 2], [6, 0, 3]]
    np.testing.assert_array_equal(observation["entities"][0], expected)
    sees_all_but_the_scorpion = [True, True, False, True]
    rows = [sees_all_but_the_scorpion] * 2 + [[True] * 4] + [sees_all_but_the_scorpion]
    np.testing.assert_array_equal(observation["visibility"][0], rows)
    everybody, _ = PandaVectorEnv(1, preset="open", features="xyt").reset()
    assert everybody["visibility"].all()


@pytest.mark.parametrize("features", ["default", "xyt"])
def test_observations_lie_in_their_space(features: str) -> None:
    env, observation = _played(features=features)
    assert env.observation_space.contains(observation)
    assert observation["action_mask"].dtype == np.bool_


@pytest.mark.parametrize("settings", [{}, {"sight": "full"}, {"features": "xyt"}], ids=str)
def test_updating_leaves_what_writing_anew_would_write(settings: dict) -> None:
    env, observation = _played(steps=0, **settings)
    generator, taken = np.random.default_rng(2), 0
    for _ in range(80):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        before = observation["entity_mask"].sum()
        observation, *_ = env.step(scores.argmax(axis=1))
        taken += int(observation["entity_mask"].sum() != before)
        anew = PandaVectorEnv(64, **settings)
        anew.set_state(env.get_state())
        for name, value in anew.observation().items():
            np.testing.assert_array_equal(value, observation[name], err_msg=name)
    assert taken > 10 or "features" in settings


def test_time_may_be_left_untold() -> None:
    _, told = _played()
    _, untold = _played(tells_time=False)
    column = COLUMN["time_left"]
    assert (told["entities"][:, 0, column] > 0).all()
    assert not untold["entities"][:, :, column].any()
    others = np.arange(len(DEFAULT_FEATURES)) != column
    np.testing.assert_array_equal(told["entities"][..., others], untold["entities"][..., others])

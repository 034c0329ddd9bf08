"""Outcomes of episodes, from our vector environments' infos and from Gymnasium's."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.envs.outcomes import episode_outcomes
from maskrl.errors import ConfigError


class Game(gymnasium.Env):
    """Ends after as many steps as it is told, and says how only then, if at all."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int, outcome: float | None) -> None:
        self.length, self.outcome, self.count = length, outcome, 0

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return 0, {}

    def step(self, action):
        self.count += 1
        over = self.count == self.length
        tells = over and self.outcome is not None
        return 0, 0.0, over, False, {"outcome": self.outcome} if tells else {}


def test_of_our_own_vector_environments():
    infos = {"outcome": np.array([1.0, np.nan, -1.0, 0.0, 1.0])}
    ended = np.array([True, False, True, True, False])
    np.testing.assert_array_equal(episode_outcomes(infos, ended), [1, np.nan, -1, 0, np.nan])


def test_of_gymnasium_it_is_that_of_the_episode_that_ended():
    games = [(1, 1.0), (2, -1.0), (1, None), (2, 0.0)]
    venv = SyncVectorEnv(
        [lambda game=game: Game(*game) for game in games], autoreset_mode=AutoresetMode.SAME_STEP
    )
    venv.reset()
    told = []
    for _ in range(2):
        _, _, terminated, truncated, infos = venv.step(np.zeros(4, np.int64))
        told.append(episode_outcomes(infos, terminated | truncated))
    np.testing.assert_array_equal(told[0], [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(told[1], [1, -1, np.nan, 0])


def test_of_infos_that_did_not_stack():
    final = np.array([{"outcome": -1.0, "units": [1, 2]}, None, {"units": [3]}], dtype=object)
    told = episode_outcomes({"final_info": final}, np.array([True, False, True]))
    np.testing.assert_array_equal(told, [-1, np.nan, np.nan])


def test_nothing_is_told():
    assert np.isnan(episode_outcomes({}, np.array([True, False]))).all()
    assert np.isnan(episode_outcomes({"outcome": np.array([1.0])}, np.array([False]))).all()


def test_whole_numbers_are_an_environments_own_codes():
    ended = np.array([True, True])
    for infos in (
        {"outcome": np.array([1, 3])},
        {"final_info": {"outcome": np.array([2, 1]), "layout_id": np.array([5, 6])}},
        {"final_info": np.array([{"outcome": 1}, {"outcome": True}], dtype=object)},
    ):
        assert np.isnan(episode_outcomes(infos, ended)).all()


def test_what_is_no_outcome_is_refused():
    with pytest.raises(ConfigError, match=r"outcome'\] is 2.0 in .* 1; expected 1.* another name"):
        episode_outcomes({"outcome": np.array([1.0, 2.0])}, np.array([True, True]))
    with pytest.raises(ConfigError, match=r"shape \(3,\), expected \(2,\)"):
        episode_outcomes({"outcome": np.zeros(3)}, np.array([True, True]))

"""What a replay buffer refuses, and that it has written nothing then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers import ReplayBuffer
from maskrl.buffers.replay_checks import check_feature, check_priorities, check_step
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError

B = 2
SPACE = spaces.Dict({"x": spaces.Box(-9, 9, (3,), np.float32), "action_mask": mask_space(5)})


def observation(value=0.0):
    return {"x": np.full((B, 3), value), "action_mask": np.ones((B, 5), bool)}


def step(**changes):
    no = np.zeros(B, bool)
    given = {"actions": np.zeros(B, int), "rewards": np.zeros(B), "terminated": no,
             "truncated": no, "next_obs": observation(1.0)}  # fmt: skip
    return {**given, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": np.array([1.7, 2.0])}, "actions has dtype float64, expected whole numbers"),
        ({"actions": np.array([[1], [2]])}, r"actions has shape \(2, 1\), expected \(2,\)"),
        ({"rewards": np.array([0.0, np.nan])}, "reward of environment 1 is nan"),
        ({"rewards": np.array([-np.inf, 0.0])}, "reward of environment 0 is -inf"),
        ({"rewards": np.array(["a", "b"])}, "rewards has dtype <U1, expected real numbers"),
        ({"terminated": np.array([0.5, 0.0])}, "terminated has dtype float64, expected bool"),
        ({"truncated": np.array([1, 0])}, "truncated has dtype int64, expected bool"),
        ({"next_obs": {"x": np.zeros((B, 3))}}, "no entry 'action_mask'.*entries are"),
        ({"next_obs": {"action_mask": np.ones((B, 5), bool)}}, "no entry 'x'"),
        (
            {"next_obs": {**observation(), "x": np.full((B, 3), "a")}},
            "'x' has dtype <U1, expected numbers that float32 can hold",
        ),
    ],
)
def test_a_step_that_does_not_fit_is_refused_and_nothing_is_written(change, message):
    buffer = ReplayBuffer(SPACE, B, 6, priority_exponent=0.5)
    buffer.begin(observation())
    buffer.add(**step())
    before = {name: array.copy() for name, array in buffer.get_state()[0].items()}
    with pytest.raises(ConfigError, match=message):
        buffer.add(**step(**change))
    for name, array in buffer.get_state()[0].items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    buffer.add(**step())
    assert len(buffer) == 2 * B


def test_a_beginning_that_lacks_an_entry_is_refused():
    with pytest.raises(ConfigError, match="no entry 'x'"):
        ReplayBuffer(SPACE, B, 6).begin({"action_mask": np.ones((B, 5), bool)})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"gamma": "0.9"}, "gamma is '0.9'; expected 0 to 1"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"priority_exponent": -0.1}, r"priority_exponent is -0\.1"),
        ({"n_step": 0}, "n_step is 0; expected a positive whole number"),
        ({"n_step": True}, "n_step is True"),
        ({"capacity": 2.5}, r"capacity is 2\.5"),
    ],
)
def test_settings_out_of_range_are_named(setting, message):
    with pytest.raises(ConfigError, match=message):
        ReplayBuffer(SPACE, B, **{"capacity": 6, **setting})


@pytest.mark.parametrize("beta", [-0.5, float("nan"), float("inf")])
def test_an_exponent_of_weights_is_a_number_from_0_on(beta):
    buffer = ReplayBuffer(SPACE, B, 6, priority_exponent=0.5)
    buffer.begin(observation())
    buffer.add(**step())
    with pytest.raises(ConfigError, match="beta is"):
        buffer.sample(2, np.random.default_rng(0), beta=beta)


@pytest.mark.parametrize(
    ("index", "errors", "epsilon", "message"),
    [
        ([0, 1], [1.0, 2.0, 3.0], 1e-6, r"index has shape \(2,\), errors \(3,\)"),
        ([0, -1], [1.0, 2.0], 1e-6, r"index\[1\] is -1; expected 0 to 7"),
        ([999], [1.0], 1e-6, r"index\[0\] is 999; expected 0 to 7"),
        ([0, 1], [1.0, float("inf")], 1e-6, r"errors\[1\] is not finite"),
        ([0, 1], [0.0, 0.0], 0.0, "epsilon is 0.0; expected a number above 0"),
    ],
)
def test_priorities_of_nothing_are_refused_and_change_nothing(index, errors, epsilon, message):
    buffer = ReplayBuffer(SPACE, B, 6, priority_exponent=0.5)
    buffer.begin(observation())
    buffer.add(**step())
    before = buffer.get_state()[0]["priorities"].copy()
    with pytest.raises(ConfigError, match=message):
        buffer.update_priorities(torch.tensor(index), torch.tensor(errors), epsilon=epsilon)
    np.testing.assert_array_equal(buffer.get_state()[0]["priorities"], before)
    assert buffer.sample(4, np.random.default_rng(0)).weights.isfinite().all()


def test_what_fits_passes():
    flags = np.zeros(B, bool)
    check_step([1, 2], [1, 2], flags, flags, (B,))
    check_step(np.zeros((B, 3), np.int8), np.zeros(B, np.float32), flags, flags, (B, 3))
    check_priorities(np.arange(3), np.zeros(3), 3, 1e-6)
    given = np.arange(6, dtype=np.float32).reshape(B, 3)
    assert check_feature("x", given, (B, 3), np.dtype(np.float32)) is given
    assert check_feature("x", given, (B, 3), np.dtype(np.uint8)).dtype == np.uint8

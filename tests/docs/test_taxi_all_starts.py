"""The examination of Taxi drivers, with drivers whose result is known beforehand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "taxi_all_starts.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("taxi_all_starts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_optimal_driver_reaches_the_optimum_everywhere(script):
    env = script.taxi()
    values, actions = script.optimal_values(env)
    starts = script.start_states(env)
    assert starts.size == 300
    # 2379 / 300: the mean over the starts of 21 minus the number of steps
    assert values[starts].mean() == pytest.approx(7.93)
    result = script.evaluate_all_starts(
        lambda seen: int(actions[int(seen["observation"])].argmax()), env
    )
    np.testing.assert_array_equal(result.returns, values[starts])
    assert result.solved.all() and result.illegal_actions == 0
    assert "7.930   (optimum 7.930)" in "\n".join(result.lines(values[starts]))


def test_a_driver_who_never_arrives_is_seen_through(script):
    env = script.taxi()

    def circle(seen):
        assert seen["action_mask"].any()
        return int(np.flatnonzero(seen["action_mask"])[0])  # south or north, for ever

    result = script.evaluate_all_starts(circle, env)
    assert not result.solved.any()
    assert (result.returns == -200).all() and result.illegal_actions == 0
    assert "unsolved          300" in result.lines(np.full(300, 7.93))


def test_illegal_actions_are_counted(script):
    env = script.taxi()
    result = script.evaluate_all_starts(lambda seen: 5, env)
    # at a start the passenger waits, so that putting it down is disallowed: 200 times each
    assert result.illegal_actions == 300 * 200 and (result.returns == -2000).all()

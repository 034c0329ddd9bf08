"""Taxi from each of its 300 start states."""

from __future__ import annotations

import numpy as np

from maskrl.envs.all_starts import (
    AllStarts,
    optimal_taxi_values,
    play_taxi_starts,
    taxi_start_states,
)
from maskrl.envs.registry import find_entry, make


def best_action(action_values):
    """An agent that knows the optimum: states are one-hot rows, or numbers."""

    def choose(obs):
        (key,) = (k for k in obs if k != "action_mask")
        states = obs[key].argmax(-1) if obs[key].ndim == 2 else obs[key]
        return action_values[states].argmax(-1)

    return choose


def test_who_knows_the_optimum_reaches_it_from_every_start():
    values, action_values = optimal_taxi_values(make("gymnasium:Taxi-v4"))
    found = play_taxi_starts(best_action(action_values), {})
    assert found.returns.size == 300
    np.testing.assert_allclose(found.returns, found.optimum)
    assert found.solved.all() and found.illegal_actions == 0
    # A ride is worth 20 less a step each, with at least a pick-up and a move before the drop-off.
    assert found.optimum.max() <= 20 - 3 + 1 and abs(found.optimum.mean() - 7.93) < 0.01
    line = found.line()
    assert "each of its 300 start states: mean return 7.9" in line and "none below it" in line
    assert "none unsolved" in line and "0 illegal actions" in line


def test_who_drives_to_and_fro_solves_nothing():
    found = play_taxi_starts(lambda obs: obs["action_mask"].argmax(-1), {})
    assert not found.solved.all() and found.returns.min() == -200
    assert found.summary()["unsolved"] == int((~found.solved).sum()) > 250


def test_starts_are_those_of_the_environment_and_the_entry_names_them():
    env = make("gymnasium:Taxi-v4")
    starts = taxi_start_states(env)
    assert starts.size == 300
    drawn = set()
    for seed in range(50):
        env.reset(seed=seed)
        drawn.add(int(env.unwrapped.s))
    assert drawn <= set(starts.tolist())
    assert find_entry("gymnasium:Taxi-v4").all_starts.resolve() is play_taxi_starts
    assert find_entry("panda").all_starts is None


def test_a_summary_counts_what_is_short_of_the_optimum():
    found = AllStarts(
        np.array([5.0, 7.0, -200.0]), np.array([1, 1, 0], bool), np.array([5.0, 8, 9]), 2
    )
    assert found.summary() == {
        "starts": 3,
        "mean": (5 + 7 - 200) / 3,
        "optimum": 22 / 3,
        "below_optimum": 2,
        "unsolved": 1,
        "worst": -200.0,
        "illegal_actions": 2,
    }
    assert "2 below it), 1 unsolved, worst -200" in found.line()

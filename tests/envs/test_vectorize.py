"""The in-process vector environment: SAME_STEP, copies, types, counts, saved states."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit

from maskrl.envs import can_save_state, final_observations, make_vec
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.contract import require_same_step
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError


@pytest.fixture
def build(corridor):
    def make(num_envs=3, *, seed=None, **kwargs):
        return GymnasiumVectorEnv([lambda: adapt(corridor(**kwargs))] * num_envs, seed=seed)

    return make


def act(observations, rng):
    return np.array([rng.choice(np.flatnonzero(row)) for row in observations["action_mask"]])


def roll(venv, observations, rng, steps):
    """Random valid play: the list of everything seen, and the last observations."""
    seen = []
    for _ in range(steps):
        observations, rewards, terminated, truncated, _ = venv.step(act(observations, rng))
        seen.append((observations["observation"].copy(), rewards, terminated, truncated))
    return seen, observations


def test_it_resets_in_the_step_that_ends_an_episode(build):
    venv = build(observe="box")
    require_same_step(venv)
    assert venv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, _ = venv.reset(seed=0)
    assert observations["action_mask"].dtype == np.bool_
    for _ in range(5):
        observations, rewards, terminated, truncated, infos = venv.step(np.zeros(3, int))
    assert terminated.all() and not truncated.any() and rewards.tolist() == [1, 1, 1]
    assert (observations["observation"] == 0).all(), "of the new episode"
    assert observations["action_mask"].sum() == 3
    last = final_observations(infos, np.array([0, 2]))
    assert (last["observation"] == 5).all(), "of the ended one, though its array was reused"
    assert last["action_mask"].shape == (2, 4) and last["action_mask"].dtype == np.bool_
    assert last["action_mask"].all()


def test_it_hands_out_copies(build):
    venv = build(observe="box")
    first, _ = venv.reset(seed=0)
    second, *_ = venv.step(np.zeros(3, int))
    assert (first["observation"] == 0).all() and (second["observation"] == 1).all()
    second["action_mask"][:] = True
    venv.step(np.full(3, 3))
    assert venv.illegal_actions == 3


def test_the_seed_is_for_the_first_reset_only():
    venv = make_vec("gymnasium:Taxi-v4", 8, seed=1)
    first = venv.reset()[0]["observation"]
    second = venv.reset()[0]["observation"]
    again = venv.reset(seed=1)[0]["observation"]
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_a_saved_state_continues_the_same_trajectory():
    venv = make_vec("gymnasium:Taxi-v4?is_rainy=true", 3, seed=2)
    _, observations = roll(venv, venv.reset()[0], np.random.default_rng(0), 150)
    venv.step(np.full(3, 5))  # mostly illegal
    assert can_save_state(venv)
    state = venv.get_state()
    assert all(isinstance(value, np.ndarray | int | str) for value in state.values())
    illegal = venv.illegal_actions
    assert illegal > 0
    observations, *_ = venv.step(np.full(3, 0))

    other = make_vec("gymnasium:Taxi-v4?is_rainy=true", 3)
    other.set_state(state)
    assert other.illegal_actions == illegal
    resumed, *_ = other.step(np.full(3, 0))
    assert other.illegal_actions == venv.illegal_actions
    one, _ = roll(venv, observations, np.random.default_rng(1), 250)
    two, _ = roll(other, resumed, np.random.default_rng(1), 250)
    assert any(step[3].any() for step in one), "some episode ends, so that resets count too"
    for a, b in zip(one, two, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_state_that_does_not_fit_is_refused(build):
    venv = build(2)
    venv.reset()
    state = venv.get_state()
    with pytest.raises(ConfigError, match="of 2 environments, here are 3"):
        build(3).set_state(state)
    with pytest.raises(ConfigError, match="damaged"):
        venv.set_state({"envs": state["envs"][:-9]})
    with pytest.raises(ConfigError, match="damaged"):
        venv.set_state({})


def test_an_environment_with_foreign_objects_says_why_it_cannot_be_saved(build):
    venv = build()
    venv.envs[1].unwrapped.engine = object()
    assert not can_save_state(venv)
    assert "Corridor.engine is or holds a builtins.object" in venv.state_obstacle()
    with pytest.raises(ConfigError, match=r"Corridor\.engine"):
        venv.get_state()


def test_infos_that_do_not_stack_are_kept_apart(build):
    venv = build()
    infos = venv._add_info({}, {"ids": np.arange(2), "n": 1}, 0)
    infos = venv._add_info(infos, {"ids": np.arange(3), "n": 2}, 1)
    infos = venv._add_info(infos, {"final_info": {"ids": np.arange(1)}}, 2)
    infos = venv._add_info(infos, {"final_info": {"ids": np.arange(4)}}, 1)
    assert [None if x is None else len(x) for x in infos["ids"]] == [2, 3, None]
    assert infos["_ids"].tolist() == [True, True, False] and infos["n"].tolist() == [1, 2, 0]
    assert len(infos["final_info"]["ids"][1]) == 4 and len(infos["final_info"]["ids"][2]) == 1


def test_illegal_actions_are_seen_through_outer_wrappers(corridor):
    venv = GymnasiumVectorEnv([lambda: TimeLimit(adapt(corridor()), 9)] * 2, seed=0)
    venv.reset()
    venv.step(np.array([3, 0]))
    assert venv.illegal_actions == 1


def test_a_damaged_state_is_named(build):
    venv = build()
    venv.reset(seed=0)
    saved = json.loads(zlib.decompress(venv.get_state()["envs"].tobytes()))
    del saved["envs"][1]["layers"]
    damaged = np.frombuffer(zlib.compress(json.dumps(saved).encode()), np.uint8)
    with pytest.raises(ConfigError, match=r"damaged: KeyError: 'layers'"):
        venv.set_state({"envs": damaged})

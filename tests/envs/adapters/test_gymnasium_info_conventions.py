"""Conventions of real libraries: sb3-contrib's toys, Taxi's own method, moves on a frozen lake."""

from __future__ import annotations

import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.detect import find_convention
from maskrl.envs.adapters.gymnasium_info import (
    MaskFromCallable,
    MaskFromInfo,
    MaskFromMethod,
    adapt,
    with_masks,
)
from maskrl.envs.registry import make, make_vec
from maskrl.errors import ConfigError, NoMaskError


class Identity(gymnasium.Env):
    """As sb3-contrib's toy environments: some actions are invalid, drawn anew at every step.

    The state to be named is never an invalid action. `action_masks()` returns a list of bool:
    of all actions, of all values of all parts, or of both values of every bit.
    """

    def __init__(self, space, n_invalid):
        self.action_space = self.observation_space = space
        self.n_invalid = n_invalid
        self.possible_actions = np.arange(
            {
                spaces.Discrete: lambda: space.n,
                spaces.MultiDiscrete: lambda: space.nvec.sum(),
                spaces.MultiBinary: lambda: 2 * space.n,
            }[type(space)]()
        )
        self.invalid_actions = []

    def needed(self):
        """Numbers of the flags that the right answer needs."""
        if isinstance(self.action_space, spaces.Discrete):
            return [int(self.state)]
        sizes = getattr(self.action_space, "nvec", np.full(np.size(self.state), 2))
        return (np.cumsum(sizes) - sizes + self.state).tolist()

    def draw(self):
        self.state = self.action_space.sample()
        free = [a for a in self.possible_actions if a not in self.needed()]
        self.invalid_actions = self.np_random.choice(free, self.n_invalid, replace=False)
        return self.state

    def action_masks(self):
        return [action not in self.invalid_actions for action in self.possible_actions]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.action_space.seed(seed)
        self.t = 0
        return self.draw(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        reward = float(np.array_equal(action, self.state))
        self.t += 1
        return self.draw(), reward, False, self.t == 10, {}


TOYS = {
    "Discrete": (spaces.Discrete(9), 4),
    "MultiDiscrete": (spaces.MultiDiscrete([3, 4]), 3),
    "MultiBinary": (spaces.MultiBinary(4), 3),
}


@pytest.mark.parametrize("kind", TOYS)
def test_sb3_contribs_toys(kind):
    space, n_invalid = TOYS[kind]
    env = adapt(Identity(space, n_invalid))
    assert isinstance(env, MaskFromMethod)
    found = find_convention(env)
    assert (found.source, found.name, found.dtype) == ("method", "action_masks", "list of bool")
    observation, _ = env.reset(seed=3)
    for _ in range(10):
        toy = env.unwrapped
        keep = observation["action_mask"]
        assert np.flatnonzero(~keep).tolist() == sorted(toy.invalid_actions)
        assert keep[toy.needed()].all()
        observation, reward, _, truncated, _ = env.step(toy.state)
        assert reward == 1.0 and env.illegal_actions == 0
    assert truncated


def test_what_is_invalid_in_a_toy_is_counted():
    env = adapt(Identity(spaces.MultiBinary(4), 3))
    env.reset(seed=0)
    wrong = env.unwrapped.state.copy()
    bit, value = divmod(int(env.unwrapped.invalid_actions[0]), 2)
    wrong[bit] = value
    env.step(wrong)
    assert env.illegal_actions == 1


def test_taxi_says_the_same_in_info_and_by_its_method():
    taxi = gymnasium.make("Taxi-v4", disable_env_checker=True)
    found = find_convention(taxi)
    assert (found.source, found.name, found.dtype) == ("info", "action_mask", "int8")
    assert found.note == "action_mask(env.s) says the same"
    by_info = adapt(taxi)
    by_method = adapt(gymnasium.make("Taxi-v4", disable_env_checker=True), mask_source="method")
    assert isinstance(by_info, MaskFromInfo) and isinstance(by_method, MaskFromMethod)
    assert by_method.mask_convention.where == "action_mask(env.s)"
    rng = np.random.default_rng(0)
    one, other = by_info.reset(seed=5)[0], by_method.reset(seed=5)[0]
    for _ in range(300):
        assert one["observation"] == other["observation"]
        assert one["action_mask"].tolist() == other["action_mask"].tolist()
        action = int(rng.choice(np.flatnonzero(one["action_mask"])))
        (one, _, *over, _), (other, *_) = by_info.step(action), by_method.step(action)
        if any(over):
            one, other = by_info.reset(seed=5)[0], by_method.reset(seed=5)[0]


def on_the_ice(env):
    """Moves of FrozenLake that do not run into the border: left, down, right, up."""
    row, column = divmod(env.unwrapped.s, env.unwrapped.ncol)
    return [column > 0, row < env.unwrapped.nrow - 1, column < env.unwrapped.ncol - 1, row > 0]


MODULE = """
def on_the_ice(state):
    row, column = divmod(int(state), 4)
    return [k for k, free in enumerate([column > 0, row < 3, column < 3, row > 0]) if free]
"""


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "ice_of_this_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    yield "ice_of_this_test:on_the_ice"
    sys.modules.pop("ice_of_this_test", None)


def bumps(env, actions):
    """How often an allowed move stayed where it was, and a disallowed one did not."""
    wrong = 0
    for action in actions:
        observation, _ = env.reset()
        for _ in range(6):
            before, keep = observation["observation"], observation["action_mask"]
            observation, _, terminated, truncated, _ = env.step(action)
            wrong += bool(keep[action]) != (before != observation["observation"])
            if terminated or truncated:
                break
    return wrong


def test_moves_on_the_frozen_lake_by_a_function():
    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    with pytest.raises(NoMaskError, match="mask_fn"):
        adapt(lake)
    env = adapt(lake, mask_fn=on_the_ice)
    assert isinstance(env, MaskFromCallable)
    assert find_convention(env).where == "on_the_ice(env)"
    assert env.reset()[0]["action_mask"].tolist() == [False, True, True, False]
    assert bumps(env, range(4)) == 0


def test_moves_on_the_frozen_lake_by_the_name_of_a_function(my_module):
    env_id = f"gymnasium:FrozenLake-v1?is_slippery=false&mask_fn={my_module}"
    env = make(env_id)
    found = find_convention(env)
    assert (found.source, found.form, found.arguments) == ("callable", "ids", ("env.s",))
    assert bumps(env, range(4)) == 0
    venv = make_vec(env_id, 2)
    seen, _ = venv.reset(seed=0)
    assert seen["action_mask"].tolist() == [[False, True, True, False]] * 2
    seen, *_ = venv.step(np.array([1, 2]))
    assert seen["action_mask"].tolist() == [[False, True, True, True], [True, True, True, False]]


def test_where_a_function_is_handed_over_it_is_the_only_source():
    def nothing_but_down(observation, info):
        return [1]

    env = adapt(
        gymnasium.make("Taxi-v4", disable_env_checker=True),
        mask_fn=nothing_but_down,
        mask_form="ids",
    )
    assert env.reset()[0]["action_mask"].tolist() == [False, True, False, False, False, False]


def test_the_state_is_saved_without_the_function(my_module):
    env_id = f"gymnasium:FrozenLake-v1?mask_fn={my_module}"
    venv, same = make_vec(env_id, 2, seed=1), make_vec(env_id, 2, seed=9)
    venv.reset()
    venv.step(np.array([1, 3]))
    assert venv.can_save_state() and venv.illegal_actions == 1
    state = venv.get_state()
    same.reset()
    same.set_state(state)
    for actions in ([2, 1], [0, 0], [3, 2], [1, 1]):
        one, other = venv.step(np.array(actions)), same.step(np.array(actions))
        assert one[0]["action_mask"].tolist() == other[0]["action_mask"].tolist()
        assert one[0]["observation"].tolist() == other[0]["observation"].tolist()
        assert venv.illegal_actions == same.illegal_actions


def test_a_function_of_the_running_python_may_be_given_too():
    venv = make_vec("gymnasium:FrozenLake-v1", 2, mask_fn=on_the_ice)
    assert venv.can_save_state()
    assert venv.reset()[0]["action_mask"].tolist() == [[False, True, True, False]] * 2


def test_a_convention_that_is_known_needs_no_second_look():
    lake = gymnasium.make("FrozenLake-v1")
    found = find_convention(lake, mask_fn=on_the_ice)
    assert with_masks(lake, found, mask_fn=on_the_ice).mask_convention.name == "on_the_ice"
    with pytest.raises(ConfigError, match="give it as mask_fn"):
        with_masks(lake, found)


def test_settings_of_an_id_are_checked():
    for query, message in (
        ("mask_fn=os:abort", "expected a function written in Python"),
        ("mask_form=flags", "mask_form: expected one of"),
        ("mask_source=method&mask_key=nope", "offers no mask"),
        ("mask_missing=never", "mask_missing: expected one of"),
        ("mask_allowed=2", "mask_allowed: expected 1"),
    ):
        with pytest.raises((ConfigError, NoMaskError), match=message):
            make(f"gymnasium:Taxi-v4?{query}")


def test_settings_that_are_named_are_listed(capsys):
    from maskrl.envs.construct import MASK_OPTIONS

    names = {"key", "source", "fn", "form", "missing", "allowed"}
    assert set(MASK_OPTIONS) == {f"mask_{name}" for name in names} | {"binary_convention"}
    json.dumps(dict(MASK_OPTIONS))

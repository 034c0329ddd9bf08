"""What an environment does next survives the way through JSON, or the obstacle is named."""

from __future__ import annotations

import json
from collections import deque

import gymnasium
import pytest
from gymnasium import spaces

from maskrl.envs.env_state import capture_envs, restore_envs
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head


class Dice(gymnasium.Env):
    """Draws from its generator under two names, from its spaces, and keeps a history."""

    def __init__(self):
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Dict({"a": spaces.Discrete(90), "b": spaces.Discrete(90)})
        self.history = deque(maxlen=4)
        self.rule = max

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rng = self.np_random
        if seed is not None:
            self.observation_space.seed(seed)
        return self.roll(), {}

    def roll(self):
        drawn = self.observation_space.sample()
        self.history.append(self.rule(int(self.rng.integers(9)), int(self.np_random.integers(9))))
        return {"a": int(drawn["a"]), "b": sum(self.history)}

    def step(self, action):
        return self.roll(), 0.0, False, False, {}


def captured(env):
    return json.loads(json.dumps(capture_envs([env])))


def test_an_environment_continues():
    env = gymnasium.wrappers.TimeLimit(Dice(), 50)
    env.reset(seed=4)
    for _ in range(9):
        env.step(0)
    state = captured(env)
    ahead = [env.step(0) for _ in range(60)]

    other = gymnasium.wrappers.TimeLimit(Dice(), 50)
    other.reset(seed=99)
    restore_envs([other], state)
    assert other.unwrapped.rng is other.unwrapped.np_random
    assert [other.step(0) for _ in range(60)] == ahead
    assert ahead[40][3], "the time limit went along"


def test_an_environment_may_save_itself():
    class Saves(Dice):
        def __init__(self):
            super().__init__()
            self.engine = object()

        def get_state(self):
            return {"history": list(self.history)}

        def set_state(self, state):
            self.history.extend(state["history"])

    env, other = Saves(), Saves()
    env.history.append(3)
    restore_envs([other], captured(env))
    assert list(other.history) == [3]


def test_an_action_tree_is_no_state():
    class Squad(Dice):
        def __init__(self, choices):
            super().__init__()
            self.action_tree = ActionTree(Head("type", choices))

    state = json.loads(json.dumps(capture_envs([Squad(2)])))
    other = Squad(2)
    restore_envs([other], state)
    assert other.action_tree == ActionTree(Head("type", 2))


def test_another_class_is_refused():
    state = captured(Dice())
    with pytest.raises(ConfigError, match="it is of Dice, this environment is TimeLimit > Dice"):
        restore_envs([gymnasium.wrappers.TimeLimit(Dice(), 5)], state)


def test_a_new_environment_that_has_no_generator_yet_gets_the_saved_one():
    class Coin(gymnasium.Env):
        """Touches its generator in `reset` and `step` only."""

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 0, {}

    env, other = Coin(), Coin()
    env.reset(seed=3)
    restore_envs([other], captured(env))
    assert other.np_random.random() == env.np_random.random()


def test_methods_cannot_be_replaced():
    state = captured(Dice())
    state["envs"][0]["layers"][0]["attributes"]["step"] = 3
    env = Dice()
    restore_envs([env], state)
    assert callable(env.step)


def test_slots_are_refused():
    class Slotted(Dice):
        __slots__ = ("secret",)

    with pytest.raises(ConfigError, match="Slotted uses __slots__"):
        captured(Slotted())


def test_large_tables_are_written_once_and_come_back_apart():
    envs = [Dice() for _ in range(3)]
    for env in envs:
        env.table = {state: [(0.5, state)] for state in range(500)}
        env.small = [1, 2]
    envs[2].table[0].append((0.5, 7))
    state = json.loads(json.dumps(capture_envs(envs)))
    assert len(state["tables"]) == 2
    others = [Dice() for _ in range(3)]
    restore_envs(others, state)
    for env, other in zip(envs, others, strict=True):
        assert other.table == env.table and other.small == [1, 2]
    assert others[0].table is not others[1].table


def test_large_tables_that_share_objects_keep_sharing_them():
    env, other = Dice(), Dice()
    env.table = {state: [(0.5, state)] for state in range(500)}
    env.row = env.table[3]
    env.twice = {"a": env.table, "b": 0}
    state = captured(env)
    assert not state["tables"]
    restore_envs([other], state)
    assert other.row is other.table[3] and other.twice["a"] is other.table


def test_another_number_is_refused():
    with pytest.raises(ConfigError, match="of 1 environments, here are 2"):
        restore_envs([Dice(), Dice()], captured(Dice()))

"""An environment object is handed to a trainer, and its mask is found as an id's would be."""

from __future__ import annotations

import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

import maskrl
from maskrl.errors import ConfigError, NoAllowedActionError
from maskrl.trainers.training_env import open_training_env

MODULE = """
def moves(state):
    row, column = divmod(int(state), 4)
    return [column > 0, row < 3, column < 3, row > 0]
"""


class Coins(gymnasium.Env):
    """Three coins to take, each once: `legal_actions()` lists those that are left.

    With `stuck` there is a step in which nothing is left though the episode goes on.
    """

    action_space = spaces.Discrete(3)
    observation_space = spaces.MultiBinary(3)

    def __init__(self, stuck=False):
        self.stuck = stuck
        self.steps = self.illegal = 0

    def legal_actions(self):
        return np.flatnonzero(self.left).tolist()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = np.ones(3, np.int8)
        self.t = 0
        return self.left.copy(), {}

    def step(self, action):
        self.t += 1
        self.steps += 1
        self.illegal += bool(self.left.any() and not self.left[action])
        gained = float(self.left[action]) * (1 + action)
        self.left[action] = 0
        over = not self.left.any() and (not self.stuck or self.t > 4)
        return self.left.copy(), gained, over, False, {}


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "moves_of_this_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    yield "moves_of_this_test:moves"
    sys.modules.pop("moves_of_this_test", None)


def small(**more):
    return maskrl.PPOConfig(
        num_envs=2, rollout_steps=16, minibatch_size=16, epochs=1, threads=1, **more
    )


def test_ppo_learns_on_an_object_whose_method_lists_ids():
    coins = Coins()
    maskrl.PPO(coins, small(), seed=0).learn(64)
    assert (coins.steps, coins.illegal) == (64, 0)


def test_dqn_learns_on_an_object_whose_method_lists_ids():
    from maskrl.trainers.dqn import DQN
    from maskrl.trainers.dqn_config import DQNConfig

    coins = Coins()
    DQN(coins, DQNConfig(threads=1, learning_starts=16, batch_size=8), seed=0).learn(64)
    assert (coins.steps, coins.illegal) == (64, 0)


class Scribbled(Coins):
    """Its mask is one array for good, in `info` or the observation, scribbled over in between.

    With `fresh` it gives a new array every time, which nobody touches.
    """

    def __init__(self, where, fresh):
        super().__init__()
        self.where, self.fresh, self.flags = where, fresh, np.zeros(3, np.bool_)
        if where == "observation":
            entries = {"left": spaces.MultiBinary(3), "action_mask": spaces.Box(0, 1, (3,), bool)}
            self.observation_space = spaces.Dict(entries)

    legal_actions = None

    def tell(self, left):
        flags = np.empty(3, np.bool_) if self.fresh else self.flags
        flags[:] = left > 0 if left.any() else True
        if self.where == "observation":
            return {"left": left, "action_mask": flags}, {}
        return left, {"action_mask": flags}

    def reset(self, *, seed=None, options=None):
        self.flags[:] = self.flags[::-1]
        return self.tell(super().reset(seed=seed)[0])

    def step(self, action):
        self.flags[:] = ~self.flags  # whoever kept it sees what is forbidden as allowed
        left, *told, _ = super().step(action)
        observation, info = self.tell(left)
        return observation, *told, info


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_mask_that_is_changed_in_place_later_changes_nothing_that_was_stored(algorithm, where):
    from maskrl.trainers.dqn import DQN
    from maskrl.trainers.dqn_config import DQNConfig

    stored = []
    for fresh in (True, False):
        env = Scribbled(where, fresh)
        if algorithm == "ppo":
            trainer = maskrl.PPO(env, small(), seed=0)
            trainer.learn(64)
            steps = range(trainer.buffer.rewards.size)
            arrays = {"mask": np.stack([trainer.buffer.mask_at("action_mask", i) for i in steps])}
        else:
            trainer = DQN(env, DQNConfig(threads=1, learning_starts=16, batch_size=8), seed=0)
            trainer.learn(64)
            arrays, _ = trainer.replay.get_state()
        assert env.illegal == 0
        weights = {f"weight {k}": x.numpy() for k, x in trainer.policy.state_dict().items()}
        stored.append({name: np.array(x) for name, x in arrays.items()} | weights)
    fresh, scribbled = stored
    assert fresh.keys() == scribbled.keys()
    for name, array in fresh.items():
        np.testing.assert_array_equal(array, scribbled[name], err_msg=name)


def test_rows_that_allow_nothing_end_the_training_or_are_idle():
    with pytest.raises(NoAllowedActionError):
        maskrl.PPO(Coins(stuck=True), small(), seed=0).learn(64)
    coins = Coins(stuck=True)
    maskrl.PPO(coins, small(empty="idle"), seed=0).learn(64)
    assert (coins.steps, coins.illegal) == (64, 0)


def test_settings_of_masks_apply_to_objects():
    lake = gymnasium.make("FrozenLake-v1")
    opened = open_training_env(
        lake, 1, seed=0, kwargs={"mask_fn": lambda state: [state % 4 > 0, True, True, state > 3]}
    )
    assert opened.venv.reset()[0]["action_mask"].tolist() == [[False, True, True, False]]
    assert (opened.id, opened.kwargs) == (None, {})
    vector = SyncVectorEnv([lambda: gymnasium.make("Taxi-v4")] * 2, autoreset_mode="SameStep")
    opened = open_training_env(vector, 2, seed=0, kwargs={"mask_source": "info"})
    assert opened.venv.mask_convention.batch == 2
    with pytest.raises(ConfigError, match="'mask_fn'.*exists already"):
        open_training_env(vector, 2, seed=0, kwargs={"mask_fn": len})
    with pytest.raises(ConfigError, match="'is_slippery', 'mask_fn'.*exists already"):
        open_training_env(lake, 1, seed=0, kwargs={"mask_fn": len, "is_slippery": False})


def test_a_function_is_kept_by_its_name(my_module, tmp_path):
    sys.path.insert(0, str(tmp_path))
    from moves_of_this_test import moves

    env_kwargs = {"mask_fn": moves, "is_slippery": False}
    trainer = maskrl.PPO("gymnasium:FrozenLake-v1", small(), seed=0, env_kwargs=env_kwargs)
    assert trainer.env_kwargs == {"mask_fn": my_module, "is_slippery": False}
    trainer.learn(32, run_dir=tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["env_kwargs"]["mask_fn"] == my_module
    again = maskrl.PPO.load(tmp_path / "run")
    assert again.env_kwargs == trainer.env_kwargs


def test_a_function_without_a_name_is_refused_before_anything_is_written():
    with pytest.raises(ConfigError, match="no name leads back to it.*adapt"):
        maskrl.PPO(
            "gymnasium:FrozenLake-v1", small(), env_kwargs={"mask_fn": lambda env: [1, 1, 1, 1]}
        )

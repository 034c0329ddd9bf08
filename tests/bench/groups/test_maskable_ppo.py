"""MaskablePPO gets the same arrays and settings; shown with stand-ins for its two libraries."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from maskrl.bench.groups.maskable_ppo import like, load_maskable_ppo, vec_env_adapter
from maskrl.bench.groups.training import CONFIG, QUICK_SETTINGS
from maskrl.bench.groups.training_world import native_world


class VecEnv:
    """What stable-baselines3's base class keeps."""

    def __init__(self, num_envs, observation_space, action_space):
        self.num_envs = num_envs
        self.observation_space, self.action_space = observation_space, action_space


class Trainer:
    """Remembers what it was asked for."""

    made = []

    def __init__(self, policy, env, **settings):
        self.env, self.settings, self.learned = env, settings, []
        Trainer.made.append(self)

    def learn(self, steps, *, reset_num_timesteps):
        self.learned.append((steps, reset_num_timesteps))


@pytest.fixture
def installed(monkeypatch):
    def module(name, **content):
        made = types.ModuleType(name)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, made)

    module("sb3_contrib", MaskablePPO=Trainer)
    module("stable_baselines3")
    module("stable_baselines3.common")
    module("stable_baselines3.common.vec_env", VecEnv=VecEnv)


def test_it_trains_one_rollout_at_a_time(installed):
    train = load_maskable_ppo()(native_world, QUICK_SETTINGS[0])
    train()
    train()
    trainer = Trainer.made[-1]
    assert trainer.learned == [(32, False), (32, False)]
    assert trainer.env.num_envs == 4 and trainer.settings["n_steps"] == 8


def test_settings_are_the_same():
    settings = like(CONFIG)
    assert (settings["n_steps"], settings["batch_size"], settings["n_epochs"]) == (128, 512, 4)
    assert settings["policy_kwargs"]["net_arch"] == {"pi": [64, 64], "vf": [64, 64]}
    assert settings["policy_kwargs"]["optimizer_kwargs"] == {"eps": CONFIG.adam_eps}
    assert settings["gae_lambda"] == CONFIG.gae_lambda and settings["vf_coef"] == 0.5


def test_the_adapter_hands_the_arrays_through():
    env = vec_env_adapter(VecEnv)(native_world(3, seed=0))
    other = native_world(3, seed=0)
    expected, _ = other.reset()
    assert np.array_equal(env.reset(), expected["observation"])
    assert np.array_equal(np.stack(env.env_method("action_masks")), expected["action_mask"])
    env.step_async(np.zeros(3, int))
    obs, rewards, ends, infos = env.step_wait()
    expected, rewards_there, *_ = other.step(np.zeros(3, int))
    assert np.array_equal(obs, expected["observation"]) and np.array_equal(rewards, rewards_there)
    assert ends.tolist() == [False] * 3 and infos == [{}, {}, {}]
    assert env.has_attr("action_masks") and not env.has_attr("anything")
    assert env.get_attr("render_mode") == [None] * 3 and env.env_is_wrapped(object) == [False] * 3
    with pytest.raises(AttributeError, match="no method anything"):
        env.env_method("anything")
    with pytest.raises(AttributeError, match="cannot be set"):
        env.set_attr("anything", 1)
    env.close()


def test_without_it_an_import_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ImportError, match="sb3_contrib"):
        load_maskable_ppo()

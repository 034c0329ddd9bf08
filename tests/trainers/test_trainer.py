"""What every trainer is, whatever it learns with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.trainers.dqn import DQN, DQNConfig
from maskrl.trainers.ppo import PPO, PPOConfig
from maskrl.trainers.single_parts import SingleAgentParts
from maskrl.trainers.trainer import Trainer

CONFIG = PPOConfig(num_envs=4, rollout_steps=8, minibatch_size=16, threads=1, evaluate_every=0)


class Still(Trainer):
    """Acts, counts and learns nothing."""

    algorithm = "still"
    config_type = PPOConfig

    def build_parts(self, config, ground, policy):
        self.given = (config, ground, policy)
        return SingleAgentParts(config, ground, policy)

    def step(self):
        self.steps += 32
        self.updates += 1
        return {"step": float(self.steps)}, {"steps_per_second": 1.0}


def test_an_algorithm_is_its_parts_and_its_step(corridor, tmp_path):
    env = corridor(4)
    trainer = Still(env, CONFIG, seed=3)
    config, ground, policy = trainer.given
    assert config is CONFIG and policy is None
    assert ground.opened.venv is env and ground.seeds.seed == 3
    assert ground.device == torch.device("cpu") and trainer.env_id is None
    assert trainer.policy is trainer.parts.policy and trainer.env is env
    assert trainer.learn(100, run_dir=tmp_path / "run") is trainer
    assert (trainer.steps, trainer.updates, trainer.fraction) == (128, 4, 1.0)
    assert trainer.thread_choice.threads == 1
    _, state = load_checkpoint(trainer.run_dir.last_checkpoint)
    assert state["algorithm"] == "still"
    saved = trainer.run_dir.read_config()
    assert saved["algorithm"] == "still" and saved["still"]["rollout_steps"] == 8
    again = Still.load(tmp_path / "run", env=corridor(4))
    assert again.steps == 128 and again.run_dir.path == trainer.run_dir.path
    with pytest.raises(RunFolderError, match="was written by 'still', and PPO trains 'ppo'"):
        PPO.load(tmp_path / "run", env=corridor(4))


def test_nobody_trains_with_the_base():
    with pytest.raises(TypeError, match="abstract"):
        Trainer("panda-open")


@pytest.mark.parametrize(("trainer", "config"), [(PPO, DQNConfig()), (DQN, PPOConfig())])
def test_settings_of_another_algorithm(corridor, trainer, config):
    expected = trainer.config_type.__name__
    with pytest.raises(ConfigError, match=f"config: expected a {expected}, got"):
        trainer(corridor(4), config)


def test_settings_follow_the_number_of_environments(corridor):
    assert DQN(corridor(3), DQNConfig(num_envs=16)).config.num_envs == 3
    config = PPO(corridor(2), PPOConfig(num_envs=4, rollout_steps=8, minibatch_size=32)).config
    assert (config.num_envs, config.minibatch_size) == (2, 16)


def test_the_further_of_steps_and_time_counts(corridor):
    trainer = Still(corridor(4), CONFIG)
    assert trainer.fraction == 0.0
    trainer.steps, trainer.total_steps, trainer.elapsed = 30, 100, 6.0
    assert trainer.fraction == pytest.approx(0.3)
    trainer.max_seconds = 10.0
    assert trainer.fraction == pytest.approx(0.6)
    trainer.elapsed = 20.0
    assert trainer.fraction == 1.0


def test_a_lean_checkpoint_asks_its_parts_for_less(corridor, tmp_path, monkeypatch):
    trainer = Still(corridor(4), CONFIG)
    asked = []
    monkeypatch.setattr(trainer.parts, "training_folders", lambda *, lean: asked.append(lean) or {})
    trainer.save(tmp_path / "a")
    trainer.save(tmp_path / "b", lean=True)
    assert asked == [False, True]


def test_illegal_actions_are_the_larger_count(corridor):
    trainer = Still(corridor(4), CONFIG)
    trainer.collector.illegal_actions = 3
    assert trainer.illegal_actions() == 3
    trainer.env.illegal_actions = 7
    assert trainer.illegal_actions() == 7


def test_predict_hands_everything_to_the_parts(corridor):
    trainer = Still(corridor(4), CONFIG)
    trainer.parts = SimpleNamespace(predict=lambda obs, **given: (np.array([obs]), given))
    answer, given = trainer.predict(5, action_mask=1, deterministic=False)
    assert answer.tolist() == [5]
    assert given == {
        "action_mask": 1,
        "state": None,
        "episode_start": None,
        "deterministic": False,
        "generator": None,
    }


def test_devices_that_are_not_there(corridor):
    with pytest.raises(ConfigError, match="device: 'nowhere' cannot be used here"):
        DQN(corridor(4), DQNConfig(device="nowhere"))

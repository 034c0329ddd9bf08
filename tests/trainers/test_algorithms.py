"""Algorithms by name, and trainers from the folders they wrote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.algorithms import ALGORITHMS, algorithm, algorithm_of, load_trainer
from maskrl.trainers.dqn import DQN, DQNConfig
from maskrl.trainers.ppo import PPO
from maskrl.trainers.trainer import Trainer
from maskrl.trainers.trainer_config import TrainerConfig

SMALL = DQNConfig(
    num_envs=4,
    replay_size=100,
    learning_starts=8,
    batch_size=8,
    log_every=32,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(8,)),
)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_a_trainer_with_its_settings(name):
    one = algorithm(name)
    assert issubclass(one.trainer, Trainer) and issubclass(one.config, TrainerConfig)
    assert one.trainer.algorithm == name == one.name
    assert one.trainer.config_type is one.config
    assert one.summary and one.title
    settings = one.config().to_json()
    assert one.config.from_json(json.loads(json.dumps(settings))) == one.config()
    shared = {"num_envs", "network", "empty", "idle_action", "device", "threads", "learning_rate"}
    shared |= {"gamma", "normalize_observations", "evaluate_every", "evaluation_episodes"}
    assert shared | {"checkpoint_every"} <= settings.keys()


def test_a_name_that_is_none():
    with pytest.raises(ConfigError, match="expected one of ppo, dqn, sac, got 'a2c'"):
        algorithm("a2c")


def test_trainers_come_back_as_what_they_were(corridor, small_run, tmp_path):
    assert type(load_trainer(small_run)) is PPO
    trainer = DQN(corridor(4), SMALL)
    trainer.learn(32)
    trainer.save(tmp_path / "saved")
    assert algorithm_of(tmp_path / "saved") is ALGORITHMS["dqn"]
    resumed = load_trainer(tmp_path / "saved", env=corridor(4))
    assert type(resumed) is DQN and resumed.steps == 32
    with pytest.raises(RunFolderError, match=r"written by 'dqn', and PPO trains 'ppo'"):
        PPO.load(tmp_path / "saved", env=corridor(4))


def test_folders_without_a_checkpoint_or_of_another_kind(tmp_path):
    with pytest.raises(RunFolderError):
        algorithm_of(tmp_path / "nothing")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"format": 1, "state": {"algorithm": "a3c"}}))
    with pytest.raises(RunFolderError, match=r"'a3c'; this version of maskrl knows ppo, dqn, sac"):
        algorithm_of(folder)


def test_names_load_nothing():
    code = (
        "import sys, maskrl.trainers.algorithms as a; a.ALGORITHMS['dqn'];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

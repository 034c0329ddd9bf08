"""Settings of DQN: explained, checked, and what they share with those of other algorithms."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json

import pytest

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers import dqn_config, off_policy_config
from maskrl.trainers.dqn_config import DQNConfig


@pytest.mark.parametrize(
    ("module", "name"), [(dqn_config, "DQNConfig"), (off_policy_config, "OffPolicyConfig")]
)
def test_every_field_is_explained(module, name):
    tree = ast.parse(inspect.getsource(module))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    fields = [k for k, node in enumerate(body) if isinstance(node, ast.AnnAssign)]
    assert fields
    for k in fields:
        line = body[k + 1]
        explained = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        assert explained, f"{name}.{ast.unparse(body[k].target)} has no line of help"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exploration": "greedy"}, "exploration: expected 'epsilon', 'boltzmann' or 'noisy'"),
        ({"returns": "median"}, "returns: expected 'mean', 'categorical' or 'quantile'"),
        ({"epsilon": 1.5}, "epsilon: expected a number at least 0 and at most 1"),
        ({"epsilon_final": -0.1}, "epsilon_final"),
        ({"temperature": 0.0}, "temperature: expected a number above 0"),
        ({"exploration_fraction": 0.0}, "exploration_fraction"),
        ({"target_rate": 0.0}, "target_rate"),
        ({"target_every": 0}, "target_every: expected a positive whole number"),
        ({"huber": -1.0}, "huber"),
        ({"atoms": 1}, "atoms: expected a whole number of at least 2, got 1"),
        ({"low": 3.0, "high": 3.0}, "low: expected less than high"),
        ({"high": float("inf")}, "high: expected a number that is finite, got inf"),
        ({"double": 1}, "double: expected a bool"),
        ({"masked_targets": None}, "masked_targets: expected a bool"),
        ({"n_step": 0}, "n_step"),
        ({"batch_size": True}, "batch_size"),
        ({"gamma": 1.1}, "gamma"),
        ({"priority_exponent": 2.0}, "priority_exponent"),
        ({"priority_correction": -1}, "priority_correction"),
        ({"learning_starts": 300_000}, "learning_starts: 300000 steps are more than the memory"),
        ({"replay_folder": 3}, "replay_folder: expected a folder's path or None, got 3"),
        ({"save_replay": "no"}, "save_replay"),
        ({"empty": "skip"}, "empty: expected 'raise' or 'idle'"),
    ],
)
def test_impossible_settings_are_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        DQNConfig(**changes)


def test_json_and_back():
    config = DQNConfig(huber=None, network=NetworkConfig(hidden=(8,)), replay_folder="x")
    assert DQNConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    partly = DQNConfig.from_json({"network": {"hidden": [4]}}, base=config)
    assert partly.network.hidden == (4,) and partly.huber is None
    with pytest.raises(ConfigError, match=r"unknown DQN setting 'epsilon_end'.*epsilon"):
        DQNConfig.from_json({"epsilon_end": 0.1})
    assert DQNConfig(network={"hidden": [3]}).network == NetworkConfig(hidden=(3,))


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DQNConfig().gamma = 0.5

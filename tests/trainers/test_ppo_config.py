"""Settings: impossible ones are refused, JSON brings them back, the CLI can explain each."""

from __future__ import annotations

import ast
import inspect
import json

import pytest

from maskrl.errors import ConfigError
from maskrl.networks import encoders
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers import ppo_config
from maskrl.trainers.ppo_config import PPOConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, "num_envs: expected a positive whole number, got 0"),
        ({"rollout_steps": -1}, "rollout_steps"),
        ({"minibatch_size": 0}, "minibatch_size"),
        ({"epochs": 0}, "epochs"),
        ({"num_envs": 2.5}, "num_envs"),
        ({"num_envs": True}, "num_envs"),
        ({"threads": 0}, "threads"),
        ({"workers": 0}, "workers"),
        ({"evaluate_every": -1}, "evaluate_every: expected a whole number, 0 or more"),
        ({"evaluation_episodes": 0}, "evaluation_episodes"),
        ({"gamma": 1.1}, "gamma: expected a number at least 0 and at most 1, got 1.1"),
        ({"gae_lambda": -0.1}, "gae_lambda"),
        ({"clip": 0.0}, "clip: expected a number above 0"),
        ({"value_clip": 0}, "value_clip"),
        ({"target_kl": -1.0}, "target_kl"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"entropy_coef": float("nan")}, "entropy_coef: expected a number that is finite"),
        ({"entropy_coef_final": float("inf")}, "entropy_coef_final"),
        ({"entropy_of": "choice"}, "entropy_of: expected 'policy' or 'action'"),
        ({"anneal_steps": 0}, "anneal_steps"),
        ({"bootstrap_truncated": 1}, "bootstrap_truncated: expected a bool"),
        ({"max_grad_norm": -1.0}, "max_grad_norm"),
        ({"empty": "ignore"}, "empty: expected 'raise' or 'idle'"),
        (
            {"num_envs": 2, "rollout_steps": 8, "minibatch_size": 17},
            r"num_envs \* rollout_steps = 2 \* 8 = 16",
        ),
        ({"num_envs": 1, "rollout_steps": 1, "minibatch_size": 1}, "no spread"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PPOConfig(**settings)


def test_an_entropy_may_be_punished():
    config = PPOConfig(entropy_coef=-0.01, entropy_coef_final=-0.02)
    assert (config.entropy_coef, config.entropy_coef_final) == (-0.01, -0.02)


def test_json_brings_everything_back():
    config = PPOConfig(num_envs=4, target_kl=0.02, network=NetworkConfig(hidden=(32,), shared=True))
    assert PPOConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_partial_settings_fall_on_a_base():
    base = PPOConfig(num_envs=4, network=NetworkConfig(hidden=(32,), entity_dim=32))
    config = PPOConfig.from_json({"gamma": 0.9, "network": {"entity_depth": 3}}, base=base)
    assert (config.num_envs, config.gamma) == (4, 0.9)
    assert config.network == NetworkConfig(hidden=(32,), entity_dim=32, entity_depth=3)
    assert PPOConfig(network={"hidden": [8]}).network == NetworkConfig(hidden=(8,))


def test_unknown_settings_get_the_nearest_names():
    with pytest.raises(ConfigError, match="'gama'. Did you mean gamma"):
        PPOConfig.from_json({"gama": 0.9})
    with pytest.raises(ConfigError, match="network setting 'hiden'. Did you mean hidden"):
        PPOConfig.from_json({"network": {"hiden": [3]}})


@pytest.mark.parametrize(
    ("module", "name"), [(ppo_config, "PPOConfig"), (encoders, "NetworkConfig")]
)
def test_every_field_is_explained(module, name):
    tree = ast.parse(inspect.getsource(module))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    for node, following in zip(body, body[1:], strict=False):
        if isinstance(node, ast.AnnAssign):
            explained = isinstance(following, ast.Expr) and isinstance(
                following.value, ast.Constant
            )
            assert explained, f"{name}.{ast.unparse(node.target)} has no line of help"

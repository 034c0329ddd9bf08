"""Presets of mining: the networks and settings of the article, and what corrects them."""

from __future__ import annotations

import pytest

from maskrl.envs import find_entry, make
from maskrl.envs.games.mining.presets import mining_presets
from maskrl.trainers.ppo_config import PPOConfig


@pytest.mark.parametrize(
    ("board", "features"), [("4x4", 144), ("10x10", 1152), ("16x16", 4608), ("24x24", 800)]
)
def test_mining_has_the_network_of_its_article(board, features):
    """16 * 3 * 3; 32 * 6 * 6; 32 * 12 * 12; 32 * 5 * 5: what its linear layers read."""
    from maskrl.networks.encoders import NetworkConfig, make_encoder

    entry = find_entry(f"mining-{board}")
    network = NetworkConfig(**entry.presets["ppo:as_published"]["network"])
    encoder = make_encoder(make(f"mining-{board}").observation_space, network)
    assert encoder.trunk.layers[0].in_features == features
    assert encoder.trunk.layers[0].out_features == 128


def test_the_published_settings_are_those_of_the_article_defaults_included():
    """By name, so that a changed default of PPO cannot change them unseen."""
    settings = dict(mining_presets("10x10")["ppo:as_published"])
    assert settings.pop("env") == {"masks": "published"}
    assert settings.pop("native_penalties") is True
    assert settings.pop("total_steps") == 100_000
    config = PPOConfig.from_json(settings)
    expected = {
        "num_envs": 1,
        "rollout_steps": 2048,
        "minibatch_size": 256,
        "epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.97,
        "clip": 0.2,
        "ratio": "head",
        "value_clip": 0.2,
        "value_coef": 1.0,
        "entropy_coef": -0.01,
        "entropy_coef_final": None,
        "entropy_of": "action",
        "learning_rate": 3e-4,
        "anneal_learning_rate": True,
        "anneal_steps": 500_000,
        "adam_eps": 1e-8,
        "max_grad_norm": 4.0,
        "value_max_grad_norm": 0.5,
        "target_kl": None,
        "bootstrap_truncated": False,
        "normalize_advantage": True,
        "normalize_observations": True,
        "normalize_novelty": True,
        "normalize_rewards": False,
        "masked_scores": True,
        "mask_removed_rollouts": "native",
    }
    assert {name: getattr(config, name) for name in expected} == expected
    network = config.network
    assert network.weights == "torch"
    assert not network.shared and network.memory == "none" and network.activation == "relu"
    assert (network.channels, network.kernels, network.pool) == ((16, 32), (3, 3), 1)


def test_the_presets_of_a_map_are_those_that_are_registered():
    assert find_entry("mining-4x4").presets == mining_presets("4x4")
    assert set(mining_presets("24x24")) == {"ppo", "ppo:as_published", "ppo:corrected"}


def test_mining_is_corrected_by_ratio_trust_region_bonus_and_statistics_and_nothing_else():
    presets = find_entry("mining-10x10").presets
    published, corrected = presets["ppo:as_published"], presets["ppo:corrected"]
    different = {name for name in published if published[name] != corrected[name]}
    assert different == {"ratio", "clip", "entropy_coef", "entropy_of", "mask_removed_rollouts"}
    assert published.keys() == corrected.keys()
    assert published["entropy_coef"] == -corrected["entropy_coef"] < 0
    # Eight ratios multiplied are allowed no more than eight that leave theirs independently.
    assert published["clip"] < corrected["clip"] <= published["clip"] * 8**0.5

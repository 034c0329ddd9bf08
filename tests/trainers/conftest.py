"""A small run to look at: a panda on the open scene, trained for a moment."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def small_config():
    """Settings with which 128 steps take a moment."""
    from maskrl.networks.encoders import NetworkConfig
    from maskrl.trainers.ppo_config import PPOConfig

    network = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)
    return PPOConfig(
        num_envs=4,
        rollout_steps=16,
        minibatch_size=32,
        epochs=1,
        threads=1,
        network=network,
        evaluate_every=64,
        evaluation_episodes=4,
        checkpoint_every=64,
    )


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, small_config):
    """A finished run's folder; tests must not write into it."""
    from maskrl.runs.run_dir import RunDir
    from maskrl.trainers.ppo import PPO

    run = RunDir.create(tmp_path_factory.mktemp("small") / "run")
    PPO("panda-open", small_config, seed=5).learn(128, run_dir=run)
    return run

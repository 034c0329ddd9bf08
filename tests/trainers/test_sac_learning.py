"""Discrete SAC under masks reaches what can be reached, where without the mask it does not.

In a corridor of 9 cells with 60 actions, of which two move, the optimum is 1.0. Over 200
episodes random valid play gets 0.37, random play that ignores the mask 0.04.
"""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.sac import DiscreteSAC, SACConfig

pytestmark = [pytest.mark.learning, pytest.mark.slow]

CONFIG = SACConfig(
    num_envs=16,
    replay_size=20_000,
    learning_starts=500,
    train_every=16,
    gradient_steps=2,
    batch_size=64,
    learning_rate=1e-3,
    temperature_rate=3e-3,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(32,)),
)
STEPS = 16 * 512
NEAR_OPTIMAL = 0.99
WITHOUT_MASK = 0.6


def trained(corridor, config=CONFIG, *, seed=0, **world):
    def make():
        return corridor(16, length=9, n_actions=60, **world)

    trainer = DiscreteSAC(make(), config, seed=seed)
    trainer.learn(STEPS)
    return play(trainer, make()), trainer


def play(trainer, env, episodes=200):
    """Mean return of the most probable actions."""
    obs, _ = env.reset(seed=123)
    current, returns = np.zeros(env.num_envs), []
    while len(returns) < episodes:
        actions, _ = trainer.predict(obs)
        obs, reward, terminated, truncated, _ = env.step(actions)
        current += reward
        ended = terminated | truncated
        returns += current[ended].tolist()
        current[ended] = 0.0
    assert not env.masked or env.illegal_actions == 0
    return float(np.mean(returns))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_masked_agent_reaches_the_optimum(corridor, seed):
    mean, trainer = trained(corridor, seed=seed)
    assert mean >= NEAR_OPTIMAL
    low, high = CONFIG.temperature_min, CONFIG.temperature_max
    assert low <= trainer.temperature().item() <= high


def test_the_same_agent_without_the_mask_does_not(corridor):
    assert trained(corridor, masked=False)[0] <= WITHOUT_MASK


@pytest.mark.parametrize(
    "changes",
    [
        {"n_step": 1, "priority_exponent": 0.6, "dueling": False, "huber": None},
        {"network": NetworkConfig(hidden=(32,), shared=True), "shared_critics": True},
    ],
    ids=["prioritised", "shared"],
)
def test_every_variant_reaches_it(corridor, changes):
    assert trained(corridor, CONFIG.replace(**changes))[0] >= NEAR_OPTIMAL


def test_where_some_steps_allow_nothing(corridor):
    config = CONFIG.replace(empty="idle")
    assert trained(corridor, config, cooldown=True)[0] >= NEAR_OPTIMAL

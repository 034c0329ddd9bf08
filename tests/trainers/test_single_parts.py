"""The parts for one agent; what they do together is tested with `PPO` itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.objectives import generalized_advantages
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.single_parts import one_agent_settings

SMALL = PPOConfig(
    num_envs=2, rollout_steps=8, minibatch_size=4, threads=1, network=NetworkConfig(hidden=(4,))
)


def test_settings_of_one_agent():
    assert one_agent_settings(SMALL, "here").ratio == "joint"
    assert one_agent_settings(SMALL.replace(ratio="head"), "here").ratio == "head"
    with pytest.raises(ConfigError, match="ratio: 'agent' has no meaning in here"):
        one_agent_settings(SMALL.replace(ratio="agent"), "here")
    with pytest.raises(ConfigError, match="death: 'terminal' has no effect on here"):
        one_agent_settings(SMALL.replace(death="terminal"), "here")


def test_advantages_are_those_of_one_recursion(corridor):
    trainer = PPO(corridor(2), SMALL.replace(normalize_rewards=True))
    for _ in range(2):  # the second time rewards have a scale
        successors = trainer.collector.collect()
        trainer.parts.judge(successors)
        buffer = trainer.buffer
        rewards = trainer.reward_scale(torch.from_numpy(buffer.rewards))
        expected, returns = generalized_advantages(
            rewards,
            torch.from_numpy(buffer.values),
            successors,
            torch.from_numpy(buffer.terminated),
            torch.from_numpy(buffer.truncated),
            gamma=0.99,
            gae_lambda=0.95,
        )
        np.testing.assert_array_equal(buffer.advantages, expected)
        np.testing.assert_array_equal(buffer.returns, returns)
        trainer.parts.update_statistics()
    assert float(trainer.reward_scale.moments.count) == 32


def test_a_limit_may_count_as_the_end(corridor):
    trainer = PPO(corridor(2), SMALL.replace(bootstrap_truncated=False))
    successors = trainer.collector.collect()
    buffer = trainer.buffer
    buffer.terminated[:] = buffer.truncated[:] = False
    buffer.truncated[3, 1] = True
    trainer.parts.judge(successors)
    values = torch.from_numpy(buffer.values)
    given = (torch.from_numpy(buffer.rewards), values, successors)
    cut, never = torch.from_numpy(buffer.truncated), torch.zeros(8, 2, dtype=torch.bool)
    ended, _ = generalized_advantages(*given, cut, never, gamma=0.99, gae_lambda=0.95)
    valued, _ = generalized_advantages(*given, never, cut, gamma=0.99, gae_lambda=0.95)
    np.testing.assert_array_equal(buffer.advantages, ended)
    assert buffer.advantages[3, 1] != valued[3, 1]  # by gamma times the value that followed

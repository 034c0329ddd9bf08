"""Limits of gradients, together and apart, against optimisers of torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.gradient_limits import GradientLimits, value_parameters
from maskrl.trainers.ppo_config import PPOConfig

BOARD = spaces.Dict(
    {"observation": spaces.Box(-1.0, 1.0, (7,), np.float32), "action_mask": mask_space(5)}
)
TEAM = spaces.Dict(
    {
        "observation": spaces.Box(-1.0, 1.0, (4, 7), np.float32),
        "agent_mask": mask_space(4),
        "action_mask": mask_space(4, 5),
    }
)


def alone(**network: object) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(BOARD, spaces.Discrete(5), NetworkConfig(**network))


def team(**network: object) -> TeamActorCritic:
    torch.manual_seed(0)
    return TeamActorCritic(TEAM, spaces.MultiDiscrete([5] * 4), NetworkConfig(**network))


def give_gradients(policy: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in policy.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("build", [alone, team, lambda: alone(memory="gru")])
@pytest.mark.parametrize("limits", [(0.5, 3.0), (0.0, 0.1), (2.0, 0.0), (1e9, 1e9)])
def test_each_network_steps_as_with_an_optimiser_of_its_own(build, limits):
    ours = build()
    theirs = copy.deepcopy(ours)
    config = PPOConfig(max_grad_norm=limits[0], value_max_grad_norm=limits[1])
    optimizer = ClippedAdam(list(ours.parameters()), lr=0.01, eps=1e-8)
    apart = GradientLimits(ours, config, list(ours.parameters()))
    value = value_parameters(theirs)
    policy = [p for p in theirs.parameters() if all(p is not v for v in value)]
    assert len(value) > 2
    assert len(policy) > 2
    two = [torch.optim.Adam(part, lr=0.01, eps=1e-8) for part in (policy, value)]
    for seed in range(3):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        squares = sum(float(p.grad.square().sum()) for p in theirs.parameters())
        assert float(apart.step(optimizer)) == pytest.approx(squares**0.5, rel=1e-5)
        for part, limit, adam in zip((policy, value), limits, two, strict=True):
            nn.utils.clip_grad_norm_(part, limit or float("inf"))
            adam.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_value_reads_its_own_parameters_alone_and_the_policy_none_of_them():
    policy = alone()
    obs = {"observation": torch.randn(3, 7), "action_mask": torch.ones(3, 5, dtype=torch.bool)}
    found = value_parameters(policy)
    policy.value(obs).sum().backward()
    touched = {id(p) for p in policy.parameters() if p.grad is not None and p.grad.any()}
    assert touched <= {id(p) for p in found}
    assert touched
    policy.zero_grad(set_to_none=True)
    policy.distribution(obs).log_prob(torch.tensor([0, 1, 2])).sum().backward()
    assert all(p.grad is None for p in found)


def test_together_is_the_default_and_one_limit():
    policy = alone()
    config = PPOConfig(max_grad_norm=0.5)
    assert config.value_max_grad_norm is None
    optimizer = ClippedAdam(list(policy.parameters()), lr=0.01, eps=1e-8)
    give_gradients(policy, 0)
    GradientLimits(policy, config, list(policy.parameters())).step(optimizer)
    theirs = alone()
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, eps=1e-8)
    give_gradients(theirs, 0)
    nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
    adam.step()
    for a, b in zip(policy.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_what_has_no_network_of_its_own_has_no_limit_of_its_own():
    with pytest.raises(ConfigError, match="value_max_grad_norm: policy and value share one"):
        PPOConfig(value_max_grad_norm=0.5, network=NetworkConfig(shared=True))
    with pytest.raises(ConfigError, match="of this policy share one network"):
        value_parameters(alone(shared=True))
    with pytest.raises(ConfigError, match="a Linear, nobody knows"):
        value_parameters(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="value_max_grad_norm"):
        PPOConfig(value_max_grad_norm=-1.0)

"""Networks that begin with torch's own weights, in every policy that is built by settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.first_weights import begin_with
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.policies.team_actor_critic import TeamActorCritic

ACTIONS = spaces.Discrete(5)
BOARD = spaces.Dict(
    {
        "observation": spaces.Box(-1.0, 1.0, (6, 6, 3), np.float32),
        "action_mask": mask_space(5),
    }
)
TEAM = spaces.Dict(
    {
        "observation": spaces.Box(-1.0, 1.0, (4, 7), np.float32),
        "agent_mask": mask_space(4),
        "action_mask": mask_space(4, 5),
    }
)
TORCH = NetworkConfig(weights="torch")


def built(kind: type, config: NetworkConfig, seed: int = 0, **settings: object) -> nn.Module:
    torch.manual_seed(seed)
    if kind is TeamActorCritic:
        return kind(TEAM, spaces.MultiDiscrete([5] * 4), config, **settings)
    return kind(BOARD, ACTIONS, config, **settings)


def layers(policy: nn.Module) -> list[nn.Module]:
    return [part for part in policy.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]


def inputs(layer: nn.Module) -> int:
    return layer.weight[0].numel()


@pytest.mark.parametrize("kind", [ActorCritic, QPolicy, SoftActorCritic, TeamActorCritic])
def test_every_layer_begins_as_torch_would_have_it(kind):
    found = layers(built(kind, TORCH))
    assert len(found) >= 4
    for layer in found:
        bound = inputs(layer) ** -0.5
        for part in (layer.weight, layer.bias):
            assert part.abs().max() <= bound
        # Uniform up to the bound, which orthogonal weights of any gain are not.
        flat = layer.weight.detach().flatten()
        assert flat.abs().max() > 0.8 * bound
        if len(flat) > 100:
            assert flat.std() == pytest.approx(bound / 3**0.5, rel=0.25)
        assert layer.bias.abs().max() > 0


@pytest.mark.parametrize("kind", [ActorCritic, QPolicy, SoftActorCritic, TeamActorCritic])
def test_weights_are_orthogonal_unless_told_otherwise(kind):
    for layer in layers(built(kind, NetworkConfig())):
        assert (layer.bias == 0).all()


def test_the_seed_decides_these_weights_too():
    first, again, other = (built(ActorCritic, TORCH, seed) for seed in (3, 3, 4))
    for a, b, c in zip(layers(first), layers(again), layers(other), strict=True):
        assert torch.equal(a.weight, b.weight)
        assert not torch.equal(a.weight, c.weight)


class Own(nn.Module):
    out_features = 8

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(108, 8)
        nn.init.constant_(self.layer.weight, 7.0)

    def forward(self, obs):
        return self.layer(obs["observation"].flatten(1))


def test_encoders_of_ones_own_keep_their_weights():
    own = (Own(), Own())
    policy = built(ActorCritic, TORCH, encoder=own[0], critic_encoder=own[1])
    assert all((encoder.layer.weight == 7.0).all() for encoder in own)
    assert (policy.policy_head.linear.bias != 0).any()
    values = built(QPolicy, TORCH, encoder=own[0])
    assert (own[0].layer.weight == 7.0).all()
    assert (values.head.value.bias != 0).any()
    soft = built(SoftActorCritic, TORCH, encoder=Own)
    assert (soft.actor.layer.weight == 7.0).all()
    assert all((encoder.layer.weight == 7.0).all() for encoder in soft.critics.encoders)
    assert (soft.policy_head.linear.bias != 0).any()


def test_orthogonal_changes_nothing():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    begin_with("orthogonal", layer)
    assert torch.equal(layer.weight, before)


def test_unknown_weights_are_refused():
    with pytest.raises(ConfigError, match=r"network.weights: expected one of orthogonal, torch"):
        NetworkConfig(weights="xavier")

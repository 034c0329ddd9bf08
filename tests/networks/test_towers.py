"""Training without a graph: the same outputs and gradients as autograd finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.networks.encoders import NetworkConfig, make_encoder
from maskrl.policies.actor_critic import ActorCritic

MASK = spaces.Box(0, 1, (5,), np.bool_)
FLAT = {"vector": spaces.Box(-1, 1, (3, 2), np.float32), "action_mask": MASK}
SPACE = spaces.Dict({**FLAT, "colour": spaces.Discrete(4)})


def policy_of(space=SPACE, **settings):
    torch.manual_seed(0)
    return ActorCritic(space, spaces.Discrete(5), NetworkConfig(hidden=(16, 8), **settings))


def observation(rows):
    return {
        "vector": torch.randn(rows, 3, 2),
        "colour": torch.arange(rows) % 4,
        "action_mask": torch.ones(rows, 5, dtype=torch.bool),
    }


@pytest.mark.parametrize("settings", [{}, {"shared": True}, {"activation": "relu"}])
@pytest.mark.parametrize("rows", [1, 40])
def test_outputs_and_gradients_are_those_of_autograd(settings, rows):
    policy, obs = policy_of(**settings), observation(rows)
    towers = policy.towers()
    for _ in range(2):  # the second time in used memory
        logits, values = policy.logits_and_value(obs)
        mine = towers.forward(obs)
        torch.testing.assert_close(mine[0], logits)
        torch.testing.assert_close(mine[1], values)
        upstream = torch.randn(logits.shape), torch.randn(values.shape)
        policy.zero_grad()
        torch.autograd.backward([logits, values], upstream)
        expected = [p.grad.clone() for p in policy.parameters()]
        for p in policy.parameters():
            p.grad.fill_(torch.nan)  # replaced, not added to
        towers.backward(*upstream)
        for p, gradient in zip(policy.parameters(), expected, strict=True):
            torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-5)


def test_without_hidden_layers_there_are_heads_alone():
    torch.manual_seed(0)
    config = NetworkConfig(hidden=(), shared=True)
    policy, obs = ActorCritic(SPACE, spaces.Discrete(5), config), observation(6)
    towers = policy.towers()
    logits, values = policy.logits_and_value(obs)
    torch.testing.assert_close(towers.forward(obs), (logits, values))
    assert all(leaf.is_leaf and leaf.requires_grad for leaf in towers.forward(obs))
    torch.autograd.backward([logits, values], [torch.ones(6, 5), torch.ones(6)])
    expected = [p.grad.clone() for p in policy.parameters()]
    towers.backward(torch.ones(6, 5), torch.ones(6))
    for p, gradient in zip(policy.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_rows_of_doubles_are_not_served():
    policy = policy_of().double()
    assert policy.towers() is None


def test_memory_has_the_type_of_the_rows_whatever_the_default_is():
    policy, obs = policy_of(spaces.Dict(FLAT)), observation(4)
    towers, expected = policy.towers(), policy.value(obs)
    torch.set_default_dtype(torch.float64)
    try:
        torch.testing.assert_close(towers.forward(obs)[1], expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_whole_numbers_are_served():
    numbers = {"steps": spaces.Box(-3, 3, (4,), np.int8), "action_mask": MASK}
    policy = policy_of(spaces.Dict(numbers))
    obs = {"steps": torch.arange(8, dtype=torch.int8).reshape(2, 4)}
    torch.testing.assert_close(policy.towers().forward(obs), policy.logits_and_value(obs))


def hooked(policy):
    policy.actor.trunk.register_forward_hook(lambda *_: None)


def listening(policy):
    policy.policy_head.linear.weight.register_hook(lambda g: g)


def frozen(policy):
    policy.critic.trunk.layers[0].weight.requires_grad_(False)


def own_encoder(policy):
    policy.actor = nn.Identity()


def reparametrised(policy):
    nn.utils.parametrizations.weight_norm(policy.value_head.linear)


def another_activation(policy):
    policy.critic.trunk.activation = torch.relu


def another_reader(policy):
    policy.critic = make_encoder(spaces.Dict(FLAT), policy.config)


def tied_between(policy):
    policy.critic.trunk = policy.actor.trunk


def tied_within(policy):
    policy.actor.trunk.layers[1].weight = policy.critic.trunk.layers[1].weight


def patched(policy):
    policy.value_head.forward = lambda features: features[:, 0]


class Scaled(nn.Module):
    """A part of one's own, whose factor no state dict shows."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.out_features = factor, 6

    def forward(self, x):
        return self.factor * x.flatten(1)


def own_part(policy):
    at = policy.actor.keys.index("vector")
    policy.actor.parts[at], policy.critic.parts[at] = Scaled(2.0), Scaled(3.0)


def unbiased(policy):
    policy.actor.trunk.layers[0].bias = None


@pytest.mark.parametrize(
    "change",
    [
        unbiased,
        hooked,
        listening,
        frozen,
        own_encoder,
        reparametrised,
        another_activation,
        another_reader,
        tied_between,
        tied_within,
        patched,
        own_part,
    ],
)
def test_what_a_perceptron_does_not_do_is_left_to_autograd(change):
    policy = policy_of()
    assert policy.towers() is not None
    change(policy)
    assert policy.towers() is None
    if change not in (own_encoder,):
        policy.logits_and_value(observation(3))  # which works as before


def test_other_networks_are_left_to_autograd():
    picture = spaces.Dict({"grid": spaces.Box(0, 1, (4, 4, 2), np.float32), "action_mask": MASK})
    assert policy_of(picture).towers() is None
    assert policy_of(activation="gelu").towers() is None
    index = spaces.Dict({"index": spaces.Discrete(1000), "action_mask": MASK})
    assert policy_of(index).towers() is None


def test_a_policy_of_ones_own_may_do_anything_else():
    class Mine(ActorCritic):
        def logits_and_value(self, obs):
            logits, value = super().logits_and_value(obs)
            return logits * 2, value

    assert Mine(SPACE, spaces.Discrete(5)).towers() is None

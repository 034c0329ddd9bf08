"""An update by hand-written gradients is that by autograd, for every kind of action."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.buffers import MinibatchReader, RolloutBuffer
from maskrl.kernels.dispatch import set_backend
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.objectives.ppo_loss import LossSettings, ppo_loss
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.trainers.learning_network import ThroughAutograd, ThroughTowers, network_of

T, B = 6, 4
CPU = torch.device("cpu")
TREE = ActionTree(Head("type", 3), Head("what", 4, relevant={"type": [1, 2]}))
KINDS = {
    "discrete": (spaces.Discrete(7), (7,), None, None),
    "heads": (spaces.MultiDiscrete([3, 4]), (7,), (3, 4), None),
    "bits": (spaces.MultiBinary(3), (3, 2), (2, 2, 2), None),
    "tree": (spaces.MultiDiscrete([3, 4]), (7,), TREE, TREE),
}


def make(kind, *, idle=False, **config):
    action_space, shape, heads, tree = KINDS[kind]
    space = spaces.Dict(
        {
            "observation": spaces.Box(-1, 1, (5,), np.float32),
            "action_mask": spaces.Box(0, 1, shape, np.bool_),
        }
    )
    torch.manual_seed(0)
    network = NetworkConfig(hidden=(16,), **config)
    policy = ActorCritic(space, action_space, network, action_tree=tree, empty="idle")
    rng = np.random.default_rng(0)
    buffer = RolloutBuffer(space, B, T, heads=heads)
    generator = torch.Generator().manual_seed(0)
    for t in range(T + 1):
        mask = rng.random((B, *shape)) < 0.6
        if kind != "bits":
            mask[:, [0, -1]] = True
        else:
            mask[..., 0] = True
        if idle and t % 2:
            mask[0] = False
        obs = {"observation": rng.normal(size=(B, 5)).astype(np.float32), "action_mask": mask}
        rows = buffer.write_observation(t, obs)
        if t < T:
            with torch.no_grad(), trusted(policy):
                distribution, value = policy(rows)
            if tree is not None:
                action, log_prob = distribution.sample_with_log_prob(generator=generator)
            else:
                action = distribution.sample(generator=generator)
                log_prob = distribution.log_prob(action, reduce="none")
            buffer.actions[t] = action
            buffer.log_probs[t] = log_prob.reshape(B, -1) + 0.2 * rng.normal()
            buffer.values[t] = value
            buffer.idle[t] = ~mask.reshape(B, -1).any(-1)
    buffer.advantages[...] = rng.normal(size=(T, B))
    buffer.returns[...] = rng.normal(size=(T, B))
    return policy, buffer


def gradients(policy, network, batch, settings):
    policy.zero_grad()
    with trusted(policy):
        distribution, values = network.forward(batch.observations)
        loss = ppo_loss(distribution, values, batch, settings)
        network.backward(loss)
    raw = network.raw_logits(batch.observations)
    return loss.statistics.double(), raw, [p.grad.clone() for p in policy.parameters()]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("ratio", ["joint", "head"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_give_the_same_gradients(kind, ratio, shared):
    policy, buffer = make(kind, idle=kind in ("discrete", "heads"), shared=shared)
    settings = LossSettings(0.2, 0.03, 0.5, 0.3, ratio)
    towers = network_of(policy)
    assert isinstance(towers, ThroughTowers)
    batch = buffer.minibatch(np.arange(T * B), CPU)
    packed = MinibatchReader(buffer, CPU, packed=policy.packed_masks)(np.arange(T * B))
    set_backend("reference")
    try:
        expected = gradients(policy, ThroughAutograd(policy), batch, settings)
    finally:
        set_backend("auto")
    for given in (batch, packed):
        found = gradients(policy, towers, given, settings)
        torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found[1], expected[1])
        for mine, other in zip(found[2], expected[2], strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


def test_masks_stay_packed_where_only_the_heads_read_them():
    assert make("discrete")[0].packed_masks == ("action_mask",)
    assert make("tree")[0].packed_masks == ()
    policy, _ = make("discrete")
    policy.actor = nn.Identity()
    assert policy.packed_masks == ()


def test_gradients_replace_those_of_before():
    policy, buffer = make("discrete")
    batch = buffer.minibatch(np.arange(T * B), CPU)
    settings = LossSettings(0.2, 0.03, 0.5)
    for network in (ThroughAutograd(policy), network_of(policy)):
        first = gradients(policy, network, batch, settings)[2]
        with trusted(policy):
            distribution, values = network.forward(batch.observations)
            network.backward(ppo_loss(distribution, values, batch, settings))
        for p, gradient in zip(policy.parameters(), first, strict=True):
            torch.testing.assert_close(p.grad, gradient)


def test_more_rows_than_one_pass_is_worth_go_through_autograd(monkeypatch):
    policy, buffer = make("discrete")
    monkeypatch.setattr("maskrl.kernels.perceptron.MOST", 16)
    batch = buffer.minibatch(np.arange(T * B), CPU)
    settings = LossSettings(0.2, 0.03, 0.5)
    expected = gradients(policy, ThroughAutograd(policy), batch, settings)
    found = gradients(policy, network_of(policy), batch, settings)
    for mine, other in zip(found[2], expected[2], strict=True):
        assert torch.equal(mine, other)


class Scales(nn.Module):
    """A normaliser that learns by gradients."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, obs):
        return {**obs, "observation": obs["observation"] * self.scale}


def test_a_normaliser_that_learns_gets_its_gradient():
    policy, buffer = make("discrete")
    policy.normalizer = Scales()
    batch = buffer.minibatch(np.arange(T * B), CPU)
    gradients(policy, network_of(policy), batch, LossSettings(0.2, 0.03, 0.5))
    assert policy.normalizer.scale.grad.abs().sum() > 0.0


def test_who_looks_for_anomalies_or_changes_a_method_gets_a_graph():
    policy, _ = make("discrete")
    with torch.autograd.set_detect_anomaly(True):
        assert isinstance(network_of(policy), ThroughAutograd)
    assert isinstance(network_of(policy), ThroughTowers)
    both = policy.logits_and_value
    policy.logits_and_value = lambda obs: both(obs)
    assert isinstance(network_of(policy), ThroughAutograd)

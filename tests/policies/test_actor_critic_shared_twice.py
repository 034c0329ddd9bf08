"""Shared weights run twice: a masked actor and a critic that sees everything, one encoder.

The actor's pass is a pass of its own, so nothing that only the critic sees may move a bit of
the logits or of their gradients; the value must be that of an encoder built to see everything.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from maskrl.networks.encoders import NetworkConfig, make_encoder
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.policies.predict import obs_to_tensors
from maskrl.trainers import PPO, PPOConfig
from maskrl.trainers.callbacks import Callback

TWICE = NetworkConfig(
    hidden=(16,),
    entity_dim=8,
    entity_depth=2,
    entity_heads=2,
    shared=True,
    critic_sees="everything",
)
POOLS = ("self", "mean", "max", "attention")


@pytest.fixture
def policy(scene_space, action_space):
    torch.manual_seed(0)
    return ActorCritic(scene_space, action_space, TWICE)


def with_hidden_at(obs, number):
    """Another scene to the omniscient, the same to the observer."""
    moved = {key: value.clone() for key, value in obs.items()}
    moved["entities"][:, 2] = number
    moved["entities"][:, 3] = float("nan")  # padding
    return moved


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("inside", [False, True])
def test_the_actor_is_not_moved_by_what_the_critic_sees(
    scene_space, action_space, scene_obs, pool, inside
):
    config = NetworkConfig(**{**asdict(TWICE), "entity_pool": pool})
    policy = ActorCritic(scene_space, action_space, config)
    obs = obs_to_tensors(scene_obs)
    moved = with_hidden_at(obs, 1e30 if pool != "mean" else 40.0)
    with trusted(policy) if inside else torch.enable_grad():
        logits, value = policy.logits_and_value(obs)
        for same in (policy.logits(moved), policy.logits_and_value(moved)[0]):
            assert torch.equal(logits, same)
        assert not torch.isclose(value, policy.value(moved)).any()
    assert torch.isfinite(policy.value(moved)).all()


def test_logits_are_those_of_a_masked_encoder_and_values_those_of_an_omniscient_one(
    policy, scene_space, scene_obs
):
    obs = obs_to_tensors(scene_obs)
    masked = make_encoder(scene_space, TWICE, see="observer")
    omniscient = make_encoder(scene_space, TWICE, see="everything")
    for encoder in (masked, omniscient):
        encoder.load_state_dict(policy.actor.state_dict())
    assert policy.critic is None
    logits, value = policy.logits_and_value(obs)
    assert torch.equal(logits, policy.policy_head(masked(obs)))
    assert torch.equal(value, policy.value_head(omniscient(obs)))
    distribution, again = policy(obs)
    assert torch.equal(again, value)
    assert torch.equal(policy.value(obs), value)
    assert torch.equal(distribution.probs, policy.distribution(obs).probs)


def test_without_a_second_pass_the_value_would_know_less(scene_space, action_space, scene_obs):
    """The same weights, told to see the same: the test above can fail."""
    config = NetworkConfig(**{**asdict(TWICE), "critic_sees": "same"})
    policy = ActorCritic(scene_space, action_space, config)
    obs = obs_to_tensors(scene_obs)
    assert torch.equal(policy.value(obs), policy.value(with_hidden_at(obs, 5.0)))


def test_gradients_of_both_reach_the_shared_weights(policy, scene_obs):
    obs = obs_to_tensors(scene_obs)
    weights = list(policy.actor.parameters())

    def gradients(loss):
        return torch.autograd.grad(loss, weights, allow_unused=True)

    logits, value = policy.logits_and_value(obs)
    of_both = gradients(logits.square().sum() + value.square().sum())
    of_logits = gradients(policy.logits(obs).square().sum())
    of_value = gradients(policy.value(obs).square().sum())
    moved = False
    for both, a, b in zip(of_both, of_logits, of_value, strict=True):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(both, a + b)
        moved = moved or (bool(a.any()) and bool(b.any()))
    assert moved


def test_the_policy_loss_has_no_gradient_with_respect_to_what_is_hidden(policy, scene_obs):
    obs = obs_to_tensors(scene_obs)
    obs["entities"].requires_grad_()
    logits, value = policy.logits_and_value(obs)
    (of_logits,) = torch.autograd.grad(logits.square().sum(), obs["entities"], retain_graph=True)
    (of_value,) = torch.autograd.grad(value.square().sum(), obs["entities"])
    assert (of_logits[:, 2] == 0).all()
    assert of_logits[:, :2].any()
    assert of_value[:, 2].any()
    assert (of_value[:, 3] == 0).all()  # padding stays padding


def test_values_may_be_computed_later_from_what_they_read(policy, scene_obs):
    obs = obs_to_tensors(scene_obs)
    assert policy.value_reads is not None
    assert set(policy.value_reads) == {"entities", "entity_mask"}
    later = {key: obs[key] for key in policy.value_reads}
    assert torch.equal(policy.value(later), policy.value(obs))


def test_a_scene_without_visibility_is_run_once(scene_space, action_space, scene_obs):
    del scene_space.spaces["visibility"]
    del scene_obs["visibility"]
    policy = ActorCritic(scene_space, action_space, TWICE)
    calls = []
    policy.actor.register_forward_hook(lambda *_: calls.append(1))
    policy.logits_and_value(obs_to_tensors(scene_obs))
    assert not policy.runs_twice
    assert len(calls) == 1


class OwnEncoder(nn.Module):
    """Reads visibility by itself, and insists on it."""

    out_features = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, obs):
        seen = obs["entity_mask"] & obs["visibility"][:, 0]
        rows = obs["entities"].masked_fill(~seen.unsqueeze(-1), 0.0)
        return self.layer(rows).masked_fill(~seen.unsqueeze(-1), 0.0).sum(1)


def test_an_encoder_of_ones_own_gets_a_visibility_of_all_true(scene_space, action_space, scene_obs):
    policy = ActorCritic(scene_space, action_space, TWICE, encoder=OwnEncoder())
    obs = obs_to_tensors(scene_obs)
    moved = with_hidden_at(obs, 5.0)
    assert torch.equal(policy.logits(obs), policy.logits(moved))
    assert not torch.isclose(policy.value(obs), policy.value(moved)).any()
    told = {**obs, "visibility": torch.ones_like(obs["visibility"])}
    assert torch.equal(policy.value(obs), policy.value_head(policy.actor(told)))


def test_copies_and_rebuilt_policies_run_twice_too(policy, scene_obs):
    obs = obs_to_tensors(scene_obs)
    again = ActorCritic.from_json(json.loads(json.dumps(policy.to_json())))
    again.load_state_dict(policy.state_dict())
    for other in (again, copy.deepcopy(policy)):
        assert other.runs_twice
        assert torch.equal(other.value(obs), policy.value(obs))


@pytest.mark.parametrize("settings", [{}, {"normalize_observations": True}])
def test_in_training_the_ratio_starts_at_one(settings):
    """The panda's world: acting and learning compute the same numbers under equal weights."""
    config = PPOConfig(
        num_envs=8,
        rollout_steps=16,
        minibatch_size=32,
        epochs=2,
        threads=1,
        evaluate_every=0,
        network=TWICE,
        **settings,
    )
    rows = []

    class Rows(Callback):
        def on_rollout(self, trainer, metrics):
            rows.append(dict(metrics))

    trainer = PPO("panda", config, seed=3)
    before = [p.clone() for p in trainer.policy.parameters()]
    trainer.learn(3 * config.batch_size, callbacks=[Rows()])
    assert trainer.policy.runs_twice
    assert len(rows) == 3
    assert max(row["ratio_drift"] for row in rows) <= 1e-5
    after = list(trainer.policy.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True) if a.ndim > 1)

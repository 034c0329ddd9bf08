"""Policies that exist already: taken where they fit, refused where something would be ignored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.actor_critic import ActorCritic, obs_to_tensors
from maskrl.trainers.learning_network import network_of
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_policy import policy_for


@pytest.mark.parametrize(
    ("length", "built", "config", "message"),
    [
        (5, {}, {}, "policy: its observation space .* that of the environment"),
        (7, {"n_actions": 9}, {}, "policy: its observation space .* that of the environment"),
        (7, {}, {"empty": "idle"}, "empty: 'idle' is set .* built with 'raise'"),
        (7, {"empty": "idle"}, {"empty": "idle", "idle_action": 3}, "idle_action: .* built with 0"),
        (7, {"normalize_observations": True}, {}, "normalizer .* would never learn"),
        (7, {}, {"network": NetworkConfig(hidden=(9,))}, "network: .* no effect"),
    ],
)
def test_actor_critic_of_another_making_is_refused(corridor, length, built, config, message):
    """Whose settings contradict those of the training: one of the two would be ignored."""
    built = dict(built)
    env = corridor(4, length=length, n_actions=built.pop("n_actions", 10))
    policy = ActorCritic(env.single_observation_space, env.single_action_space, **built)
    with pytest.raises(ConfigError, match=message):
        PPO(corridor(4), PPOConfig(num_envs=4, **config), policy=policy)


def test_actor_critic_of_another_tree_is_refused():
    space = spaces.Dict({"x": spaces.Box(0, 1, (2,)), "action_mask": mask_space(5)})
    actions = spaces.MultiDiscrete([2, 3])
    tree = ActionTree(Head("type", 2), Head("place", 3, relevant={"type": [1]}))
    config = PPOConfig(num_envs=4)
    fitting = ActorCritic(space, actions, action_tree=tree)
    assert policy_for(config, space, actions, fitting, tree) is fitting
    with pytest.raises(ConfigError, match="its action tree None is not that of the environment"):
        policy_for(config, space, actions, ActorCritic(space, actions), tree)
    assert policy_for(config, space, actions, None, tree).action_tree == tree


def test_actor_critic_that_fits_is_taken(corridor):
    env = corridor(4)
    network = NetworkConfig(hidden=(9,))
    policy = ActorCritic(env.single_observation_space, env.single_action_space, network)
    for config in (PPOConfig(num_envs=4), PPOConfig(num_envs=4, network=network)):
        trainer = PPO(env, config, policy=policy)
        assert trainer.policy is policy
        assert trainer.config.network == network


def test_statistics_that_were_learned_before_may_stay_as_they_are(corridor):
    env = corridor(4)
    obs, _ = env.reset(seed=0)
    policy = ActorCritic(
        env.single_observation_space, env.single_action_space, normalize_observations=True
    )
    assert isinstance(policy.normalizer, ObservationNormalizer)
    policy.normalizer.update(obs_to_tensors(obs))
    before = policy.normalizer.normalizers[0].moments.count.item()
    PPO(
        env, PPOConfig(num_envs=4, rollout_steps=8, minibatch_size=8, threads=1), policy=policy
    ).step()
    assert policy.normalizer.normalizers[0].moments.count.item() == before == 4


class ReadsMask(ActorCritic):
    """Value and logits know what is allowed, which the networks of their base do not."""

    def logits(self, obs):
        return super().logits(obs) + 0.3 * obs["action_mask"].float().cumsum(-1)

    def value(self, obs):
        return super().value(obs) + obs["action_mask"].float().sum(-1)


class Colder(ActorCritic):
    """Decides in its own way, and says so in one place."""

    def distribution(self, obs):
        return self.masked(3.0 * self.logits(obs), obs)


class InOnePass(ActorCritic):
    """Everything of its own, where both are computed together."""

    def distribution(self, obs):
        return self(obs)[0]

    def value(self, obs):
        return self(obs)[1]

    def forward(self, obs):
        logits, value = self.logits_and_value(obs)
        return self.masked(3.0 * logits, obs), 7.0 + value


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", [ReadsMask, Colder, InOnePass])
def test_a_subclass_acts_and_learns_by_what_it_is_evaluated_by(corridor, kind, shared):
    env = corridor(4)
    network = NetworkConfig(hidden=(8,), shared=shared)
    policy = kind(env.single_observation_space, env.single_action_space, network)
    with torch.no_grad():  # far from uniform, so that a difference shows
        policy.policy_head.linear.weight.mul_(100)
    config = PPOConfig(num_envs=4, rollout_steps=8, minibatch_size=16, epochs=1, threads=1)
    trainer = PPO(env, config, policy=policy)
    buffer = trainer.buffer
    trainer.collector.collect()
    everything = np.arange(32)
    rows = buffer.minibatch(everything, trainer.device)
    with torch.no_grad():
        expected = policy.distribution(rows.observations)
        value = policy.value(rows.observations)
        seen, learned = network_of(policy).forward(rows.observations)
    torch.testing.assert_close(rows.values, value)
    torch.testing.assert_close(learned, value)
    torch.testing.assert_close(rows.log_probs[:, 0], expected.log_prob(rows.actions))
    torch.testing.assert_close(seen.probs, expected.probs)
    trainer.step()

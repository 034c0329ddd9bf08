"""Policies that exist already: taken where they fit, refused where something would be ignored."""

from __future__ import annotations

import pytest
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.actor_critic import ActorCritic, obs_to_tensors
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

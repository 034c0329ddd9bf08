"""The policy that PPO trains: built from spaces and settings, or one's own, if it fits.

Where a policy that exists already and the settings of the training say different things,
one of them would be ignored in silence; here they are compared and the difference named.
"""

from __future__ import annotations

import logging
from typing import Any

from gymnasium import spaces
from torch import nn

from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.protocol import has_memory, require_policy
from maskrl.trainers.ppo_config import PPOConfig

logger = logging.getLogger("maskrl")


def policy_for(
    config: PPOConfig,
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    policy: nn.Module | None = None,
    action_tree: ActionTree | None = None,
) -> nn.Module:
    """The policy to train.

    Args:
        config: Of the training.
        observation_space: Of one environment.
        action_space: Of one environment.
        policy: One's own; without it an `ActorCritic` is built.
        action_tree: Of one environment, where it has one.

    Raises:
        ConfigError: The policy lacks a method, or contradicts settings or spaces.
    """
    if policy is None:
        return ActorCritic.from_spaces(
            observation_space,
            action_space,
            config.network,
            action_tree=action_tree,
            normalize_observations=config.normalize_observations,
            empty=config.empty,
            idle_action=config.idle_action,
        )
    if isinstance(policy, ActorCritic):
        _require_same(policy, config, observation_space, action_space, action_tree)
    elif config.network != NetworkConfig():
        raise ConfigError("network: these settings have no effect on a policy of one's own")
    normalizer = getattr(policy, "normalizer", None)
    if config.normalize_observations and not isinstance(normalizer, ObservationNormalizer):
        raise ConfigError(
            "normalize_observations: a policy of one's own normalises for itself; give it an "
            "attribute normalizer of type maskrl.networks.normalize.ObservationNormalizer and "
            "apply it to what it reads"
        )
    unlearned = isinstance(normalizer, ObservationNormalizer) and not normalizer.has_learned
    if unlearned and not config.normalize_observations:
        raise ConfigError(
            "normalize_observations: the policy has a normalizer without statistics, which "
            "would never learn any: set normalize_observations=True"
        )
    return require_policy(policy)


def fit_memory(config: PPOConfig, policy: nn.Module) -> PPOConfig:
    """The settings of sequences as they can be kept, said in the log where they change."""
    if not has_memory(policy):
        return config
    if config.sequence_length > config.rollout_steps:
        logger.info(
            "sequence_length is lowered from %d to %d, the steps of a rollout",
            config.sequence_length,
            config.rollout_steps,
        )
        config = config.replace(sequence_length=config.rollout_steps)
    if config.minibatch_size < config.sequence_length:
        logger.info(
            "minibatch_size is %d, less than one sequence: every gradient step takes one, of up "
            "to %d rows",
            config.minibatch_size,
            config.sequence_length,
        )
    return config


def _require_same(
    policy: ActorCritic,
    config: PPOConfig,
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    action_tree: ActionTree | None,
) -> None:
    for name, own, given in (
        ("observation", policy.observation_space, observation_space),
        ("action", policy.action_space, action_space),
    ):
        if own != given:
            raise ConfigError(
                f"policy: its {name} space {own} is not that of the environment, {given}"
            )
    if policy.action_tree != action_tree:
        raise ConfigError(
            f"policy: its action tree {policy.action_tree} is not that of the environment, "
            f"{action_tree}"
        )
    if config.network not in (NetworkConfig(), policy.config):
        raise ConfigError("network: these settings have no effect on a policy built already")
    if config.empty == "idle":
        for name in ("empty", "idle_action"):
            if getattr(config, name) != getattr(policy, name):
                raise ConfigError(
                    f"{name}: {getattr(config, name)!r} is set for the training, and the policy "
                    f"was built with {getattr(policy, name)!r}"
                )

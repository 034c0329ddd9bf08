"""PPO's parts where one agent acts in each environment, at every step.

Its rollout has one row for each environment step; advantages are those of one recursion,
and a policy with memory learns from sequences. Settings of teams are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.envs.contract import CANDIDATES
from maskrl.errors import ConfigError
from maskrl.networks.normalize import ObservationNormalizer, RewardScale
from maskrl.objectives import explained_variance, generalized_advantages
from maskrl.policies.action_heads import ActionHeads
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.policies.predict import predict_and_remember
from maskrl.trainers.mask_removed import MaskRemovedRollouts
from maskrl.trainers.naive_scores import NaiveCollector, require_naive
from maskrl.trainers.parts import Ground, Tensors
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_parts import ppo_training_state, restore_ppo_training_state
from maskrl.trainers.ppo_policy import fit_memory, policy_for
from maskrl.trainers.ppo_update import PPOUpdate
from maskrl.trainers.rollout import RolloutCollector
from maskrl.trainers.threads import ThreadChoice, choose_threads

_OF_TEAMS = ("death", "critic", "weight", "waiting_discount")


class SingleAgentParts:
    """As `maskrl.trainers.ppo_parts.PPOParts`; arguments as of `parts_for`."""

    def __init__(self, config: PPOConfig, ground: Ground, policy: nn.Module | None) -> None:
        opened = ground.opened
        description = opened.description
        config = one_agent_settings(config, opened.name)
        self._spaces = (opened.observation_space, opened.action_space)
        self._device = ground.device
        self.policy = policy_for(config, *self._spaces, policy, description.action_tree)
        self.policy.to(ground.device)
        if isinstance(self.policy, ActorCritic):
            config = config.replace(network=self.policy.config)
        self.config = config = fit_memory(config, self.policy)
        self.buffer = RolloutBuffer(
            opened.observation_space,
            config.num_envs,
            config.rollout_steps,
            heads=None if description.is_single_choice else description.heads,
            state_size=getattr(self.policy, "state_size", 0),
            sequence_length=config.sequence_length,
        )
        heads = ActionHeads(description)
        require_naive(config, self.policy, opened.name)
        settings = ground.collector_settings(config)
        around = (opened.venv, self.buffer, self.policy)
        self.collector = (
            RolloutCollector(*around, **settings)
            if config.masked_scores
            else NaiveCollector(*around, heads=heads, **settings)
        )
        self.update = PPOUpdate(
            self.policy,
            config,
            device=ground.device,
            shuffle=ground.seeds.torch("minibatches"),
            heads=heads,
        )
        self.mask_removed = (
            MaskRemovedRollouts(config, ground, self.policy)
            if config.mask_removed_rollouts is not None
            else None
        )
        self.reward_scale = (
            RewardScale(config.num_envs, gamma=config.gamma) if config.normalize_rewards else None
        )

    def judge(self, successors: Tensor) -> float:
        """Fill in advantages and returns; the share of variance that the values explain."""
        buffer = self.buffer
        rewards = torch.from_numpy(buffer.rewards)
        if self.reward_scale is not None:
            rewards = self.reward_scale(rewards)
        values = torch.from_numpy(buffer.values)
        terminated, truncated = buffer.terminated, buffer.truncated
        if not self.config.bootstrap_truncated:
            terminated = terminated | truncated
        advantages, returns = generalized_advantages(
            rewards,
            values,
            successors,
            torch.from_numpy(terminated),
            torch.from_numpy(truncated),
            gamma=self.config.gamma,
            gae_lambda=self.config.gae_lambda,
        )
        buffer.advantages[...] = advantages.numpy()
        buffer.returns[...] = returns.numpy()
        return explained_variance(values, returns)

    def update_statistics(self) -> None:
        """Move the normalisers, now that the last epoch is over."""
        buffer = self.buffer
        if self.reward_scale is not None:
            self.reward_scale.update(
                torch.from_numpy(buffer.rewards),
                torch.from_numpy(buffer.terminated | buffer.truncated),
            )
        if self.config.normalize_observations:
            everything = np.arange(buffer.num_envs * buffer.steps)
            # Only where candidates are read does the statistic depend on the action masks.
            unused = () if CANDIDATES in buffer.features else tuple(buffer.action_masks)
            obs = buffer.observations_at(everything, self._device, leave_out=unused)
            self._move_statistics(obs)

    def act_without_mask(self, number: int) -> dict[str, float]:
        """Play a rollout without the mask, where the settings ask for it; its metrics."""
        if self.mask_removed is None:
            return {}
        metrics, seen = self.mask_removed.play(number)
        self._move_statistics(seen)
        return metrics

    def _move_statistics(self, obs: Mapping[str, Tensor]) -> None:
        normalizer = getattr(self.policy, "normalizer", None)
        if isinstance(normalizer, ObservationNormalizer) and self.config.normalize_observations:
            normalizer.update(obs, novelty=self.config.normalize_novelty)

    def trusted(self) -> AbstractContextManager[None]:
        """Inside the block the policy leaves out checks that the trainer makes itself."""
        return trusted(self.policy)

    def choose_threads(self) -> ThreadChoice:
        """How many threads torch should use, measured on a minibatch that allows everything."""
        config = self.config
        index = np.zeros(config.minibatch_size, np.int64)
        obs = self.buffer.observations_at(index, self._device)
        obs = {k: torch.ones_like(x) if x.dtype == torch.bool else x for k, x in obs.items()}
        return choose_threads(
            self.policy,
            obs,
            num_envs=config.num_envs,
            acts_per_step=config.minibatch_size / (config.num_envs * config.epochs),
            event_shape=self.buffer.actions.shape[2:],
            sequence_length=config.sequence_length,
        )

    def predict(self, obs: Any, **given: Any) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, and the state."""
        own: Any = getattr(self.policy, "predict", None)
        if callable(own):
            answer: tuple[np.ndarray, Any] = own(obs, **given)
            return answer
        space, action_space = self._spaces
        return predict_and_remember(self.policy, space, obs, action_space=action_space, **given)

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""
        # A class of one's own made from it is another function, whatever its weights fit.
        return self.policy.to_json() if type(self.policy) is ActorCritic else None

    def training_state(
        self, *, lean: bool
    ) -> tuple[dict[str, Tensor | np.ndarray], dict[str, Any]]:
        """The optimiser, and what rewards are divided by; nothing of it is large."""
        return ppo_training_state(self)

    def training_folders(self, *, lean: bool) -> Mapping[str, Callable[[Path], None]]:
        """Nothing: a rollout is not kept."""
        return {}

    def restore_training_state(
        self, tensors: Tensors, state: Mapping[str, Any], *, new_episodes: bool, source: str
    ) -> None:
        """Take over what `training_state` gave."""
        restore_ppo_training_state(self, tensors, new_episodes=new_episodes, source=source)


def one_agent_settings(config: PPOConfig, name: str) -> PPOConfig:
    """The settings for an environment with one agent.

    Raises:
        ConfigError: A setting of teams is set, which would be ignored.
    """
    default = PPOConfig()
    for setting in _OF_TEAMS:
        if getattr(config, setting) != getattr(default, setting):
            raise ConfigError(
                f"{setting}: {getattr(config, setting)!r} has no effect on {name}, in which one "
                "agent acts: it is a setting for teams, whose observation has an agent_mask"
            )
    if config.ratio == "agent":
        raise ConfigError(
            f"ratio: 'agent' has no meaning in {name}, in which one agent acts; its whole action "
            "is 'joint', each of its heads 'head'"
        )
    return config.replace(ratio="joint") if config.ratio == "auto" else config

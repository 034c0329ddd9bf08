"""PPO's parts where a team acts in each environment: some agents, all, or for a while nobody.

Its rollout has a row for each environment step and one for each agent that acts in it;
every agent has a recursion of its own, or all share the team's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.teams import TeamBuffer
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.policies.team_predict import predict_team
from maskrl.trainers.parts import Ground, Tensors
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_parts import ppo_training_state, restore_ppo_training_state
from maskrl.trainers.team_judge import TeamJudge
from maskrl.trainers.team_policy import team_policy_for, team_settings, trusted_team
from maskrl.trainers.team_rollout import TeamCollector
from maskrl.trainers.team_threads import choose_team_threads
from maskrl.trainers.team_update import TeamUpdate
from maskrl.trainers.threads import ThreadChoice


class TeamParts:
    """As `maskrl.trainers.ppo_parts.PPOParts`; arguments as of `parts_for`."""

    def __init__(self, config: PPOConfig, ground: Ground, policy: nn.Module | None) -> None:
        opened = ground.opened
        team = opened.description.team
        assert team is not None
        own_rewards = opened.gives_agent_rewards
        config = team_settings(config, team, opened.name, own_rewards=own_rewards, policy=policy)
        self._spaces = (opened.observation_space, opened.action_space)
        self._device = ground.device
        self.policy = team_policy_for(config, *self._spaces, team, policy)
        self.policy.to(ground.device)
        if isinstance(self.policy, TeamActorCritic):
            config = config.replace(network=self.policy.config)
        self.config = config
        self.buffer = TeamBuffer(
            opened.observation_space,
            config.num_envs,
            config.rollout_steps,
            team,
            critic="agent" if config.critic == "agent" else "team",
            own_rewards=own_rewards and config.critic == "agent",
            joint=config.ratio == "joint",
        )
        self.collector = TeamCollector(
            opened.venv,
            self.buffer,
            self.policy,
            idle_action=config.idle_action,
            **ground.collector_settings(config),
        )
        self.update = TeamUpdate(
            self.policy,
            config,
            device=ground.device,
            shuffle=ground.seeds.torch("minibatches"),
        )
        self._judge = TeamJudge(config, self.buffer)
        self.reward_scale = self._judge.reward_scale

    def judge(self, successors: Tensor) -> float:
        """Fill in advantages and returns; the share of variance that the values explain."""
        return self._judge.judge(successors)

    def update_statistics(self) -> None:
        """Move the normalisers, now that the last epoch is over."""
        self._judge.update_statistics()
        normalizer = getattr(self.policy, "normalizer", None)
        if isinstance(normalizer, ObservationNormalizer) and self.config.normalize_observations:
            everything = np.arange(self.buffer.num_envs * self.buffer.steps)
            obs = self.buffer.observations_at(everything, self._device)
            normalizer.update(obs, novelty=self.config.normalize_novelty)

    def act_without_mask(self, number: int) -> dict[str, float]:
        """Nothing: such rollouts are for one agent, and `team_settings` refuses them."""
        return {}

    def trusted(self) -> AbstractContextManager[None]:
        """Inside the block the policy leaves out checks that the trainer makes itself."""
        return trusted_team(self.policy)

    def choose_threads(self) -> ThreadChoice:
        """How many threads torch should use, measured on the first observations."""
        self.collector.begin()
        first = self.buffer.observation(self.buffer.steps)
        index = torch.arange(self.config.minibatch_size) % self.config.num_envs
        obs = {key: x.index_select(0, index).to(self._device) for key, x in first.items()}
        config = self.config
        acts = config.minibatch_size / (config.num_envs * config.epochs)
        return choose_team_threads(self.policy, obs, num_envs=config.num_envs, acts_per_step=acts)

    def predict(self, obs: Any, **given: Any) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, and the state."""
        own: Any = getattr(self.policy, "predict", None)
        if callable(own):
            answer: tuple[np.ndarray, Any] = own(obs, **given)
            return answer
        space, action_space = self._spaces
        state = given.pop("state", None)
        given.pop("episode_start", None)
        return predict_team(self.policy, space, obs, action_space=action_space, **given), state

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""
        # A class of one's own made from it is another function, whatever its weights fit.
        return self.policy.to_json() if type(self.policy) is TeamActorCritic else None

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

"""What every decision of a team was worth: advantages and value targets of one rollout.

The critic says whose rewards count. A value of the team is learned from the team's rewards
at every step, whoever is alive, and what it says is credited to the agents that acted. A
value of each agent is learned from that agent's own rewards, or from the team's where
nobody has any, at the steps that the agent acts in.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from maskrl.buffers.teams import TeamBuffer
from maskrl.networks.normalize import RewardScale
from maskrl.objectives import agent_advantages, explained_variance, generalized_advantages
from maskrl.objectives.agent_advantages import Death
from maskrl.trainers.ppo_config import PPOConfig


class TeamJudge:
    """Fills in advantages and returns.

    Args:
        config: Of the training, resolved.
        buffer: Of the rollouts.

    Attributes:
        reward_scale: What rewards are divided by, or None. With rewards of their own every
            agent has a return that runs until it dies.
    """

    def __init__(self, config: PPOConfig, buffer: TeamBuffer) -> None:
        self._config = config
        self._buffer = buffer
        self.reward_scale: RewardScale | None = None
        if config.normalize_rewards:
            agents = buffer.team.agents if len(buffer.agent_rewards) else 1
            self.reward_scale = RewardScale(buffer.num_envs * agents, gamma=config.gamma)

    def judge(self, successors: Tensor) -> float:
        """Fill in advantages and returns; the share of variance that the values explain.

        Args:
            successors: As `TeamCollector.collect` returns them.
        """
        buffer, config = self._buffer, self._config
        ends = (torch.from_numpy(buffer.terminated), torch.from_numpy(buffer.truncated))
        values, rewards = torch.from_numpy(buffer.values), self._rewards()
        discounts: dict[str, Any] = {"gamma": config.gamma, "gae_lambda": config.gae_lambda}
        team = targets = None
        if buffer.critic == "team":
            team, targets = generalized_advantages(rewards, values, successors, *ends, **discounts)
            buffer.returns = targets.flatten().numpy()
        if buffer.joint:
            assert team is not None
            buffer.advantages = team.flatten().numpy()
        elif not buffer.team.has_identity:
            assert team is not None
            buffer.advantages = team.flatten().numpy()[buffer.acted.entries]
        else:
            each, owed = agent_advantages(
                rewards,
                values,
                successors,
                torch.from_numpy(buffer.acting()),
                torch.from_numpy(buffer.alive()),
                torch.from_numpy(buffer.next_alive),
                *ends,
                death=cast(Death, config.death),
                waiting_discount=config.waiting_discount,
                **discounts,
            )
            buffer.advantages = self._of_rows(each)
            if buffer.critic == "agent":
                buffer.returns = self._of_rows(owed)
        if targets is not None:
            return explained_variance(values, targets)
        predicted = self._of_rows(values)
        return explained_variance(torch.from_numpy(predicted), torch.from_numpy(buffer.returns))

    def update_statistics(self) -> None:
        """Move the scale of rewards, now that the last epoch is over."""
        if self.reward_scale is None:
            return
        buffer = self._buffer
        ended = torch.from_numpy(buffer.terminated | buffer.truncated)
        if not len(buffer.agent_rewards):
            self.reward_scale.update(torch.from_numpy(buffer.rewards), ended)
            return
        alive = torch.from_numpy(buffer.alive())
        died = alive & ~torch.from_numpy(buffer.next_alive)
        rewards = torch.where(alive, torch.from_numpy(buffer.agent_rewards), 0.0)
        over = ended.unsqueeze(-1) | died | ~alive
        self.reward_scale.update(rewards.flatten(1), over.flatten(1), alive.flatten(1))

    def _rewards(self) -> Tensor:
        """Those that the critic learns from, `[T, B]` or `[T, B, N]`, scaled."""
        buffer = self._buffer
        own = buffer.agent_rewards if len(buffer.agent_rewards) else buffer.rewards
        rewards = torch.from_numpy(own)
        return rewards if self.reward_scale is None else self.reward_scale(rewards)

    def _of_rows(self, each: Tensor) -> np.ndarray:
        """What agents have `[T, B, N]`, for the packed rows `[M]`."""
        acted = self._buffer.acted
        slots = acted.slots
        assert slots is not None
        return np.asarray(each.flatten(0, 1).numpy()[acted.entries, slots])

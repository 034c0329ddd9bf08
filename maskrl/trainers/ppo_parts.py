"""The parts that PPO is put together from, and their choice: for one agent, or for a team.

What is stored, how it is collected, judged and learned from differs between the two; when
that happens, how it is annealed, logged, evaluated, saved and resumed does not, and lies
in `PPO` and `Trainer`, which know parts by this interface alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.steps import StepBuffer
from maskrl.networks.normalize import RewardScale
from maskrl.policies.load import fill
from maskrl.trainers.collector import Collector
from maskrl.trainers.gradient_steps import GradientSteps
from maskrl.trainers.optimizer_state import optimizer_tensors, restore_optimizer
from maskrl.trainers.parts import Ground, Parts, Tensors
from maskrl.trainers.ppo_config import PPOConfig


class PPOParts(Parts, Protocol):
    """What PPO consists of, for one kind of environment.

    Attributes:
        config: As resolved for environment and policy.
        policy: What is trained, as of `Parts`.
        reward_scale: What rewards are divided by, or None.
    """

    config: PPOConfig
    policy: nn.Module
    reward_scale: RewardScale | None

    @property
    def buffer(self) -> StepBuffer:
        """Where a rollout is kept."""

    @property
    def collector(self) -> Collector[Any]:
        """What fills it."""

    @property
    def update(self) -> GradientSteps[Any]:
        """What learns from it."""

    def judge(self, successors: Tensor) -> float:
        """Fill in advantages and returns; the share of variance that the values explain.

        Args:
            successors: What `collector.collect` returned.
        """

    def update_statistics(self) -> None:
        """Move the normalisers, now that the last epoch is over."""

    def act_without_mask(self, number: int) -> dict[str, float]:
        """Play a rollout without the mask, where the settings ask for it; its metrics.

        Moves the normalisers by what was seen in it.

        Args:
            number: Of the update before it.
        """

    def trusted(self) -> AbstractContextManager[None]:
        """Inside the block the policy leaves out checks that the trainer makes itself."""


def parts_for(config: PPOConfig, ground: Ground, policy: nn.Module | None) -> PPOParts:
    """The parts for an environment.

    Args:
        config: Of the training, for as many environments as there are.
        ground: Environments, seeds and device.
        policy: One's own, or None to build one.

    Raises:
        ConfigError: Settings, environment and policy do not go together.
    """
    if ground.opened.description.team is not None:
        from maskrl.trainers.team_parts import TeamParts

        return TeamParts(config, ground, policy)
    from maskrl.trainers.single_parts import SingleAgentParts

    return SingleAgentParts(config, ground, policy)


def ppo_training_state(parts: PPOParts) -> tuple[dict[str, Tensor | np.ndarray], dict[str, Any]]:
    """As of `Parts.training_state`: the optimiser, and what rewards are divided by."""
    tensors: dict[str, Tensor | np.ndarray] = {}
    tensors |= optimizer_tensors(parts.update.optimizer)
    if parts.reward_scale is not None:
        for name, tensor in parts.reward_scale.state_dict().items():
            tensors[f"reward_scale.{name}"] = tensor
    return tensors, {}


def restore_ppo_training_state(
    parts: PPOParts, tensors: Tensors, *, new_episodes: bool, source: str
) -> None:
    """As of `Parts.restore_training_state`."""
    restore_optimizer(parts.update.optimizer, tensors)
    if parts.reward_scale is not None:
        scale = dict(tensors)
        if new_episodes:  # in as many environments as there are now
            scale["reward_scale.running"] = torch.zeros_like(parts.reward_scale.running)
        fill(parts.reward_scale, scale, prefix="reward_scale.", source=source)

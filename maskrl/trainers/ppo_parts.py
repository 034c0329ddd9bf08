"""The parts that PPO is put together from, and their choice: for one agent, or for a team.

What is stored, how it is collected, judged and learned from differs between the two; when
that happens, how it is annealed, logged, evaluated, saved and resumed does not, and lies
in `PPO` and `TrainingLoop`, which know parts by this interface alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.steps import StepBuffer
from maskrl.networks.normalize import RewardScale
from maskrl.runs.seeding import Seeds
from maskrl.trainers.collector import Collector
from maskrl.trainers.gradient_steps import GradientSteps
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.threads import ThreadChoice
from maskrl.trainers.training_env import TrainingEnv


@dataclass(frozen=True)
class Ground:
    """What parts are built on.

    Attributes:
        opened: The environments.
        seeds: Of everything random.
        env_seed: Of the first reset.
        device: Where the network is trained.
    """

    opened: TrainingEnv
    seeds: Seeds
    env_seed: int
    device: torch.device

    def collector_settings(self, config: PPOConfig) -> dict[str, Any]:
        """What every collector is told."""
        return {
            "generator": self.seeds.torch("actions", self.device),
            "device": self.device,
            "empty": config.empty,
            "seed": self.env_seed,
            "name": self.opened.name,
        }


class PPOParts(Protocol):
    """What PPO consists of, for one kind of environment.

    Attributes:
        config: As resolved for environment and policy.
        policy: What is trained.
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

    def trusted(self) -> AbstractContextManager[None]:
        """Inside the block the policy leaves out checks that the trainer makes itself."""

    def choose_threads(self) -> ThreadChoice:
        """How many threads torch should use."""

    def predict(self, obs: Any, **given: Any) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, and the state; as of `PPO.predict`."""

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""


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

"""Discrete SAC's parts: how it acts, what it learns from a batch, and what is saved of it.

The policy is a `SoftActorCritic`, which acts by sampling; its gradient step is `SoftUpdate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskrl.buffers.transitions import Transitions
from maskrl.errors import ConfigError
from maskrl.functional.reduce import masked_mean
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.action_heads import mass_outside
from maskrl.policies.exploration import LinearSchedule
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.trainers.off_policy import OffPolicyParts
from maskrl.trainers.parts import Ground
from maskrl.trainers.sac_config import SACConfig
from maskrl.trainers.sac_update import SoftUpdate, Temperature, unpacked


class SACParts(OffPolicyParts):
    """As `OffPolicyParts`.

    Attributes:
        update: The gradient step.
    """

    statistics: ClassVar[tuple[str, ...]] = SoftUpdate.STATISTICS

    config: SACConfig
    policy: SoftActorCritic

    def __init__(self, config: SACConfig, ground: Ground, policy: nn.Module | None) -> None:
        super().__init__(config, ground, policy)
        config = self.config
        self.update = SoftUpdate(self.policy, config)
        final = config.entropy_share_final
        self._share = LinearSchedule(
            config.entropy_share,
            config.entropy_share if final is None else final,
            config.entropy_fraction,
        )

    @property
    def target(self) -> nn.Module:
        """The critics' slowly moving copy."""
        return self.update.target

    @property
    def temperature(self) -> Temperature:
        """The weight of the entropy."""
        return self.update.temperature

    def build_policy(self, policy: nn.Module | None) -> nn.Module:
        """Actor and critics."""
        config = self.config
        if policy is None:
            return SoftActorCritic(
                self.observation_space,
                self.action_space,
                config.network,
                dueling=config.dueling,
                one_encoder=config.shared_critics,
                normalize_observations=config.normalize_observations,
                empty=config.empty,
                idle_action=config.idle_action,
            )
        if not isinstance(policy, SoftActorCritic):
            raise ConfigError(
                f"policy: expected a maskrl.policies.SoftActorCritic, got {type(policy).__name__}; "
                "another network goes in as SoftActorCritic(..., encoder=...)"
            )
        policy.require_trainable(
            self.observation_space,
            self.action_space,
            normalize_observations=config.normalize_observations,
        )
        self.config = config.replace(
            network=policy.config,
            dueling=policy.dueling,
            shared_critics=policy.one_encoder,
            empty=policy.empty,
            idle_action=policy.idle_action,
        )
        return policy

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """A sample of the policy, over what is allowed."""
        return self.policy.distribution(obs).sample(generator=self.generator)

    def learn(self, batch: Transitions, *, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One gradient step of critics, policy and temperature."""
        return self.update.learn(
            batch,
            learning_rate=learning_rate,
            entropy_share=self._share(self.fraction),
            follow=(self.taken + 1) % self.config.target_every == 0,
        )

    def schedule_metrics(self) -> dict[str, float]:
        """How random the policy should be."""
        return {"entropy_share_target": self._share(self.fraction)}

    @torch.inference_mode()
    def batch_metrics(self, batch: Transitions) -> dict[str, float]:
        """Probability that the policy without a mask would put on what is disallowed.

        The mean over the states of a batch that allow something; 0 where there are no masks.
        """
        obs = unpacked(batch.observations)
        mask = obs.get(FLAT_MASK)
        if mask is None:
            return {"disallowed_mass": 0.0}
        mass = mass_outside(self.policy.logits(obs), mask)
        return {"disallowed_mass": float(masked_mean(mass, mask.any(-1)))}

    def outputs(self, policy: nn.Module, obs: dict[str, Tensor]) -> Tensor:
        """Logits and values."""
        assert isinstance(policy, SoftActorCritic)
        return torch.cat([policy.logits(obs).unsqueeze(0), policy.critics(policy.normalized(obs))])

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Of critics, policy and temperature."""
        return self.update.optimizers

    def modules(self) -> Mapping[str, nn.Module]:
        """The critics' copy and the temperature."""
        return {"target": self.target, "temperature": self.temperature}

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""
        return self.policy.to_json() if type(self.policy) is SoftActorCritic else None

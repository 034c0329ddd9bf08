"""One gradient step of soft actor-critic: critics, then the policy, then the temperature.

The critics learn from the smaller value of their slowly moving copies, softened by the
policy's entropy over what the successor allows; the policy learns from the critics; and the
temperature from how random the policy is beside what its states allow it to be. Where one
action is allowed, policy and temperature learn exactly nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.buffers.transitions import Transitions
from maskrl.errors import NonFiniteLogitsError
from maskrl.functional.reduce import masked_mean
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.objectives.q_learning import td_targets
from maskrl.objectives.soft_q_learning import soft_next_values, soft_policy_loss, temperature_loss
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.sac_config import SACConfig


class Temperature(nn.Module):
    """The weight of the entropy, a number between two others that is learned.

    Args:
        start: At first.
        low: Least.
        high: Greatest.

    Attributes:
        log: Its logarithm, a scalar.
    """

    def __init__(self, start: float, low: float, high: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))
        self._bounds = (math.log(low), math.log(high))

    def forward(self) -> Tensor:
        """The temperature, a scalar without gradient."""
        return self.log.detach().exp()

    @torch.no_grad()
    def keep_bounds(self) -> None:
        """Put it back between its bounds."""
        self.log.clamp_(*self._bounds)


class SoftUpdate:
    """Learns from transitions.

    Args:
        policy: Actor and critics, which are trained in place.
        config: Of the whole training.

    Attributes:
        target: The critics' slowly moving copy.
        temperature: Of the entropy.
        optimizers: Of critics, policy and temperature.
    """

    STATISTICS = (
        "critic_loss",
        "td_error",
        "q_mean",
        "policy_loss",
        "entropy",
        "entropy_share",
        "temperature",
        "grad_norm",
    )
    """What a gradient step measures, in this order."""

    def __init__(self, policy: SoftActorCritic, config: SACConfig) -> None:
        self.policy = policy
        self.config = config
        self.target = copy.deepcopy(policy.critics).requires_grad_(False)
        self.temperature = Temperature(
            config.temperature, config.temperature_min, config.temperature_max
        ).to(next(policy.parameters()).device)
        self._trained = {
            "critics": [p for p in policy.critics.parameters() if p.requires_grad],
            "policy": policy.policy_parameters(),
            "temperature": [self.temperature.log],
        }
        self.optimizers = {
            name: ClippedAdam(parameters, lr=config.learning_rate, eps=config.adam_eps)
            for name, parameters in self._trained.items()
        }
        self.optimizers["temperature"].param_groups[0]["lr"] = config.temperature_rate
        self._behind, self._ahead = _numbers(self.target), _numbers(policy.critics)

    def learn(
        self,
        batch: Transitions,
        *,
        learning_rate: float,
        entropy_share: float,
        follow: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """One gradient step.

        Args:
            batch: M transitions, on the policy's device.
            learning_rate: Of critics and policy.
            entropy_share: How random the policy should be now, as a share of what a state allows.
            follow: Whether the critics' copy moves after it.

        Returns:
            What was measured, `[len(STATISTICS)]`, and for each transition the mean of both
            critics' absolute temporal-difference errors, `[M]`.

        Raises:
            NonFiniteLogitsError: Values or logits are no numbers any more.
        """
        for name in ("critics", "policy"):
            self.optimizers[name].param_groups[0]["lr"] = learning_rate
        policy = self.policy
        obs = policy.normalized(unpacked(batch.observations))
        targets = self._targets(batch)
        features = policy.critics.features(obs)
        values = policy.critics.of_features(features, obs)
        chosen = values[:, torch.arange(len(targets), device=targets.device), batch.actions]
        errors = (chosen.detach() - targets).abs()
        _require_finite(errors)
        critic_loss = (batch.weights * self._huber(chosen - targets)).mean(-1).sum()
        norm = self._step("critics", critic_loss)
        # The values from before this step: a look at those after it would cost a pass more.
        seen = features[0].detach() if policy.actor is None else None
        distribution = policy.masked(policy.logits_of(obs, seen), self._mask_of(obs))
        temperature = self.temperature()
        policy_loss = soft_policy_loss(
            distribution, values.detach().amin(0), temperature=temperature
        )
        self._step("policy", policy_loss)
        entropies, counts = distribution.entropy().detach(), distribution.allowed_counts()
        choice = counts > 1
        if self.config.temperature_rate and bool(choice.any()):
            # Without a choice not even what Adam remembers of earlier steps may move it.
            self._heat(entropies, distribution.action_mask, entropy_share)
        if follow:
            self._follow()
        most = counts.clamp(min=2).to(torch.float32).log()
        numbers = (
            critic_loss.detach(),
            errors.mean(),
            chosen.detach().mean(),
            policy_loss.detach(),
            masked_mean(entropies, counts > 0),
            masked_mean(entropies / most, choice),
            temperature,
            torch.as_tensor(norm, dtype=torch.float32, device=temperature.device),
        )
        return torch.stack(numbers), errors.mean(0)

    @torch.no_grad()
    def _targets(self, batch: Transitions) -> Tensor:
        policy = self.policy
        following = policy.normalized(unpacked(batch.next_observations))
        next_values = soft_next_values(
            self.target(following).amin(0),
            policy.logits_of(following),
            self._mask_of(following),
            batch.terminated,
            temperature=self.temperature(),
            empty=policy.empty,
            idle_action=policy.idle_action,
        )
        return td_targets(batch.rewards, next_values, batch.terminated, discount=batch.discounts)

    def _mask_of(self, obs: Mapping[str, Tensor]) -> Tensor | None:
        """What is learned from as allowed: naively everything, where anything is."""
        mask = obs.get(FLAT_MASK)
        if mask is None or self.config.masked_targets:
            return mask
        return mask.any(-1, keepdim=True).expand_as(mask).contiguous()

    def _huber(self, error: Tensor) -> Tensor:
        delta = self.config.huber
        if delta is None:
            return 0.5 * error.square()
        return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta) / delta

    def _step(self, name: str, loss: Tensor) -> Tensor | float:
        for parameter in self._trained[name]:
            parameter.grad = None
        loss.backward()
        return self.optimizers[name].clipped_step(self.config.max_grad_norm or None)

    def _heat(self, entropies: Tensor, action_mask: Tensor, share: float) -> None:
        """Let the temperature follow how random the policy should be."""
        self.temperature.log.grad = None
        temperature_loss(self.temperature.log, entropies, action_mask, share=share).backward()
        self.optimizers["temperature"].clipped_step(None)
        self.temperature.keep_bounds()

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the critics' copy follow them a little."""
        torch._foreach_lerp_(self._behind, self._ahead, self.config.target_rate)


def _numbers(critics: nn.Module) -> list[Tensor]:
    """Everything that the copy of critics follows: parameters, and what else is real-valued."""
    return [*critics.parameters(), *(x for x in critics.buffers() if x.is_floating_point())]


def _require_finite(errors: Tensor) -> None:
    if not bool(errors.isfinite().all()):
        raise NonFiniteLogitsError(
            "the critics' values are not finite any more; training has diverged. Lower "
            "learning_rate or max_grad_norm, or look for rewards that are far too large"
        )


def unpacked(obs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Observations with masks unpacked: more than one reader asks for them."""
    return {key: x.unpack() if isinstance(x, PackedMask) else x for key, x in obs.items()}

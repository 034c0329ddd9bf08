"""DQN's parts: how it explores, and what a gradient step on Q-values is.

The network is a `QPolicy`, the target network a copy of it that follows in steps. Both read
observations through the same normaliser.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskrl.buffers.replay import Transitions
from maskrl.errors import ConfigError
from maskrl.functional.reduce import masked_mean
from maskrl.functional.select import masked_argmax
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.objectives.q_loss import QLossSettings, q_loss
from maskrl.policies.exploration import LinearSchedule, boltzmann, epsilon_greedy
from maskrl.policies.q_policy import QPolicy
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.dqn_config import DQNConfig
from maskrl.trainers.off_policy import OffPolicyParts
from maskrl.trainers.parts import Ground

logger = logging.getLogger("maskrl")

TOO_NARROW = 0.05
"""Share of targets beyond the atoms of a categorical distribution from which on it is told."""


class DQNParts(OffPolicyParts):
    """As `OffPolicyParts`.

    Attributes:
        target: What successors are judged by.
    """

    statistics: ClassVar[tuple[str, ...]] = (
        "loss",
        "q_mean",
        "td_error",
        "target_mean",
        "grad_norm",
    )

    config: DQNConfig
    policy: QPolicy

    def __init__(self, config: DQNConfig, ground: Ground, policy: nn.Module | None) -> None:
        super().__init__(config, ground, policy)
        config = self.config
        self.target = copy.deepcopy(self.policy).requires_grad_(False)
        self.target.normalizer = self.policy.normalizer
        self._trained = [p for p in self.policy.parameters() if p.requires_grad]
        self.optimizer = ClippedAdam(self._trained, lr=config.learning_rate, eps=config.adam_eps)
        self._ahead: list[Tensor] = [*self.policy.parameters()]
        self._behind: list[Tensor] = [*self.target.parameters()]
        pairs = zip(self.policy.buffers(), self.target.buffers(), strict=True)
        self._buffers = [(now, behind) for now, behind in pairs if now is not behind]
        self._settings = QLossSettings(
            double=config.double, huber=config.huber, empty=config.empty,
            idle_action=config.idle_action, masked_targets=config.masked_targets,
        )  # fmt: skip
        fraction = config.exploration_fraction
        self._epsilon = LinearSchedule(config.epsilon, config.epsilon_final, fraction)
        self._temperature = LinearSchedule(config.temperature, config.temperature_final, fraction)
        self._told_narrow = False

    def build_policy(self, policy: nn.Module | None) -> nn.Module:
        """The Q-network."""
        config = self.config
        if policy is None:
            return QPolicy(
                self.observation_space,
                self.action_space,
                config.network,
                returns=config.returns,
                dueling=config.dueling,
                atoms=config.atoms,
                low=config.low,
                high=config.high,
                temperature=config.temperature_final,
                normalize_observations=config.normalize_observations,
                empty=config.empty,
                idle_action=config.idle_action,
                noisy=config.exploration == "noisy",
            )
        if not isinstance(policy, QPolicy):
            raise ConfigError(
                f"policy: expected a maskrl.policies.QPolicy, whose values DQN learns, got "
                f"{type(policy).__name__}; another network goes in as QPolicy(..., encoder=...)"
            )
        policy.require_trainable(
            self.observation_space,
            self.action_space,
            normalize_observations=config.normalize_observations,
        )
        made = policy.head_settings
        if made.pop("noisy") != (config.exploration == "noisy"):
            raise ConfigError(
                f"exploration: {config.exploration!r} does not go with the policy's layers; noise "
                "explores by QPolicy(..., noisy=True), and by no other"
            )
        self.config = config.replace(
            network=policy.config, empty=policy.empty, idle_action=policy.idle_action, **made
        )
        return policy

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """Epsilon-greedy, or in proportion to the values, over what is allowed."""
        config, mask = self.config, obs.get(FLAT_MASK)
        rest: dict[str, Any] = {"empty": config.empty, "idle_action": config.idle_action}
        if config.exploration == "noisy":
            with self._shaken(self.policy):
                return masked_argmax(self.policy.values(obs), mask, **rest)
        values = self.policy.values(obs)
        if config.exploration == "boltzmann":
            temperature = self._temperature(self.fraction)
            return boltzmann(values, mask, temperature, **rest).sample(generator=self.generator)
        epsilon = self._epsilon(self.fraction)
        return epsilon_greedy(values, mask, epsilon, generator=self.generator, **rest)

    @contextlib.contextmanager
    def _shaken(self, *policies: QPolicy) -> Iterator[None]:
        """Inside the block noisy layers have noise of their own."""
        for policy in policies:
            policy.head.draw_noise(self.generator)
        try:
            yield
        finally:
            for policy in policies:
                policy.head.rest()

    def learn(self, batch: Transitions, *, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One gradient step, and the target network's step if it is due."""
        with self._shaken(self.policy, self.target):
            loss = q_loss(self.policy, self.target, batch, self._settings)
            # In place: the optimiser need not look for them again.
            if gradients := [p.grad for p in self._trained if p.grad is not None]:
                torch._foreach_zero_(gradients)
            loss.value.backward()
        self.optimizer.param_groups[0]["lr"] = learning_rate
        norm = self.optimizer.clipped_step(self.config.max_grad_norm or None)
        if (self.taken + 1) % self.config.target_every == 0:
            self._move_target()
        return torch.cat(
            [loss.statistics, torch.as_tensor(norm, device=self.device).reshape(1)]
        ), loss.errors

    @torch.no_grad()
    def _move_target(self) -> None:
        torch._foreach_lerp_(self._behind, self._ahead, self.config.target_rate)
        for now, behind in self._buffers:
            behind.copy_(now)

    def schedule_metrics(self) -> dict[str, float]:
        """How much is tried that is not the best."""
        if self.config.exploration == "epsilon":
            return {"epsilon": self._epsilon(self.fraction)}
        if self.config.exploration == "boltzmann":
            return {"temperature": self._temperature(self.fraction)}
        return {}

    @torch.inference_mode()
    def batch_metrics(self, batch: Transitions) -> dict[str, float]:
        """Two shares of a batch, in which something is wrong that masks and atoms put right.

        `disallowed_mass`: of states that allow something, those whose largest value of all is a
        disallowed action's. It is the probability that the best action, chosen without a mask, is
        disallowed, under the name that this has for policies that sample. `beyond_atoms`, of a
        categorical distribution: of targets that lie beyond its lowest or highest atom; told once
        where they are many.
        """
        found = {"disallowed_mass": 0.0}
        mask = batch.observations.get(FLAT_MASK)
        if mask is not None:
            allowed = mask.unpack() if isinstance(mask, PackedMask) else mask
            best = self.policy.values(batch.observations).argmax(-1, keepdim=True)
            wrong, decides = ~allowed.gather(-1, best).squeeze(-1), allowed.any(-1)
            found["disallowed_mass"] = float(masked_mean(wrong.float(), decides))
        if self.config.returns == "categorical":
            found["beyond_atoms"] = self._beyond_atoms(batch)
        return found

    def _beyond_atoms(self, batch: Transitions) -> float:
        """Share of targets that the atoms do not reach."""
        low, high = self.config.low, self.config.high
        targets = q_loss(self.policy, self.target, batch, self._settings).targets
        share = float(((targets < low) | (targets > high)).float().mean())
        if share > TOO_NARROW and not self._told_narrow:
            self._told_narrow = True
            logger.warning(
                "%.0f %% of the targets lie beyond the atoms, which reach from low=%g to high=%g: "
                "from %.3g to %.3g here. What lies beyond counts as the last atom, so that values "
                "cannot become right; widen low and high to all returns that there may be",
                100 * share,
                low,
                high,
                float(targets.min()),
                float(targets.max()),
            )
        return share

    def outputs(self, policy: nn.Module, obs: dict[str, Tensor]) -> Tensor:
        """All values."""
        values: Tensor = policy.values(obs)  # type: ignore[operator]
        return values

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """The only one."""
        return {"": self.optimizer}

    def modules(self) -> Mapping[str, nn.Module]:
        """The target network."""
        return {"target": self.target}

    def policy_json(self) -> dict[str, Any] | None:
        """How to build the policy again; None if only its author can."""
        return self.policy.to_json() if type(self.policy) is QPolicy else None

"""How long gradients may be: those of policy and value together, or each by itself.

One limit for both is the custom of today. With one each, as in code of before, a value that is
far off does not shorten what the policy learns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskrl.errors import ConfigError
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.ppo_config import PPOConfig


def value_parameters(policy: nn.Module) -> list[nn.Parameter]:
    """What the value has for itself, and the policy does not read.

    Raises:
        ConfigError: The policy is one's own, or its value has no network of its own.
    """
    found: list[nn.Module | None]
    if isinstance(policy, ActorCritic):
        memory = None if policy.memory is None else policy.memory.critic
        own, found = policy.critic, [policy.critic, memory, policy.value_head]
    elif isinstance(policy, TeamActorCritic):
        own, found = policy.value_network, [policy.value_network, policy.pool, policy.value_head]
    else:
        raise ConfigError(
            "value_max_grad_norm: of a policy of one's own, here a "
            f"{type(policy).__name__}, nobody knows what belongs to the value; leave it at None"
        )
    if own is None:
        raise ConfigError(
            "value_max_grad_norm: policy and value of this policy share one network, whose "
            "gradients have one limit; build it with network.shared=False, or leave it at None"
        )
    theirs = {id(p): p for module in found if module is not None for p in module.parameters()}
    return list(theirs.values())


class GradientLimits:
    """The limits of one training.

    Args:
        policy: What is trained.
        config: With `max_grad_norm` and `value_max_grad_norm`.
        parameters: Of the policy, those that are trained.

    Raises:
        ConfigError: As of `value_parameters`, where the value is to have a limit of its own.
    """

    def __init__(
        self, policy: nn.Module, config: PPOConfig, parameters: Sequence[nn.Parameter]
    ) -> None:
        self._limit = config.max_grad_norm or None
        self._parts: list[tuple[list[nn.Parameter], float]] = []
        if config.value_max_grad_norm is None:
            return
        value = {id(p) for p in value_parameters(policy)}
        self._parts = [
            ([p for p in parameters if id(p) not in value], config.max_grad_norm),
            ([p for p in parameters if id(p) in value], config.value_max_grad_norm),
        ]

    def step(self, optimizer: ClippedAdam) -> Tensor | float:
        """Shorten the gradients that are there and step.

        Returns:
            The norm of all of them before that.
        """
        if not self._parts:
            return optimizer.clipped_step(self._limit)
        norms = []
        for parameters, limit in self._parts:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if limit:
                nn.utils.clip_grads_with_norm_(parameters, limit, norm)
            norms.append(norm)
        optimizer.clipped_step(None)
        return torch.stack(norms).square().sum().sqrt()

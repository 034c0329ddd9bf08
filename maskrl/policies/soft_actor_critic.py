"""Actor and twin critics of soft actor-critic: a masked policy, and what its actions are worth.

It has what every policy here has, a distribution and a value, so it is evaluated, recorded
and watched like one; beside it Q-values. The actor is an encoder and a head of logits, as in
`ActorCritic`; the critics have encoders of their own, or the actor reads theirs and then
learns nothing about how to see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import CANDIDATES
from maskrl.errors import ConfigError
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.encoders import NetworkConfig, make_encoder
from maskrl.networks.first_weights import begin_with
from maskrl.networks.heads import PolicyHead
from maskrl.networks.pointer import CandidateScorer
from maskrl.networks.twin_critics import TwinCritics
from maskrl.objectives.soft_q_learning import soft_values
from maskrl.policies.own_parts import width_of
from maskrl.policies.value_policy import ValuePolicy


class SoftActorCritic(ValuePolicy):
    """Policy and Q-values over Dict observations with masks.

    Args:
        observation_space: Of one environment: a Dict with at least one mask.
        action_space: Discrete, starting at 0.
        config: How the networks are built. With `shared` the policy reads the critics' encoder;
            with `critic_sees="everything"` the critics are not bound to what the actor sees.
        dueling: Whether a critic has layers of their own for value and advantages.
        one_encoder: Whether both critics read one encoder; always so with `config.shared`.
        normalize_observations: Normalise real-valued entries by running statistics.
        empty: What a row that allows nothing means: "raise", or "idle" for no decision.
        idle_action: What is sent to the environment when idle.
        encoder: Makes an encoder, in the place of those that `config` describes: a module from
            the Dict observation to `[B, out_features]` with the attribute `out_features`. Called
            once for each network, so that each has its own.

    Attributes:
        normalizer: Statistics of the observations, or None.
        actor: Encoder of the policy; None where it reads that of the critics.
        critics: The two Q-networks.

    Raises:
        NoMaskError: The observation has no mask.
        ConfigError: Spaces or settings that it cannot serve.
    """

    kind = "soft_actor_critic"

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        *,
        dueling: bool = True,
        one_encoder: bool = False,
        normalize_observations: bool = False,
        empty: Literal["raise", "idle"] = "raise",
        idle_action: int = 0,
        encoder: Callable[[], nn.Module] | None = None,
    ) -> None:
        config = config or NetworkConfig()
        super().__init__(
            observation_space,
            action_space,
            config,
            normalize_observations=normalize_observations,
            empty=empty,
            idle_action=idle_action,
            is_rebuildable=encoder is None,
        )
        _require_critic(config, self.has_entities)
        self.dueling = dueling
        self.one_encoder = one_encoder or config.shared
        self.actor: nn.Module | None = None
        if not config.shared:
            own = make_encoder(observation_space, config) if encoder is None else encoder()
            self.actor = own
        self.critics = TwinCritics(
            observation_space,
            self.heads.n_logits,
            config,
            dueling=dueling,
            one_encoder=self.one_encoder,
            encoder=encoder,
        )
        width = width_of(self.actor or self.critics.encoders[0])
        self.policy_head: PolicyHead | CandidateScorer
        if self.heads.kind == "candidates":
            features = (observation_space[CANDIDATES].shape or ())[-1]
            hidden = config.hidden or (config.entity_dim,)
            self.policy_head = CandidateScorer(
                features, width, hidden, activation=config.activation
            )
        else:
            self.policy_head = PolicyHead(width, self.heads.n_logits)
        made = () if encoder is None else (self.actor, *self.critics.encoders)
        begin_with(config.weights, self, besides=made)

    def policy_parameters(self) -> list[nn.Parameter]:
        """What is trained by the loss of the policy."""
        parts = [part for part in (self.actor, self.policy_head) if part is not None]
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def logits(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Logits `[B, A]` before any mask."""
        return self.logits_of(self.normalized(obs))

    def logits_of(self, obs: Mapping[str, Tensor], features: Tensor | None = None) -> Tensor:
        """Logits `[B, A]` of normalised observations.

        Args:
            obs: As of `normalized`.
            features: What the critics' encoder made of it, where the policy reads that.
        """
        if self.actor is not None:
            features = self.actor(obs)
        elif features is None:
            with torch.no_grad():
                features = self.critics.encoders[0](obs)
        assert features is not None
        if isinstance(self.policy_head, CandidateScorer):
            scores: Tensor = self.policy_head(obs[CANDIDATES], features, obs.get(FLAT_MASK))
            return scores
        logits: Tensor = self.policy_head(features)
        return logits

    def masked(
        self, logits: Tensor, action_mask: Tensor | PackedMask | None, **given: Any
    ) -> MaskedCategorical:
        """The distribution of these logits under a mask; `given` as of `MaskedCategorical`."""
        settings = {"empty": self.empty, "idle_action": self.idle_action, **given}
        return MaskedCategorical(logits, action_mask, **settings)

    def distribution(self, obs: Mapping[str, Tensor]) -> MaskedCategorical:
        """The distribution over actions for a batch of B observations."""
        return self.masked(self.logits(obs), obs.get(FLAT_MASK))

    def values(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The smaller Q-values `[B, A]`; of actions that are not allowed they say nothing."""
        found: Tensor = self.critics(self.normalized(obs))
        return found.amin(0)

    def value(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What acting by the policy is worth, `[B]`: the mean of `values` under it.

        Empty rows:
            By `empty`: an error, or the value of `idle_action`.
        """
        policy, values = self.distribution(obs), self.values(obs)
        found = soft_values(values, policy, temperature=0.0)
        if self.empty == "raise":
            return found
        return torch.where(policy.allowed_counts() > 0, found, values[:, self.idle_action])

    def _arguments(self) -> dict[str, Any]:
        return {"dueling": self.dueling, "one_encoder": self.one_encoder}

    @classmethod
    def _read_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        return {name: description[name] for name in ("dueling", "one_encoder")}


def _require_critic(config: NetworkConfig, has_entities: bool) -> None:
    """Refuse a critic that is to see more where that cannot be.

    Raises:
        ConfigError: There is nothing more to see, or the policy would see it too.
    """
    if config.critic_sees == "everything" and not has_entities:
        raise ConfigError(
            "network.critic_sees='everything': the observation has no scene of entities, so the "
            "critics see all there is already. Leave it at 'same'."
        )
    if config.critic_sees == "everything" and config.shared:
        raise ConfigError(
            "network.critic_sees='everything': with network.shared the policy reads the critics' "
            "encoder, and would see everything too. Set shared to False."
        )

"""The naive regime of PPO: actions are chosen under the mask and scored as if there were none.

This is what one gets who hands the mask to the sampling alone, and what a comparison needs
to show what that costs. Ratio and entropy are then of a network that knows of no mask; the
first ratio is 1 as always, for both times the score is the same one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from maskrl.envs.contract import CANDIDATES
from maskrl.errors import ConfigError
from maskrl.policies.action_heads import ActionDistribution, ActionHeads
from maskrl.policies.actor_critic import ActorCritic
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.rollout import RolloutCollector


class NaiveCollector(RolloutCollector):
    """A collector that notes the scores of a network that knows of no mask.

    Args:
        arguments: As of `RolloutCollector`.
        heads: Of the actions.
        settings: As of `RolloutCollector`.
    """

    policy: ActorCritic

    def __init__(self, *arguments: Any, heads: ActionHeads, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._heads = heads
        self._scored: ActionDistribution | None = None

    def _decide(self, t: int, obs: dict[str, Tensor], *, with_value: bool) -> ActionDistribution:
        """The distribution at step `t` that acts; beside it the one that is scored by."""
        seen = self._on_device(obs)
        if with_value:
            logits, value = self.policy.logits_and_value(seen)
            self._value_rows[t].copy_(value)
        else:
            logits = self.policy.logits(seen)
        self._scored = self.policy.masked(logits, self._heads.opened(seen))
        return self.policy.masked(logits, seen)

    def _sample(self, distribution: ActionDistribution) -> tuple[Tensor, Tensor]:
        """Allowed actions, and their log-probabilities without the mask per head."""
        assert self._scored is not None
        action = distribution.sample(generator=self.generator)
        return action, self._scored.log_prob(action, reduce="none")


def require_naive(config: PPOConfig, policy: nn.Module, name: str) -> None:
    """Refuse to score without masks what cannot be scored so.

    Args:
        config: Of the training.
        policy: What is trained.
        name: What messages call the environment.

    Raises:
        ConfigError: The policy is one's own or remembers, or actions are choices of candidates.
    """
    if config.masked_scores:
        return
    why = ""
    if type(policy) is not ActorCritic:
        why = f"how a {type(policy).__name__} masks is its own business"
    elif policy.memory is not None:
        why = "a policy with memory has one distribution for each step, that which it acts by"
    elif CANDIDATES in policy.observation_space.spaces:
        why = f"in {name} the mask also says which places of the set hold no candidate"
    if why:
        raise ConfigError(
            f"masked_scores: False, the naive regime, scores without the mask, and {why}; leave it "
            "at True, or compare with a penalty or none instead"
        )

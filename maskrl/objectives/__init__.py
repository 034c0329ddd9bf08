"""Pure functions that turn a rollout into losses: advantages, policy, value, imitation.

They know no environment, no network and no trainer, so a training loop of one's own
can use them as they are.
"""

from __future__ import annotations

from maskrl.objectives.advantages import generalized_advantages, successor_values
from maskrl.objectives.agent_advantages import agent_advantages
from maskrl.objectives.imitation import (
    count_disallowed,
    imitation_loss,
    masked_cross_entropy,
)
from maskrl.objectives.policy_gradient import (
    approximate_kl,
    clip_fraction,
    clipped_policy_loss,
    log_ratio,
    mean_over,
    normalize_advantages,
)
from maskrl.objectives.ppo_loss import Acted, LossSettings, PPOLoss, ppo_loss
from maskrl.objectives.value import explained_variance, value_loss

__all__ = [
    "Acted",
    "LossSettings",
    "PPOLoss",
    "agent_advantages",
    "approximate_kl",
    "clip_fraction",
    "clipped_policy_loss",
    "count_disallowed",
    "explained_variance",
    "generalized_advantages",
    "imitation_loss",
    "log_ratio",
    "masked_cross_entropy",
    "mean_over",
    "normalize_advantages",
    "ppo_loss",
    "successor_values",
    "value_loss",
]

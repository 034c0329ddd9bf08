"""Pure functions that turn a rollout into losses: advantages, policy, value, imitation.

They know no environment, no network and no trainer, so a training loop of one's own
can use them as they are.
"""

from __future__ import annotations

from maskrl.objectives.advantages import generalized_advantages, successor_values
from maskrl.objectives.agent_advantages import agent_advantages
from maskrl.objectives.distributional import (
    categorical_loss,
    categorical_targets,
    distribution_means,
    quantile_huber_loss,
    take_actions,
)
from maskrl.objectives.imitation import (
    count_disallowed,
    imitation_loss,
    masked_cross_entropy,
)
from maskrl.objectives.policy_gradient import (
    approximate_kl,
    clip_fraction,
    clipped_policy_loss,
    entropy_of_actions,
    log_ratio,
    mean_over,
    normalize_advantages,
)
from maskrl.objectives.ppo_loss import Acted, LossSettings, PPOLoss, ppo_loss
from maskrl.objectives.q_learning import (
    expected_next_values,
    greedy_next_actions,
    max_next_values,
    n_step_rewards,
    td_targets,
)
from maskrl.objectives.soft_q_learning import (
    soft_next_values,
    soft_policy_loss,
    soft_values,
    target_entropies,
    temperature_loss,
)
from maskrl.objectives.team_loss import TeamActed, TeamLoss, TeamLossSettings, team_loss
from maskrl.objectives.value import explained_variance, value_loss

__all__ = [
    "Acted",
    "LossSettings",
    "PPOLoss",
    "TeamActed",
    "TeamLoss",
    "TeamLossSettings",
    "agent_advantages",
    "approximate_kl",
    "categorical_loss",
    "categorical_targets",
    "clip_fraction",
    "clipped_policy_loss",
    "count_disallowed",
    "distribution_means",
    "entropy_of_actions",
    "expected_next_values",
    "explained_variance",
    "generalized_advantages",
    "greedy_next_actions",
    "imitation_loss",
    "log_ratio",
    "masked_cross_entropy",
    "max_next_values",
    "mean_over",
    "n_step_rewards",
    "normalize_advantages",
    "ppo_loss",
    "quantile_huber_loss",
    "soft_next_values",
    "soft_policy_loss",
    "soft_values",
    "successor_values",
    "take_actions",
    "target_entropies",
    "td_targets",
    "team_loss",
    "temperature_loss",
    "value_loss",
]

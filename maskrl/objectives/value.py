"""The value loss of PPO and how well values explain returns.

A step in which nothing was allowed is still a state with a value, so the value loss
keeps it: `valid` leaves out only what is not a step of the rollout at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.errors import ConfigError
from maskrl.objectives.policy_gradient import mean_over


def value_loss(
    values: Tensor,
    returns: Tensor,
    *,
    old_values: Tensor | None = None,
    clip: float | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Half the mean squared error of the values, optionally clipped: a scalar.

    With `clip`, the value may move by at most `clip` from the one predicted during the
    rollout before its loss stops improving; the worse of the two errors counts, so
    clipping never hides an error.

    Args:
        values: `[B]`, being trained.
        returns: `[B]`, targets.
        old_values: `[B]`, predicted during the rollout; needed with `clip`.
        clip: Largest rewarded change, in units of return; None does not clip.
        valid: `[B]` bool of the steps that count, or None for all.

    Raises:
        ConfigError: `clip` is given without `old_values`.
    """
    if clip is not None and old_values is None:
        raise ConfigError("value_loss: clip needs old_values, the predictions it clips around")
    if valid is not None:
        # Before the arithmetic, because the gradient of a NaN squared is NaN even times 0.
        values = torch.where(valid, values, 0.0)
        returns = torch.where(valid, returns, 0.0)
    error = (values - returns).square()
    if clip is not None and old_values is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return 0.5 * mean_over(error, valid)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """`1 - Var(returns - values) / Var(returns)`: 1 is perfect, 0 no better than a constant.

    Args:
        values: Any shape.
        returns: The same shape.

    Returns:
        NaN where the returns do not vary: there is nothing to explain.
    """
    if returns.numel() < 2:
        return float("nan")
    spread = returns.var(unbiased=False)
    if spread == 0:
        return float("nan")
    return float(1.0 - (returns - values).var(unbiased=False) / spread)

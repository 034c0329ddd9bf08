"""Advantages and value targets from a rollout.

Generalised advantage estimation with the two ends of an episode told apart:
`terminated` has no future, so nothing is bootstrapped; `truncated` has one that
was merely not played, so the value of the final observation is bootstrapped.
Both cut the recursion, because the next row belongs to another episode.
Everything here is pure: tensors in, tensors out, no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


def successor_values(
    values: Tensor,
    last_values: Tensor,
    *,
    final_index: Tensor | None = None,
    final_values: Tensor | None = None,
) -> Tensor:
    """Values of the state that truly followed each step of a rollout.

    With an environment that resets itself within the step, row `t + 1` of an ended
    episode shows the next episode's first observation; its value belongs to another
    story. `final_values` replaces it at the steps listed in `final_index`.

    Args:
        values: `[T, B]`, value of the observation that each step was taken in; or `[T, B, N]`,
            for each of N agents.
        last_values: `[B]`, value of the observation after the last step; or `[B, N]`.
        final_index: `[M]` int64, flat positions `t * B + b` of steps with a value of
            their own, usually the truncated ones.
        final_values: `[M]`, the values of these final observations; or `[M, N]`.

    Returns:
        As `values`.
    """
    following = torch.cat([values[1:], last_values.unsqueeze(0)])
    if final_index is not None and final_values is not None and final_index.numel():
        following.flatten(0, 1)[final_index] = final_values.to(following.dtype)
    return following


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Advantages and returns by generalised advantage estimation.

    `delta_t = r_t + gamma * [not terminated_t] * next_value_t - value_t`
    `A_t = delta_t + gamma * lambda * [not terminated_t and not truncated_t] * A_{t+1}`
    `return_t = A_t + value_t`

    Where an episode ends 0 is selected instead of multiplied by, so that a number of the
    next one which is not finite cannot travel.

    Args:
        rewards: `[T, B]`.
        values: `[T, B]`.
        next_values: `[T, B]`, as from `successor_values`.
        terminated: `[T, B]` bool.
        truncated: `[T, B]` bool.
        gamma: Discount per step.
        gae_lambda: 0 gives one-step differences, 1 the whole return less the value.

    Returns:
        Advantages and returns, each `[T, B]`.

    Reference:
        Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage
        Estimation, equation 16, https://arxiv.org/abs/1506.02438.
    """
    bootstrap = torch.where(terminated, torch.zeros_like(next_values), next_values)
    deltas = rewards + gamma * bootstrap - values
    ended = terminated | truncated
    carry = torch.where(
        ended,
        torch.zeros((), dtype=deltas.dtype, device=deltas.device),
        torch.full((), gamma * gae_lambda, dtype=deltas.dtype, device=deltas.device),
    )
    advantages = torch.empty_like(deltas)
    if len(deltas):
        advantages[-1] = deltas[-1]
    # Rows are cut once: indexing in the loop takes longer than its arithmetic.
    rows, cut = advantages.unbind(0), carry.unbind(0)
    is_finite = bool(deltas.isfinite().all())
    for t, delta in reversed(list(enumerate(deltas.unbind(0)[:-1]))):
        following = rows[t + 1] if is_finite else torch.where(ended[t], 0.0, rows[t + 1])
        torch.addcmul(delta, cut[t], following, out=rows[t])
    return advantages, advantages + values

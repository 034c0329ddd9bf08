"""The clipped policy loss of PPO and the statistics that watch over it.

Every function takes `keep`, a boolean tensor of the rows that count: a row in which
nothing was allowed took no decision, so it has ratio 1 and weight 0 in the loss, in
its normaliser and in the statistics of the advantages. `keep=None` means that every
row counts and costs nothing. Rows are selected, never multiplied by 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.functional import masked_mean


def mean_over(x: Tensor, keep: Tensor | None) -> Tensor:
    """Mean of the kept entries: a scalar, 0 where none is kept.

    Args:
        x: Any shape.
        keep: Bool of the same shape, or None for all.

    Empty rows:
        What is not kept adds 0 to the sum and 0 to the count, even if it is NaN.
    """
    return x.mean() if keep is None else masked_mean(x, keep)


def normalize_advantages(
    advantages: Tensor, keep: Tensor | None = None, *, epsilon: float = 1e-8
) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the kept rows.

    Args:
        advantages: Any shape.
        keep: Bool of the same shape, or None for all.
        epsilon: Added to the standard deviation.

    Returns:
        As `advantages`; rows that are not kept are 0. With fewer than two kept rows
        there is no spread to divide by and the advantages come back as they are.
    """
    if keep is None:
        if advantages.numel() < 2:
            return advantages
        return (advantages - advantages.mean()) / (advantages.std() + epsilon)
    kept = torch.where(keep, advantages, 0.0)
    count = keep.sum()
    centred = torch.where(keep, kept - kept.sum() / count.clamp(min=1), 0.0)
    spread = (centred.square().sum() / (count - 1).clamp(min=1)).sqrt()
    return torch.where(count < 2, kept, centred / (spread + epsilon))


def log_ratio(log_prob: Tensor, old_log_prob: Tensor, keep: Tensor | None = None) -> Tensor:
    """Logarithm of the importance ratio; 0 (ratio 1) where a row is not kept.

    Args:
        log_prob: `[B]` under the policy being trained.
        old_log_prob: `[B]` under the policy that acted, without gradient.
        keep: `[B]` bool or None.
    """
    difference = log_prob - old_log_prob
    return difference if keep is None else torch.where(keep, difference, 0.0)


def clipped_policy_loss(
    log_ratio: Tensor, advantages: Tensor, *, clip: float, keep: Tensor | None = None
) -> Tensor:
    """The clipped surrogate of PPO, to be minimised: a scalar.

    `-mean(min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A))` over the kept rows.

    Args:
        log_ratio: `[B]`, as from `log_ratio`.
        advantages: `[B]`.
        clip: Half width of the trust region.
        keep: `[B]` bool or None.

    Reference:
        Schulman et al., Proximal Policy Optimization Algorithms, equation 7,
        https://arxiv.org/abs/1707.06347.
    """
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages)
    return -mean_over(surrogate, keep)


def approximate_kl(log_ratio: Tensor, keep: Tensor | None = None) -> Tensor:
    """Estimate of KL(old policy, new policy) that is never negative: a scalar.

    `mean(ratio - 1 - log ratio)`.

    Reference:
        Schulman, Approximating KL Divergence, estimator k3,
        http://joschu.net/blog/kl-approx.html.
    """
    return mean_over(torch.expm1(log_ratio) - log_ratio, keep)


def clip_fraction(log_ratio: Tensor, *, clip: float, keep: Tensor | None = None) -> Tensor:
    """Share of the kept rows whose ratio left the trust region: a scalar in [0, 1]."""
    return mean_over((torch.expm1(log_ratio).abs() > clip).to(log_ratio.dtype), keep)


def entropy_of_actions(log_probs: Tensor) -> Tensor:
    """What the choices that were made contribute to the entropy: `[B]`.

    `sum over heads of -p log p`, p the probability of the head's choice. Some published code
    takes its mean for the entropy; it is not an estimate of that, because a choice is counted
    by its probability twice, once for being made and once in the sum. It is here to reproduce
    such runs.

    Args:
        log_probs: `[B, K]`, of the choice of every head, under the policy being trained; finite.
            A head that does not count has 0, and adds nothing.

    Example:
        >>> entropy_of_actions(torch.tensor([[0.5, 0.25], [1.0, 0.5]]).log())
        tensor([0.6931, 0.3466])
    """
    return -(log_probs.exp() * log_probs).sum(-1)

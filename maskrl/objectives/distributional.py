"""Returns as distributions: categorical (C51) and quantile regression, under masks.

A distribution over returns belongs to each action; the mask comes after the expectation
over it. Choosing by `distribution_means` and `greedy_next_actions` keeps a disallowed
action from being chosen, however its atoms lie, also where every allowed mean is negative.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.errors import ConfigError, MaskShapeError


def distribution_means(probs: Tensor, support: Tensor) -> Tensor:
    """Expected return of every action: `[..., A, N]` over the atoms `[N]` gives `[..., A]`."""
    return probs @ support


def take_actions(x: Tensor, actions: Tensor) -> Tensor:
    """What belongs to one action: `[..., A, N]` and int64 `[...]` to `[..., N]`."""
    index = actions.unsqueeze(-1).unsqueeze(-1).expand(*actions.shape, 1, x.shape[-1])
    return x.gather(-2, index).squeeze(-2)


def categorical_targets(
    rewards: Tensor,
    next_probs: Tensor,
    terminated: Tensor,
    support: Tensor,
    *,
    discount: float | Tensor,
) -> Tensor:
    """The distribution of `reward + discount * next return`, brought back onto the atoms.

    Mass that falls between two atoms is divided between them, mass beyond the ends goes there. At
    the end of an episode all of it is at the reward.

    Args:
        rewards: `[B]`.
        next_probs: `[B, N]`, the distribution of the chosen allowed action in the successor; not
            read where the successor is the end.
        terminated: bool `[B]`.
        support: `[N]`, evenly spaced and rising: the atoms.
        discount: gamma, or gamma^n as `[B]`.

    Returns:
        `[B, N]`, each row summing to 1 as `next_probs` do, without gradient.

    Raises:
        MaskShapeError: Shapes do not fit.
        ConfigError: The support has fewer than two atoms or does not rise.

    Reference:
        Bellemare, Dabney and Munos, A Distributional Perspective on Reinforcement Learning,
        algorithm 1, https://arxiv.org/abs/1707.06887
    """
    atoms = len(support)
    if support.ndim != 1 or atoms < 2 or not bool(support[-1] > support[0]):
        raise ConfigError(
            f"categorical_targets: support has shape {tuple(support.shape)}; expected at least two "
            "rising atoms [N]."
        )
    if next_probs.shape != (*rewards.shape, atoms) or terminated.shape != rewards.shape:
        raise MaskShapeError(
            f"categorical_targets: rewards {tuple(rewards.shape)}, next_probs "
            f"{tuple(next_probs.shape)}, terminated {tuple(terminated.shape)}; expected [B], "
            f"[B, {atoms}] and [B]."
        )
    if isinstance(discount, Tensor) and discount.ndim and discount.shape != rewards.shape:
        raise MaskShapeError(
            f"categorical_targets: discount has shape {tuple(discount.shape)}; expected a number, "
            f"or {tuple(rewards.shape)} as the rewards."
        )
    low, high = support[0], support[-1]
    step = (high - low) / (atoms - 1)
    ends = terminated.unsqueeze(-1)
    if isinstance(discount, Tensor):
        discount = discount.unsqueeze(-1)
    # One atom at return 0 stands for the end; whichever it is, all mass goes to the reward.
    at_end = F.one_hot(torch.zeros_like(rewards, dtype=torch.int64), atoms).to(next_probs.dtype)
    probs = torch.where(ends, at_end, next_probs.detach())
    returns = rewards.unsqueeze(-1) + torch.where(ends, 0.0, discount * support)
    places = ((returns.clamp(low, high) - low) / step).clamp(0, atoms - 1)
    below = places.floor().clamp(max=atoms - 2)
    share = places - below
    index = below.to(torch.int64)
    out = torch.zeros_like(probs)
    out.scatter_add_(-1, index, probs * (1 - share))
    out.scatter_add_(-1, index + 1, probs * share)
    return out


def categorical_loss(log_probs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each row, `[B, N]` log-probabilities and targets to `[B]`.

    Where a target is exactly 0 the log-probability is not read.

    Raises:
        MaskShapeError: Their shapes differ.
    """
    if log_probs.shape != targets.shape:
        raise MaskShapeError(
            f"categorical_loss: log_probs has shape {tuple(log_probs.shape)}, targets "
            f"{tuple(targets.shape)}; expected the same."
        )
    return -torch.where(targets > 0, targets * log_probs, 0.0).sum(-1)


def quantile_huber_loss(quantiles: Tensor, targets: Tensor, *, kappa: float = 1.0) -> Tensor:
    """Quantile regression with a Huber loss: each row's error, `[B]`.

    Each of N predicted quantiles, at the midpoints of N equal shares, is drawn to its place among
    M sampled targets.

    Args:
        quantiles: `[B, N]` of the action that was taken.
        targets: `[B, M]`, `reward + discount * next quantiles` of the chosen allowed action,
            without gradient.
        kappa: From which error on the loss is linear; 0 is plain quantile regression.

    Returns:
        `[B]`: summed over the quantiles, averaged over the targets.

    Raises:
        ConfigError: `kappa` is negative.
        MaskShapeError: Quantiles and targets are not of as many rows.

    Reference:
        Dabney et al., Distributional Reinforcement Learning with Quantile Regression, equation
        10, https://arxiv.org/abs/1710.10044
    """
    if kappa < 0:
        raise ConfigError(f"quantile_huber_loss: kappa is {kappa}; expected 0 or more.")
    if quantiles.shape[:-1] != targets.shape[:-1] or 0 in (quantiles.ndim, targets.ndim):
        raise MaskShapeError(
            f"quantile_huber_loss: quantiles has shape {tuple(quantiles.shape)}, targets "
            f"{tuple(targets.shape)}; expected [B, N] and [B, M]."
        )
    count = quantiles.shape[-1]
    levels = (torch.arange(count, dtype=quantiles.dtype, device=quantiles.device) + 0.5) / count
    error = targets.detach().unsqueeze(-2) - quantiles.unsqueeze(-1)  # [B, N, M]
    size = error.abs()
    if kappa:
        size = torch.where(size <= kappa, 0.5 * error.square() / kappa, size - 0.5 * kappa)
    weight = (levels.unsqueeze(-1) - (error.detach() < 0).to(levels.dtype)).abs()
    return (weight * size).mean(-1).sum(-1)

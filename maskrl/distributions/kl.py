"""Kullback-Leibler divergences of masked distributions, in torch's registry.

`torch.distributions.kl_divergence(p, q)` finds them once `maskrl.distributions`
is imported. All are sums of `kl_of_rows` over the factors of an action.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import register_kl

from maskrl.distributions.masked_bernoulli import MaskedBernoulli
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical
from maskrl.errors import MaskShapeError
from maskrl.kernels.reference import LOG_ZERO


def kl_of_rows(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p, q) in nats `[...]` of rows of log-probabilities `[..., A]`.

    +inf where p can take an action that q cannot; that entry is a constant with
    gradient 0, so no NaN reaches either side.

    Empty rows:
        A row that is -inf throughout is idle: 0 between two of them, +inf between one and
        another.
    """
    # Not "greater than", because a NaN row must stay NaN.
    possible = log_p != LOG_ZERO
    shared = possible & (log_q != LOG_ZERO)
    beyond = (possible & ~shared).any(-1)
    one_sided = ~possible.any(-1) & (log_q != LOG_ZERO).any(-1)
    # Finite operands first, because a gradient of 0 times inf is NaN even where not selected.
    ratio = torch.where(possible, log_p, 0.0) - torch.where(shared, log_q, 0.0)
    total = torch.where(possible, log_p.exp() * ratio, 0.0).sum(-1)
    return torch.where((beyond | one_sided) & ~total.isnan(), math.inf, total)


def kl_masked_categorical(p: MaskedCategorical, q: MaskedCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the actions that p can take; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different numbers of actions.

    Empty rows:
        0 between two idle rows, +inf between an idle row and another.
    """
    if p.param_shape[-1] != q.param_shape[-1]:
        raise MaskShapeError(
            f"kl_divergence: p has {p.param_shape[-1]} actions, q {q.param_shape[-1]}; expected "
            f"the same number."
        )
    return kl_of_rows(p.logits, q.logits)


def kl_masked_multi_categorical(p: MaskedMultiCategorical, q: MaskedMultiCategorical) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the heads; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different heads.

    Empty rows:
        Each head for itself, as in `kl_of_rows`.
    """
    if p.nvec != q.nvec:
        raise MaskShapeError(
            f"kl_divergence: p has heads of {list(p.nvec)} choices, q of {list(q.nvec)}; expected "
            f"the same."
        )
    heads = zip(p.logits.split(p.nvec, -1), q.logits.split(q.nvec, -1), strict=True)
    return torch.stack([kl_of_rows(log_p, log_q) for log_p, log_q in heads], -1).sum(-1)


def kl_masked_bernoulli(p: MaskedBernoulli, q: MaskedBernoulli) -> Tensor:
    """KL(p, q) in nats `[...]`, summed over the bits; see `kl_of_rows`.

    Raises:
        MaskShapeError: p and q have different numbers of bits.

    Empty rows:
        Each bit for itself, as in `kl_of_rows`.
    """
    if p.event_shape != q.event_shape:
        raise MaskShapeError(
            f"kl_divergence: p has {p.event_shape[0]} bits, q {q.event_shape[0]}; expected the "
            f"same number."
        )
    return kl_of_rows(p.log_probs(), q.log_probs()).sum(-1)


register_kl(MaskedCategorical, MaskedCategorical)(kl_masked_categorical)
register_kl(MaskedMultiCategorical, MaskedMultiCategorical)(kl_masked_multi_categorical)
register_kl(MaskedBernoulli, MaskedBernoulli)(kl_masked_bernoulli)

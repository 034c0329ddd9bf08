"""Kullback-Leibler divergences of masked distributions, in torch's registry.

`torch.distributions.kl_divergence(p, q)` finds them once `maskrl.distributions`
is imported.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import register_kl

from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.errors import MaskShapeError
from maskrl.kernels.reference import LOG_ZERO


def kl_masked_categorical(p: MaskedCategorical, q: MaskedCategorical) -> Tensor:
    """KL(p, q) in nats, summed over the actions that p can take.

    +inf where p can take an action that q cannot; that entry is a constant with
    gradient 0, so no NaN reaches the logits of either.

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
    log_p, log_q = p.logits, q.logits
    # Not "greater than", because a NaN row must stay NaN.
    possible = log_p != LOG_ZERO
    shared = possible & (log_q != LOG_ZERO)
    beyond = (possible & ~shared).any(-1)
    one_sided = ~possible.any(-1) & (log_q != LOG_ZERO).any(-1)
    # Finite operands first, because a gradient of 0 times inf is NaN even where not selected.
    ratio = torch.where(possible, log_p, 0.0) - torch.where(shared, log_q, 0.0)
    total = torch.where(possible, log_p.exp() * ratio, 0.0).sum(-1)
    return torch.where((beyond | one_sided) & ~total.isnan(), math.inf, total)


register_kl(MaskedCategorical, MaskedCategorical)(kl_masked_categorical)

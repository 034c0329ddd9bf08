"""The Kullback-Leibler divergence of rows, of which some entries or all are -inf.

What two masks allow differs: an action that only the first can take makes the divergence
infinite, one that neither can take costs nothing, and none of them may put a NaN into a
gradient. Two batches of fused rows are compared by one kernel, all others by `kl_of_rows`,
which defines the numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskrl.kernels.contract import Rows
from maskrl.kernels.reference import LOG_ZERO, ReferenceHeads, ReferenceRows


def divergence_between(p: Rows, q: Rows, sizes: tuple[int, ...] | None = None) -> Tensor:
    """KL(p, q) in nats `[...]` of rows that broadcast, with `sizes` `[..., K]`; see `kl_of_rows`.

    Args:
        p: Who acts.
        q: Who is compared.
        sizes: Sizes of the heads that both were made with.
    """
    if not isinstance(p, ReferenceRows | ReferenceHeads):
        # Here, because Numba is not loaded before rows are fused.
        from maskrl.kernels.fused.pairs import fused_divergence

        divergence = fused_divergence(p, q)
        if divergence is not None:
            return divergence
    return kl_of_joined(p.log_probs(), q.log_probs(), sizes)


def kl_of_joined(log_p: Tensor, log_q: Tensor, sizes: tuple[int, ...] | None) -> Tensor:
    """`kl_of_rows` of each head `[..., K]`, given log-probabilities joined; of rows without."""
    if sizes is None:
        return kl_of_rows(log_p, log_q)
    heads = zip(log_p.split(sizes, -1), log_q.split(sizes, -1), strict=True)
    return torch.stack([kl_of_rows(of_p, of_q) for of_p, of_q in heads], -1)


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

"""The Kullback-Leibler divergence of rows of log-probabilities, of which some are -inf.

What two masks allow differs: an action that only the first can take makes the divergence
infinite, one that neither can take costs nothing, and none of them may put a NaN into a
gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

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


def broadcast_batches(operation: str, p: torch.Size, q: torch.Size) -> torch.Size:
    """The shape that two batches broadcast to.

    Raises:
        MaskShapeError: They do not.
    """
    try:
        return torch.Size(torch.broadcast_shapes(p, q))
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: p has the batch {tuple(p)}, q {tuple(q)}; expected shapes that "
            f"broadcast."
        ) from None

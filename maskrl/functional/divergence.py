"""The Kullback-Leibler divergence of masked rows, and what batches of them broadcast to.

The numbers are defined in `maskrl.kernels.divergence`; what the distributions need beside them
is here: the shape of an answer, and the message where there is none.
"""

from __future__ import annotations

import torch

from maskrl.errors import MaskShapeError
from maskrl.kernels.divergence import divergence_between, kl_of_rows

__all__ = ["broadcast_batches", "divergence_between", "kl_of_rows"]


def broadcast_batches(operation: str, p: torch.Size, q: torch.Size) -> torch.Size:
    """The shape that two batches broadcast to.

    Raises:
        MaskShapeError: They do not.
    """
    if p == q:
        return p
    try:
        return torch.Size(torch.broadcast_shapes(p, q))
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: p has the batch {tuple(p)}, q {tuple(q)}; expected shapes that "
            f"broadcast."
        ) from None

"""Actions as they are given to be scored: integers of a shape that broadcasts with the batch.

Every distribution takes them in any integer type, and as floats without fractions, because
that is how buffers and environments hand them over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskShapeError


def as_actions(
    name: str, value: Tensor, batch: torch.Size, event: torch.Size, *, validate: bool
) -> Tensor:
    """Return actions as int64 of the shape `[..., *event]` that batch and value broadcast to.

    Raises:
        MaskDtypeError: No tensor; or validated, and not whole numbers.
        MaskShapeError: The shapes do not broadcast.
    """
    if not isinstance(value, Tensor):
        raise MaskDtypeError(
            f"{name}: value has type {type(value).__name__}; expected a tensor of actions."
        )
    if value.dtype != torch.int64:
        if value.is_complex():
            raise MaskDtypeError(f"{name}: value has dtype {value.dtype}; expected integers.")
        if value.is_floating_point() and validate and bool((value % 1 != 0).any()):
            raise MaskDtypeError(
                f"{name}: value has dtype {value.dtype} and holds fractions; expected "
                f"integer actions."
            )
        value = value.to(torch.int64)
    whole = batch + event
    if value.ndim == len(whole) and value.shape == whole:
        return value
    if value.shape[value.ndim - len(event) :] != event:
        raise MaskShapeError(
            f"{name}.log_prob: value has shape {tuple(value.shape)}; expected the last "
            f"dimension to be {event[0]}, one number for each factor of an action."
        )
    try:
        shape = torch.broadcast_shapes(value.shape, whole)
    except RuntimeError:
        raise MaskShapeError(
            f"{name}.log_prob: value has shape {tuple(value.shape)}, the batch "
            f"{tuple(batch)}; expected shapes that broadcast."
        ) from None
    return value.expand(shape)

"""Checks at the doors of the builders: shapes, dtypes and devices, with full messages.

A builder takes batched tensors with any leading dimensions. What does not fit
is refused by the name of the argument, with what was expected and what came;
nothing is cast from another kind of number, inverted or reshaped.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from maskrl.errors import MaskShapeError
from maskrl.masks.check import check_mask


def entity_tensor(operation: str, name: str, m: Any) -> Tensor:
    """A boolean tensor with at least an entity axis."""
    shape = tuple(m.shape) if hasattr(m, "shape") else ()
    return check_mask(operation, name, m, shape or (1,), data="the scene")


def square_tensor(operation: str, visibility: object, *, one_row: bool = False) -> Tensor:
    """A boolean tensor [..., E, E], or [..., 1, E] where one row holds for all."""
    visibility = entity_tensor(operation, "visibility", visibility)
    shape = tuple(visibility.shape)
    if len(shape) < 2 or not (shape[-2] == shape[-1] or (one_row and shape[-2] == 1)):
        raise MaskShapeError(
            f"{operation}: visibility has shape {shape}; expected [..., E, E], True = i sees j."
        )
    return visibility

"""The one door through which foreign values become a torch mask.

Nothing else in the package casts or inverts a mask. An int8 mask from an
environment, a float mask from a data set or a mask that marks what is blocked
is converted by `as_mask`, explicitly, with every value looked at; Gymnasium's
0/1/2 masks of MultiBinary actions by `as_binary_mask`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks.arrays import as_mask_array, check_allowed_value, strange_value_message
from maskrl.masks.binary import as_binary_mask_array, binary_dtype_message, binary_value_message
from maskrl.masks.packed import PackedMask


def as_mask(x: Any, *, allowed: int = 1) -> Tensor:
    """Convert 0/1 values of any kind to a new `torch.bool` tensor, True = allowed.

    Args:
        x: Tensor of any dtype and device, `PackedMask`, numpy array, nested list
            or scalar, whose values are all 0 or 1.
        allowed: The value that means allowed; 0 inverts a mask that marks what is blocked.

    Returns:
        Boolean tensor of the shape of `x`, on its device; always a copy.

    Raises:
        MaskDtypeError: `x` is None or not numeric, or holds anything but 0 and 1.
        MaskShapeError: `x` is a ragged nested sequence.

    Example:
        >>> as_mask([[1, 0], [1, 1]])
        tensor([[ True, False],
                [ True,  True]])
        >>> as_mask(torch.tensor([0.0, 1.0]), allowed=0)
        tensor([ True, False])
    """
    check_allowed_value(allowed, "as_mask")
    if isinstance(x, PackedMask):
        x = x.unpack()
    if not isinstance(x, Tensor):
        return torch.from_numpy(as_mask_array(x, allowed=allowed, name="x"))
    values = x.detach()
    if values.is_complex():
        raise MaskDtypeError(f"as_mask: x has dtype {x.dtype}; expected values 0 and 1.")
    ones: Tensor = values == 1
    strange = ~(ones | (values == 0))
    if bool(strange.any()):
        index = tuple(int(i) for i in strange.nonzero()[0])
        raise MaskDtypeError(strange_value_message("as_mask", "x", values[index].item(), index))
    return ones if allowed else ~ones


def as_binary_mask(x: Any) -> Tensor:
    """Convert Gymnasium's 0/1/2 masks to a `torch.bool` tensor, True = this value is allowed.

    Args:
        x: Tensor of any number type and device, numpy array or nested list `[..., n]`: 0 where
            the bit must be 0, 1 where it must be 1, 2 where it is free.

    Returns:
        A new boolean tensor `[..., n, 2]` on the device of `x`: may be 0, may be 1; what
        `MaskedBernoulli` takes.

    Raises:
        MaskDtypeError: `x` is None, boolean or not numeric, or holds anything but 0, 1 and 2.
        MaskShapeError: `x` is a single number or a ragged nested sequence.

    Empty rows:
        There are none: each bit may be at least one of the two.

    Example:
        >>> as_binary_mask([0, 1, 2])
        tensor([[ True, False],
                [False,  True],
                [ True,  True]])
    """
    if not isinstance(x, Tensor):
        return torch.from_numpy(as_binary_mask_array(x, name="x"))
    values = x.detach()
    if values.dtype is torch.bool or values.is_complex():
        raise MaskDtypeError(binary_dtype_message("as_binary_mask", "x", str(x.dtype)))
    if values.ndim == 0:
        raise MaskShapeError(f"as_binary_mask: x is the number {values.item()}; expected [..., n].")
    ones, free = values == 1, values == 2
    strange = ~((values == 0) | ones | free)
    if bool(strange.any()):
        index = tuple(int(i) for i in strange.nonzero()[0])
        raise MaskDtypeError(binary_value_message("as_binary_mask", "x", values[index], index))
    return torch.stack([~ones, ones | free], dim=-1)

"""`as_mask`: the one door through which foreign 0/1 values become a torch mask.

Nothing else in the package casts or inverts a mask. An int8 mask from an
environment, a float mask from a data set or a mask that marks what is blocked
is converted here, explicitly, with every value looked at.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError
from maskrl.masks.arrays import as_mask_array, check_allowed_value, strange_value_message
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

"""Masks of yes-or-no actions: from Gymnasium's 0/1/2 to pairs (may be 0, may be 1).

A MultiBinary action needs two facts per bit, so its mask is `[..., n, 2]`. Gymnasium
writes them as one number: 0 = must be 0, 1 = must be 1, 2 = free. A row of zeros and ones
alone could also mean "may be 1", so nothing here guesses: the caller says which it is by
calling the converter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks.arrays import BoolArray


def as_binary_mask_array(x: Any, *, name: str = "action_mask") -> BoolArray:
    """Convert Gymnasium's 0/1/2 masks to a boolean array, True = this value is allowed.

    Args:
        x: Array, nested list or tuple `[..., n]`: 0 where the bit must be 0, 1 where it must
            be 1, 2 where it is free, as in `gymnasium.spaces.MultiBinary.sample(mask)`.
        name: How messages call the mask.

    Returns:
        A new boolean array `[..., n, 2]`: may be 0, may be 1.

    Raises:
        MaskDtypeError: `x` is None, boolean or not numeric, or holds anything but 0, 1 and 2.
        MaskShapeError: `x` is a single number or a ragged nested sequence.

    Empty rows:
        There are none: each bit may be at least one of the two.

    Example:
        >>> as_binary_mask_array([0, 1, 2])
        array([[ True, False],
               [False,  True],
               [ True,  True]])
    """
    operation = "as_binary_mask_array"
    if x is None:
        raise MaskDtypeError(f"{operation}: {name} is None; expected values 0, 1 and 2.")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise MaskShapeError(
            f"{operation}: {name} is a nested sequence of uneven lengths ({error}); expected one "
            "number for each bit."
        ) from None
    if array.dtype.kind not in "iuf":
        raise MaskDtypeError(binary_dtype_message(operation, name, str(array.dtype)))
    if array.ndim == 0:
        raise MaskShapeError(f"{operation}: {name} is the number {array}; expected [..., n].")
    ones, free = array == 1, array == 2
    strange = ~((array == 0) | ones | free)
    if strange.any():
        index = tuple(int(i) for i in np.argwhere(strange)[0])
        raise MaskDtypeError(binary_value_message(operation, name, array[index], index))
    return np.stack([~ones, ones | free], axis=-1)


def binary_dtype_message(operation: str, name: str, dtype: str) -> str:
    """Say why booleans and what is no number cannot be read as 0/1/2."""
    hint = (
        " Booleans cannot say that a bit is free. If True means that a bit may be 1, and any bit "
        "may be 0, give pairs: np.stack([np.ones_like(m), m], axis=-1)."
        if "bool" in dtype
        else ""
    )
    return (
        f"{operation}: {name} has dtype {dtype}; expected numbers, 0 = must be 0, 1 = must be 1, "
        f"2 = free.{hint}"
    )


def binary_value_message(operation: str, name: str, value: Any, index: tuple[int, ...]) -> str:
    """Say which value is none of 0, 1, 2, and where it stands."""
    return (
        f"{operation}: {name} holds {float(value):g} at index {index}; expected only 0 (must be "
        "0), 1 (must be 1) and 2 (free)."
    )

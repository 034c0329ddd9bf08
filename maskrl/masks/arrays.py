"""Masks as numpy arrays: conversion, checks and bits, with no torch in sight.

Environments and buffers keep masks as `numpy.bool_`, True meaning allowed.
What arrives from elsewhere (int8, uint8, float, lists) passes `as_mask_array`
once, at the door, where every value is looked at: a 2, a 0.5 or a -inf is an
error that names its index, never a silent True.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.errors import MaskDtypeError, MaskShapeError

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]

_BOOL = np.dtype(np.bool_)


def as_mask_array(x: Any, *, allowed: int = 1, name: str = "action_mask") -> BoolArray:
    """Convert 0/1 values of any kind to a new boolean array, True = allowed.

    Args:
        x: Array, nested list or tuple, or scalar, whose values are all 0 or 1
            (False or True).
        allowed: The value that means allowed; 0 inverts a mask that marks what is blocked.
        name: How messages call the mask.

    Returns:
        A boolean array of the shape of `x`; always a copy, because some
        environments change their mask in place.

    Raises:
        MaskDtypeError: `x` is None or not numeric, holds anything but 0 and 1, or is a tensor
            that numpy cannot read.
        MaskShapeError: `x` is a ragged nested sequence.

    Example:
        >>> as_mask_array([1, 0, 1])
        array([ True, False,  True])
    """
    check_allowed_value(allowed, "as_mask_array")
    if x is None:
        raise MaskDtypeError(
            f"as_mask_array: {name} is None; expected 0/1 values. Leave the mask out where "
            f"everything is allowed, or look up why the environment gave none."
        )
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise MaskShapeError(
            f"as_mask_array: {name} is a nested sequence of uneven lengths ({error}); "
            f"expected rows of equal length. Pad the short rows with 0."
        ) from None
    except (TypeError, RuntimeError) as error:  # a tensor on another device, or with gradients
        raise MaskDtypeError(
            f"as_mask_array: {name} is a {type(x).__name__} of which numpy makes no array "
            f"({error}); expected 0/1 values. Hand over an array, of a tensor for example "
            "`x.bool().cpu().numpy()`."
        ) from error
    if array.dtype == np.bool_:
        return array.copy() if allowed else ~array
    if array.dtype.kind not in "iuf":
        raise MaskDtypeError(
            f"as_mask_array: {name} has dtype {array.dtype}; expected bool, integers or floats "
            f"whose values are all 0 or 1."
        )
    ones = np.asarray(array == 1)
    strange = ~(ones | (array == 0))
    if strange.any():
        index = tuple(int(i) for i in np.argwhere(strange)[0])
        raise MaskDtypeError(strange_value_message("as_mask_array", name, array[index], index))
    return ones if allowed else ~ones


def check_allowed_value(allowed: Any, operation: str) -> None:
    """Raise MaskDtypeError unless `allowed` is 0 or 1."""
    if allowed not in (0, 1):
        raise MaskDtypeError(
            f"{operation}: allowed is {allowed!r}; expected 1 (ones are allowed) or 0 "
            f"(zeros are allowed, the mask marks what is blocked)."
        )


def strange_value_message(operation: str, name: str, value: Any, index: tuple[int, ...]) -> str:
    """Say which value is neither 0 nor 1, where it stands, and what it may have meant."""
    number = float(value)
    if number == -np.inf:
        hint = "It looks like an additive mask (0 = allowed, -inf = blocked): pass `x == 0`."
    elif number == -1:
        hint = "If -1 marks blocked entries pass `x != -1`; if it marks allowed ones, `x == -1`."
    elif 0 < number < 1:
        hint = "If these are weights or probabilities, pass `x > 0`."
    else:
        hint = "Compare first, so that the meaning is explicit, for example `x > 0`."
    return (
        f"{operation}: {name} holds {number:g} at index {index}; expected only 0 and 1 "
        f"(1 = allowed). {hint}"
    )


def check_mask_array(m: Any, shape: tuple[int, ...], *, name: str, operation: str) -> BoolArray:
    """Return `m` itself if it is a boolean array of exactly this shape.

    Args:
        m: The mask.
        shape: The shape it must have.
        name: How messages call the mask.
        operation: How messages call the caller.

    Raises:
        MaskDtypeError: `m` is not a numpy array of booleans.
        MaskShapeError: The shape differs.
    """
    if isinstance(m, np.ndarray) and m.dtype == _BOOL and m.shape == shape:
        return m
    if not isinstance(m, np.ndarray) or m.dtype != _BOOL:
        got = f"dtype {m.dtype}" if isinstance(m, np.ndarray) else f"type {type(m).__name__}"
        raise MaskDtypeError(
            f"{operation}: {name} has {got}; expected a numpy array of bool, True = allowed. "
            f"Convert it with maskrl.masks.as_mask_array({name})."
        )
    if m.shape != tuple(shape):
        raise MaskShapeError(f"{operation}: {name} has shape {m.shape}; expected {tuple(shape)}.")
    return m


def pack_bits(m: BoolArray) -> ByteArray:
    """Pack booleans `[..., n]` into bytes `[..., ceil(n / 8)]`, lowest bit first."""
    return np.packbits(m, axis=-1, bitorder="little")


def unpack_bits(bits: ByteArray, n: int) -> BoolArray:
    """Unpack bytes `[..., ceil(n / 8)]` into booleans `[..., n]`; inverse of `pack_bits`."""
    # The view is free: unpackbits writes only 0 and 1, one byte each, as bool does.
    return np.unpackbits(bits, axis=-1, count=n, bitorder="little").view(np.bool_)

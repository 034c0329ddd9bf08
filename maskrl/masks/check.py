"""Checks at the door: dtype, shape and device of a torch mask, with full messages.

Every public operation that takes a mask calls `check_mask` once. It never
casts, inverts or reshapes; what does not fit raises, and the message says what
was expected, what came and which call converts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.masks.packed import PackedMask


def check_mask(
    operation: str,
    name: str,
    m: Any,
    shape: Sequence[int],
    *,
    device: torch.device | None = None,
    data: str = "logits",
) -> Tensor:
    """Return `m` as a `torch.bool` tensor that broadcasts to `shape` over leading dimensions.

    Args:
        operation: How messages call the caller, such as "masked_softmax".
        name: How messages call the mask, such as "action_mask".
        m: `torch.bool` tensor or `PackedMask`. Its last dimension must equal
            `shape[-1]`; the leading ones must broadcast to `shape[:-1]`.
        shape: Shape of the tensor that is masked.
        device: Device of that tensor, if it shall be compared.
        data: How messages call that tensor.

    Returns:
        `m` itself, or unpacked; not expanded.

    Raises:
        MaskDtypeError: `m` is not boolean, or not a tensor.
        MaskShapeError: `m` does not broadcast.
        MaskError: `m` is on another device.
    """
    if isinstance(m, PackedMask):
        m = m.unpack()
    if not isinstance(m, Tensor) or m.dtype is not torch.bool:
        raise MaskDtypeError(_dtype_message(operation, name, m))
    check_shape(operation, name, m.shape, shape, data=data)
    if device is not None:
        check_device(operation, name, m.device, device, data=data)
    return m


def check_shape(
    operation: str, name: str, got: Sequence[int], shape: Sequence[int], *, data: str = "logits"
) -> None:
    """Raise MaskShapeError unless a mask of shape `got` broadcasts to `shape`; see `check_mask`."""
    if not _broadcasts(got, shape):
        raise MaskShapeError(_shape_message(operation, name, tuple(got), tuple(shape), data))


def check_device(
    operation: str, name: str, got: torch.device, device: torch.device, *, data: str = "logits"
) -> None:
    """Raise MaskError unless a mask is where what it masks is."""
    if got != device:
        raise MaskError(f"{operation}: {name} is on {got}, {data} on {device}; move one of them.")


def _broadcasts(got: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether `got` expands to `shape` without touching the last dimension."""
    # Numbers of dimensions first: comparing sizes of different dimensions would tie them
    # together while exporting with a free batch size.
    if len(got) == len(shape) and got == shape:
        return True
    if not got or len(got) > len(shape) or got[-1] != shape[-1]:
        return False
    leading = zip(reversed(got[:-1]), reversed(shape[:-1]), strict=False)
    return all(a == b or a == 1 for a, b in leading)


def _dtype_message(operation: str, name: str, m: Any) -> str:
    """Say what came instead of a boolean tensor, and which call converts it."""
    if isinstance(m, Tensor):
        got = f"dtype {m.dtype}"
    elif hasattr(m, "dtype"):
        got = f"type {type(m).__module__}.{type(m).__name__} of dtype {m.dtype}"
    else:
        got = f"type {type(m).__name__}"
    return (
        f"{operation}: {name} has {got}; expected torch.bool with True = allowed. Convert it "
        f"explicitly with maskrl.as_mask({name}), or as_mask({name}, allowed=0) if ones mark "
        f"what is blocked."
    )


def _shape_message(
    operation: str, name: str, got: tuple[int, ...], shape: tuple[int, ...], data: str
) -> str:
    """Say which shapes met and what would make them fit."""
    if got and shape and got[-1] != shape[-1]:
        fix = f"the last dimensions differ ({got[-1]} and {shape[-1]}) and must be equal."
    elif len(got) > len(shape):
        fix = f"the mask has more dimensions than {data}; expand {data} to the batch first."
    else:
        fix = "insert dimensions of size 1 where the mask shall repeat, for example with unsqueeze."
    return (
        f"{operation}: {name} has shape {got}, {data} {shape}; expected {shape}, or a shape that "
        f"broadcasts to it over the leading dimensions: {fix}"
    )

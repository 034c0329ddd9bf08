"""Checks at the doors of the builders: shapes, dtypes and devices, with full messages.

A builder takes batched tensors with any leading dimensions. What does not fit
is refused by the name of the argument, with what was expected and what came;
no mask is cast, inverted or reshaped. Positions may be of any real number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrl.errors import ConfigError, MaskError, MaskShapeError
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


def real_tensor(operation: str, name: str, x: Any, shape: str, axes: int) -> Tensor:
    """A tensor of whole or real numbers with at least so many axes.

    Args:
        operation: How messages call the caller.
        name: How messages call the tensor.
        x: Whatever was given.
        shape: How messages write the expected shape.
        axes: How many axes it names.

    Raises:
        MaskError: No tensor, or not of whole or real numbers.
        MaskShapeError: Fewer axes.
    """
    if not isinstance(x, Tensor):
        raise MaskError(
            f"{operation}: {name} has type {type(x).__name__}; expected a tensor {shape}, for "
            f"example torch.as_tensor({name})."
        )
    if x.dtype is torch.bool or x.is_complex():
        raise MaskError(
            f"{operation}: {name} has dtype {x.dtype}; expected whole or real numbers {shape}."
        )
    if x.ndim < axes:
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(x.shape)}; expected {shape}, one per entity."
        )
    return x


def place_tensor(operation: str, positions: Any, *, plane: bool = False) -> Tensor:
    """Positions [..., E, D], D = 2 where they lie in a plane."""
    shape = "[..., E, 2], columns x and y" if plane else "[..., E, D]"
    places = real_tensor(operation, "positions", positions, shape, 2)
    if places.shape[-1] == 0 or (plane and places.shape[-1] != 2):
        raise MaskShapeError(
            f"{operation}: positions has shape {tuple(places.shape)}; expected {shape}."
        )
    return places


def exact(x: Tensor) -> Tensor:
    """The numbers as float64: whole numbers stay whole, squares do not overflow."""
    return x.to(_widest(x.device))


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # which knows no float64


def amount_per_entity(operation: str, name: str, amount: Any, positions: Tensor) -> Tensor:
    """How far, or how wide, each entity looks: at least 0, one number or one for each.

    Args:
        operation: How messages call the caller.
        name: How messages call the amount.
        amount: A number, or a tensor [..., E].
        positions: [..., E, D].

    Returns:
        float64 [..., E], or without dimensions.

    Raises:
        ConfigError: Negative, NaN, or no number.
        MaskShapeError: A tensor that does not broadcast to [..., E].
        MaskError: Another device, or no numbers.
    """
    if isinstance(amount, (int, float, np.integer, np.floating)) and not isinstance(amount, bool):
        if not amount >= 0:
            raise ConfigError(f"{operation}: {name} is {amount}; expected a number of at least 0.")
        device = positions.device
        return torch.tensor(float(amount), dtype=_widest(device), device=device)
    if not isinstance(amount, Tensor):
        raise ConfigError(
            f"{operation}: {name} is {amount!r}; expected a number, or a tensor [..., E] with one "
            "per entity."
        )
    amount = real_tensor(operation, name, amount, "[..., E]", 0)
    same_device(operation, name, amount, "positions", positions)
    check_broadcast(operation, name, amount, positions.shape[:-1], "positions", positions)
    wrong = ~(amount >= 0)
    if not torch.compiler.is_compiling() and wrong.any():
        first = tuple(int(i) for i in wrong.nonzero()[0])
        raise ConfigError(
            f"{operation}: {name}{list(first)} is {amount[first].item()}; expected numbers of at "
            "least 0."
        )
    return exact(amount)


def same_device(operation: str, name: str, m: Tensor, other: str, data: Tensor) -> None:
    """Refuse tensors that live apart."""
    if m.device != data.device:
        raise MaskError(
            f"{operation}: {name} is on {m.device}, {other} on {data.device}; move one of them."
        )


def check_broadcast(
    operation: str, name: str, m: Tensor, shape: tuple[int, ...], other: str, data: Tensor
) -> None:
    """Refuse a tensor that does not expand to `shape`."""
    got = tuple(m.shape)
    pairs = zip(reversed(got), reversed(tuple(shape)), strict=False)
    if len(got) > len(shape) or any(a not in (1, b) for a, b in pairs):
        raise MaskShapeError(
            f"{operation}: {name} has shape {got}, {other} {tuple(data.shape)}; expected "
            f"{tuple(shape)}, or dimensions of size 1 where it repeats."
        )


def joint_lead(operation: str, name: str, m: Tensor, axes: int, visible: Tensor) -> Any:
    """The leading dimensions of both: those of m before its last `axes`, and of [..., E, E].

    Raises:
        MaskShapeError: They do not broadcast.
    """
    try:
        return torch.broadcast_shapes(m.shape[:-axes], visible.shape[:-2])
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(m.shape)}, the scene leading dimensions "
            f"{tuple(visible.shape[:-2])}; expected leading dimensions that broadcast."
        ) from None


def present_tensor(operation: str, entity_mask: object, entities: int, data: Tensor) -> Tensor:
    """A boolean `entity_mask` [..., E] for so many entities, where their data is."""
    present = entity_tensor(operation, "entity_mask", entity_mask)
    if present.shape[-1] != entities:
        raise MaskShapeError(
            f"{operation}: entity_mask has shape {tuple(present.shape)} for {entities} entities; "
            "expected the same number of entities."
        )
    same_device(operation, "entity_mask", present, "the scene", data)
    return present


def with_padding(operation: str, visible: Tensor, entity_mask: object) -> Tensor:
    """Every entity sees itself; padding sees nobody and nobody sees it.

    Args:
        operation: How messages call the caller.
        visible: bool [..., E, E].
        entity_mask: bool [..., E] or None.

    Returns:
        bool [..., E, E], leading dimensions broadcast.
    """
    entities = visible.shape[-1]
    visible = visible | torch.eye(entities, dtype=torch.bool, device=visible.device)
    if entity_mask is None:
        return visible
    present = present_tensor(operation, entity_mask, entities, visible)
    joint_lead(operation, "entity_mask", present, 1, visible)
    return visible & present.unsqueeze(-1) & present.unsqueeze(-2)

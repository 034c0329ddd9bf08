"""Which entities are asked for: an index, or several, of the entity axis.

`queries` and `observer` are both such an index: one whole number for the whole
batch, or a tensor [..., Q] of them. Checked once at the door. Negative indices
are refused, because with padding "the last one" is rarely what is meant, and so
is a list [B] for B scenes, which could be B entities of each or one of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskShapeError
from maskrl.kernels.dispatch import is_traced

Index = int | Tensor
"""One entity for the whole batch, or int64 [..., Q] of them."""


def check_index(operation: str, name: str, index: Any, entities: int, lead: Sequence[int]) -> Index:
    """Return a whole number, or an int64 tensor [..., Q] that broadcasts to `lead`.

    Args:
        operation: How messages call the caller.
        name: How messages call the index.
        index: int, integer tensor without dimensions, or integer tensor [..., Q]. Its leading
            dimensions broadcast to `lead`: for scenes [B, E, D] it is [B, 1] for one entity of
            each, [1, Q] for the same Q of all. A list [Q] alone is for a scene [E, D] alone.
        entities: Number of entity slots.
        lead: Leading dimensions of the scene.

    Returns:
        An int for one entity, otherwise the tensor, with as many dimensions as `lead` and one.

    Raises:
        MaskShapeError: Not whole numbers, out of range, leading dimensions that do not
            broadcast, or a shape that has two meanings.
    """
    if isinstance(index, Tensor) and not (
        index.is_floating_point() or index.is_complex() or index.dtype is torch.bool
    ):
        if index.ndim == 0:
            index = int(index)
        else:
            _check_lead(operation, name, index, lead)
            # Elsewhere looking would stall, and a graph cannot look; gathering checks there.
            if index.device.type == "cpu" and not is_traced(index):
                outside = (index < 0) | (index >= entities)
                if outside.any():
                    first = tuple(int(i) for i in outside.nonzero()[0])
                    _refuse(operation, f"{name}{list(first)}", int(index[first]), entities)
            return index.long().reshape((1,) * (len(lead) + 1 - index.ndim) + tuple(index.shape))
    if isinstance(index, bool) or not isinstance(index, int):
        got = f"dtype {index.dtype}" if isinstance(index, Tensor) else f"{index!r}"
        raise MaskShapeError(
            f"{operation}: {name} has {got}; expected one whole number, or an int64 tensor "
            f"[..., Q] with the indices of Q entities."
        )
    if not 0 <= index < entities:
        _refuse(operation, name, index, entities)
    return index


def select_rows(x: Tensor, rows: Index | None) -> Tensor:
    """The rows [..., Q, D] of x [..., E, D]; all of them for None."""
    if rows is None:
        return x
    if isinstance(rows, int):
        return x[..., rows : rows + 1, :]
    # By hand: `take_along_dim` would tie a traced graph to the sizes that it was traced with.
    lead = torch.broadcast_shapes(x.shape[:-2], rows.shape[:-1])
    places = rows.unsqueeze(-1).expand(*lead, rows.shape[-1], x.shape[-1])
    return x.expand(*lead, *x.shape[-2:]).gather(-2, places)


def _check_lead(operation: str, name: str, index: Tensor, lead: Sequence[int]) -> None:
    shape, lead = tuple(index.shape), tuple(lead)
    if len(shape) <= len(lead) and (len(shape) == 1 or shape == lead):
        missing = len(lead) + 1 - len(shape)
        raise MaskShapeError(
            f"{operation}: {name} has shape {shape} for scenes with leading dimensions {lead}: it "
            "may be meant as one entity of each scene, or as the same entities of every scene. "
            f"Expected {name}[..., None], of shape {(*lead, 1)}, for the first; or "
            f"{name}[{', '.join(['None'] * missing)}], of shape {(*(1,) * missing, *shape)}, for "
            "the second."
        )
    got = shape[:-1]
    pairs = zip(reversed(got), reversed(lead), strict=False)
    if len(got) > len(lead) or any(a not in (1, b) for a, b in pairs):
        raise MaskShapeError(
            f"{operation}: {name} has shape {shape}; expected [{', '.join(map(str, lead))}"
            f"{', ' if lead else ''}Q] for a scene with leading dimensions {lead}, of size 1 "
            "where the same entities are meant. For one entity per row of the batch use [..., 1]."
        )


def _refuse(operation: str, what: str, got: int, entities: int) -> None:
    raise MaskShapeError(
        f"{operation}: {what} is {got}; expected an index from 0 to {entities - 1} "
        f"for {entities} entities."
    )

"""Which entities are asked for: an index, or several, of the entity axis.

`queries` and `observer` are both such an index: one whole number for the whole
batch, or a tensor [..., Q] of them. Checked once at the door; negative indices
are refused, because with padding "the last one" is rarely what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.errors import MaskShapeError

Index = int | Tensor
"""One entity for the whole batch, or int64 [..., Q] of them."""


def check_index(operation: str, name: str, index: Any, entities: int, lead: Sequence[int]) -> Index:
    """Return a whole number, or an int64 tensor [..., Q] that broadcasts to `lead`.

    Args:
        operation: How messages call the caller.
        name: How messages call the index.
        index: int, integer tensor without dimensions, or integer tensor [..., Q].
        entities: Number of entity slots.
        lead: Leading dimensions of the scene.

    Returns:
        An int for one entity, otherwise the tensor, with as many dimensions as `lead` and one.

    Raises:
        MaskShapeError: Not whole numbers, out of range, or leading dimensions that do not
            broadcast.
    """
    if isinstance(index, Tensor) and not (
        index.is_floating_point() or index.is_complex() or index.dtype is torch.bool
    ):
        if index.ndim == 0:
            index = int(index)
        else:
            _check_lead(operation, name, index, lead)
            if index.device.type == "cpu":  # elsewhere looking would stall; gathering checks
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
    return torch.take_along_dim(x, rows.unsqueeze(-1), -2)


def _check_lead(operation: str, name: str, index: Tensor, lead: Sequence[int]) -> None:
    got = tuple(index.shape[:-1])
    pairs = zip(reversed(got), reversed(tuple(lead)), strict=False)
    if len(got) > len(lead) or any(a not in (1, b) for a, b in pairs):
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(index.shape)}; expected [Q] or "
            f"[{', '.join(map(str, lead))}, Q] for a scene with leading dimensions {tuple(lead)}. "
            "For one entity per row of the batch use [..., 1]."
        )


def _refuse(operation: str, what: str, got: int, entities: int) -> None:
    raise MaskShapeError(
        f"{operation}: {what} is {got}; expected an index from 0 to {entities - 1} "
        f"for {entities} entities."
    )

"""Sets of different sizes, one after the other, to a padded batch of scenes and back.

Simulators and graph libraries keep scenes as `values` [n1 + n2 + ..., F] with their
`lengths` [B]; attention wants [B, E, F] with an `entity_mask`. Both directions only
move rows: gradients flow through unchanged, sets may be empty, and what stands in
padding never reaches a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.check import check_mask


def to_padded(
    values: Tensor, lengths: Tensor | Sequence[int], *, max_entities: int | None = None
) -> tuple[Tensor, Tensor]:
    """Sets that lie one after the other, as a batch in which each begins at slot 0.

    Args:
        values: [sum of lengths, ...], usually [sum of lengths, F]; of any dtype.
        lengths: Whole numbers [B]: how many rows belong to each set, 0 for an empty one.
        max_entities: Slots E of the result, so that every batch has the same shape; None: as many
            as the largest set has, at least 1.

    Returns:
        x [B, E, ...] with 0 in padding, and entity_mask bool [B, E], False = padding.

    Raises:
        MaskShapeError: The lengths are not whole numbers [B], one is negative or larger than
            `max_entities`, or their sum is not the number of rows.
        ConfigError: `max_entities` is not positive.

    Empty rows:
        An empty set is all padding.

    Example:
        >>> x, entity_mask = to_padded(torch.tensor([[1.0], [2.0], [3.0]]), [2, 0, 1])
        >>> x.squeeze(-1).tolist()
        [[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]]
        >>> entity_mask.int().tolist()
        [[1, 1], [0, 0], [1, 0]]
    """
    if values.ndim < 1:
        raise MaskShapeError(
            "to_padded: values has no dimension; expected [sum of lengths, ...], such as "
            "[sum of lengths, features]."
        )
    lengths = _whole_lengths(lengths, values.device)
    _check_lengths(lengths, values, max_entities)
    if max_entities is None:
        max_entities = max(1, int(lengths.max())) if len(lengths) else 1
    sets, rows = len(lengths), len(values)
    slots = torch.arange(max_entities, device=values.device)
    entity_mask = slots < lengths.unsqueeze(-1)
    # Row r of set b goes to slot r - (rows of the sets before b).
    of_set = torch.repeat_interleave(
        torch.arange(sets, device=values.device), lengths, output_size=rows
    )
    before = lengths.cumsum(0) - lengths
    place = torch.arange(rows, device=values.device) - before[of_set] + of_set * max_entities
    x = values.new_zeros(sets * max_entities, *values.shape[1:]).index_copy(0, place, values)
    return x.view(sets, max_entities, *values.shape[1:]), entity_mask


def from_padded(x: Tensor, entity_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The entities that are there, one after the other: `to_padded` undone.

    Args:
        x: [B, E, ...]. What padding holds, NaN included, is left behind and gets gradient 0.
        entity_mask: bool [B, E], False = padding, which may stand anywhere.

    Returns:
        values [sum of lengths, ...] in the order of their slots, and lengths int64 [B].

    Raises:
        MaskDtypeError: `entity_mask` is not boolean.
        MaskShapeError: x has no two leading dimensions, or `entity_mask` has others.

    Empty rows:
        A scene of nobody has length 0 and no values.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0]], [[9.0], [3.0]]])
        >>> values, lengths = from_padded(x, torch.tensor([[True, True], [False, True]]))
        >>> values.squeeze(-1).tolist(), lengths.tolist()
        ([1.0, 2.0, 3.0], [2, 1])
    """
    if x.ndim < 2:
        raise MaskShapeError(
            f"from_padded: x has shape {tuple(x.shape)}; expected [scenes, entities, ...]."
        )
    entity_mask = check_mask(
        "from_padded", "entity_mask", entity_mask, x.shape[:2], device=x.device, data="entities"
    ).expand(x.shape[:2])
    place = entity_mask.flatten().nonzero().squeeze(-1)
    return x.flatten(0, 1).index_select(0, place), entity_mask.sum(-1)


def _whole_lengths(lengths: Any, device: torch.device) -> Tensor:
    """Lengths as int64 [B] on the device of the values."""
    got = lengths
    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.as_tensor(lengths)
        except (TypeError, ValueError, RuntimeError):
            lengths = None
        if lengths is not None and lengths.numel() == 0:
            lengths = lengths.long()  # of an empty list torch makes floats
    whole = lengths is not None and not (
        lengths.is_floating_point() or lengths.is_complex() or lengths.dtype is torch.bool
    )
    if lengths is None or not whole or lengths.ndim != 1:
        if lengths is None:
            what = f"is {got!r:.60}"
        else:
            what = f"has dtype {lengths.dtype} and shape {tuple(lengths.shape)}"
        raise MaskShapeError(
            f"to_padded: lengths {what}; expected whole numbers [B], the size of each set."
        )
    whole_lengths: Tensor = lengths.to(device=device, dtype=torch.int64)
    return whole_lengths


def _check_lengths(lengths: Tensor, values: Tensor, max_entities: int | None) -> None:
    """Refuse sizes that do not add up: rows would go to other people's scenes."""
    given = max_entities is not None
    if given and (
        isinstance(max_entities, bool) or not isinstance(max_entities, int) or max_entities < 1
    ):
        raise ConfigError(
            f"to_padded: max_entities is {max_entities!r}; expected a positive whole number."
        )
    if bool((lengths < 0).any()):
        first = int((lengths < 0).nonzero()[0])
        raise MaskShapeError(
            f"to_padded: lengths[{first}] is {int(lengths[first])}; expected 0 or more."
        )
    if int(lengths.sum()) != len(values):
        raise MaskShapeError(
            f"to_padded: lengths add up to {int(lengths.sum())} and values has {len(values)} rows "
            f"(shape {tuple(values.shape)}); expected one row per entity."
        )
    if max_entities is not None and bool((lengths > max_entities).any()):
        first = int((lengths > max_entities).nonzero()[0])
        raise MaskShapeError(
            f"to_padded: lengths[{first}] is {int(lengths[first])} and max_entities is "
            f"{max_entities}; expected at most that many. Raise it, or leave it out for the "
            f"largest, {int(lengths.max())}."
        )

"""`CandidateSets`: sets of different sizes, laid end to end and delimited by offsets.

Row b owns the entries `offsets[b]` up to `offsets[b + 1]` of a flat tensor, as in a sparse
matrix. The sets are laid out as a padded `[B, longest]` for the kernels, and back. Both
ways are differentiable selections: an entry is copied to one place, and padding belongs
to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
)
from maskrl.functional.rows import check_logits
from maskrl.kernels.dispatch import is_traced
from maskrl.masks.check import check_mask


class CandidateSets:
    """Where each of M joined entries stands in a table `[B, longest]`.

    Args:
        operation: How messages call the caller.
        offsets: int64 `[B + 1]`, ascending from 0 to M. Read on the host, which a GPU has
            to wait for.
        entries: M.
        device: Device of the entries.

    Attributes:
        offsets: As given.
        counts: Size of every set, int64 `[B]`.
        longest: Size of the largest set, at least 1.
        present: bool `[B, longest]`, True = an entry stands here.

    Raises:
        MaskDtypeError: `offsets` is not an int64 tensor.
        MaskShapeError: It has not one dimension, or no element.
        MaskError: It does not ascend from 0 to M, or is on another device.
        ConfigError: While tracing: the width of the table depends on values.
    """

    def __init__(self, operation: str, offsets: Any, entries: int, device: torch.device) -> None:
        self.offsets = _check_offsets(operation, offsets, entries, device)
        self.counts = self.offsets.diff()
        self.longest = max(1, int(self.counts.max())) if len(self.counts) else 1
        rows = torch.arange(len(self.counts), device=device)
        of_entry = torch.repeat_interleave(rows, self.counts)
        within = torch.arange(entries, device=device) - self.offsets[of_entry]
        self._places = of_entry * self.longest + within
        self.present = torch.arange(self.longest, device=device) < self.counts.unsqueeze(-1)

    def __len__(self) -> int:
        """Number of sets B."""
        return len(self.counts)

    def padded(self, flat: Tensor) -> Tensor:
        """Lay entries `[M]` out as `[B, longest]`, with zeros or False as padding."""
        table = flat.new_zeros(len(self) * self.longest).index_copy(0, self._places, flat)
        return table.reshape(len(self), self.longest)

    def joined(self, table: Tensor) -> Tensor:
        """Take the entries `[..., M]` out of a table `[..., B, longest]`."""
        return table.flatten(-2).index_select(-1, self._places)

    def same_as(self, other: CandidateSets | None) -> bool:
        """Whether two batches of sets have the same sizes."""
        return other is not None and torch.equal(self.offsets, other.offsets)


def _check_offsets(operation: str, offsets: Any, entries: int, device: torch.device) -> Tensor:
    """Return `offsets` if it delimits sets of altogether M entries."""
    if not isinstance(offsets, Tensor) or offsets.dtype != torch.int64:
        got = f"dtype {offsets.dtype}" if isinstance(offsets, Tensor) else type(offsets).__name__
        raise MaskDtypeError(
            f"{operation}: offsets has {got}; expected an int64 tensor [B + 1], the running "
            f"total of the sizes of the sets, such as [0, 3, 5] for sets of 3 and 2."
        )
    if offsets.ndim != 1 or len(offsets) == 0:
        raise MaskShapeError(
            f"{operation}: offsets has shape {tuple(offsets.shape)}; expected [B + 1] for B sets, "
            f"which is [0] for none."
        )
    if offsets.device != device:
        raise MaskError(f"{operation}: offsets is on {offsets.device}, scores on {device}.")
    if is_traced(offsets):
        raise ConfigError(
            f"{operation}: offsets cannot be used under compile, export and vmap, where the size "
            f"of the largest set is not known; pass padded scores [B, E] with entity_mask."
        )
    first, last = int(offsets[0]), int(offsets[-1])
    if first != 0 or last != entries:
        raise MaskError(
            f"{operation}: offsets runs from {first} to {last}; expected from 0 to {entries}, the "
            f"number of scores."
        )
    falling = (offsets.diff() < 0).nonzero()
    if len(falling):
        b = int(falling[0])
        raise MaskError(
            f"{operation}: offsets[{b + 1}] is {int(offsets[b + 1])}, less than offsets[{b}], "
            f"which is {int(offsets[b])}; expected a running total that never falls."
        )
    return offsets


def lay_out(
    operation: str, scores: Any, entity_mask: Any, offsets: Any
) -> tuple[CandidateSets | None, Tensor, Tensor | None]:
    """Check scores, mask and offsets, and return what the kernels read.

    Returns:
        The sets if they are ragged, scores `[..., E]`, and bool that broadcasts to them or None.

    Raises:
        MaskDtypeError, MaskShapeError, MaskError: They do not fit each other.
    """
    if offsets is None:
        check_logits(operation, scores, "scores")
        if (
            isinstance(entity_mask, Tensor)
            and entity_mask.dtype == torch.int64
            and scores.ndim == 1
        ):
            raise MaskDtypeError(
                f"{operation}: entity_mask has dtype torch.int64; expected torch.bool with True = "
                f"may be chosen. If these are the offsets of ragged sets pass them by name: "
                f"offsets=...; if it is a mask convert it with maskrl.as_mask(entity_mask)."
            )
        if entity_mask is not None:
            entity_mask = check_mask(
                operation,
                "entity_mask",
                entity_mask,
                scores.shape,
                device=scores.device,
                data="scores",
            )
        return None, scores, entity_mask
    if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.ndim != 1:
        got = (
            f"shape {tuple(scores.shape)} and dtype {scores.dtype}"
            if isinstance(scores, Tensor)
            else type(scores).__name__
        )
        raise MaskShapeError(
            f"{operation}: scores has {got}; expected a floating point tensor [M] with offsets: "
            f"the scores of all sets, end to end."
        )
    sets = CandidateSets(operation, offsets, len(scores), scores.device)
    if entity_mask is None:
        return sets, sets.padded(scores), sets.present
    flat = check_mask(
        operation, "entity_mask", entity_mask, scores.shape, device=scores.device, data="scores"
    )
    return sets, sets.padded(scores), sets.padded(flat)


def raise_empty_set(operation: str, empty: Tensor) -> NoReturn:
    """Raise NoAllowedActionError for the first set flagged in `empty` `[B]`."""
    b = int(empty.nonzero()[0, -1])
    raise NoAllowedActionError(
        f"{operation}: offsets gives row ({b},) no candidate, offsets[{b}] and offsets[{b + 1}] "
        f"are equal ({int(empty.sum())} of {empty.numel()} sets are empty); expected at least one "
        f'in each. If a row without a choice is legitimate pass empty="idle".'
    )


def check_ragged_expansion(
    operation: str, sets: CandidateSets | None, batch_shape: Sequence[int]
) -> None:
    """Raise MaskShapeError if ragged sets would have to be repeated one by one."""
    if sets is not None and (not batch_shape or batch_shape[-1] != len(sets)):
        raise MaskShapeError(
            f"{operation}.expand: batch_shape is {tuple(batch_shape)}; expected it to end with "
            f"{len(sets)}, the number of ragged sets, because these are laid end to end."
        )

"""`CandidateSets`: sets of different sizes, laid end to end and delimited by offsets.

Row b owns the entries `offsets[b]` up to `offsets[b + 1]` of a flat tensor, as in a sparse
matrix, and so they stay wherever they can. Where they cannot they are laid out as a padded
`[B, longest]`, and back. Both ways are differentiable selections: an entry is copied to one
place, and padding belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
)
from maskrl.functional.rows import check_logits
from maskrl.kernels.dispatch import is_traced, reads_bits
from maskrl.kernels.segments import Segments
from maskrl.masks.check import check_device, check_mask, check_shape
from maskrl.masks.packed import PackedMask


class CandidateSets(Segments):
    """Sets of altogether M candidates, whose sizes differ.

    Args:
        operation: How messages call the caller.
        offsets: int64 `[B + 1]`, ascending from 0 to M. Read on the host, which a GPU has
            to wait for.
        entries: M.
        device: Device of the entries.

    Raises:
        MaskDtypeError: `offsets` is not an int64 tensor.
        MaskShapeError: It has not one dimension, or no element.
        MaskError: It does not ascend from 0 to M, or is on another device.
        ConfigError: While tracing: shapes depend on values.
    """

    def __init__(self, operation: str, offsets: Any, entries: int, device: torch.device) -> None:
        on_host = _check_offsets(operation, offsets, entries, device)
        # A copy, because kernels trust what was checked.
        kept = torch.from_numpy(on_host) if device.type == "cpu" else offsets.clone()
        super().__init__(kept, on_host)

    @cached_property
    def _places(self) -> Tensor:
        """Where each entry stands in a table `[B * longest]`."""
        return self.of_entry * self.longest + self.within

    @property
    def present(self) -> Tensor:
        """Where an entry stands in the table, bool `[B, longest]`."""
        return torch.arange(self.longest, device=self.offsets.device) < self.counts.unsqueeze(-1)

    def padded(self, flat: Tensor) -> Tensor:
        """Lay entries `[M]` out as `[B, longest]`, with zeros or False as padding."""
        table = flat.new_zeros(len(self) * self.longest).index_copy(0, self._places, flat)
        return table.reshape(len(self), self.longest)

    def joined(self, table: Tensor) -> Tensor:
        """Take the entries `[..., M]` out of a table `[..., B, longest]`."""
        return table.flatten(-2).index_select(-1, self._places)

    def same_as(self, other: CandidateSets | None) -> bool:
        """Whether two batches of sets have the same sizes."""
        return other is not None and np.array_equal(self.on_host, other.on_host)

    def own(self, flat: Tensor, row: int) -> Tensor:
        """The entries of one set, `[..., n]` of `[..., M]`."""
        return flat[..., self.on_host[row] : self.on_host[row + 1]]

    def holds(self, entity_mask: Tensor | None, actions: Tensor) -> Tensor:
        """Whether each set holds, and the mask `[M]` allows, the candidates `[..., B]`."""
        if entity_mask is None:
            return (actions >= 0) & (actions < self.counts)
        return self.at(entity_mask, actions, False)


class AllowedCandidates(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """The candidates of ragged sets; of a set that allows none, the idle action.

    Args:
        sets: The sets.
        entity_mask: bool `[M]`, or None if all are allowed.
        idle_action: The one action of a set that allows none; None if these have none.
    """

    is_discrete = True
    event_dim = 0

    def __init__(
        self, sets: CandidateSets, entity_mask: Tensor | None, idle_action: int | None = None
    ) -> None:
        self.sets = sets
        self.entity_mask = entity_mask
        self.idle_action = idle_action
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each of the values `[..., B]`, whether it may be taken."""
        whole = value % 1 == 0
        allowed = self.sets.holds(self.entity_mask, torch.where(whole, value, -1).long())
        if self.idle_action is not None:
            idle = self.sets.how_many(self.entity_mask) == 0
            allowed = allowed | (idle & (value == self.idle_action))
        return allowed

    def __repr__(self) -> str:
        """Name the rule."""
        by = "offsets" if self.entity_mask is None else "entity_mask"
        idle = "" if self.idle_action is None else f", idle_action={self.idle_action}"
        return f"AllowedCandidates(by {by}, {len(self.sets)} sets{idle})"


def _check_offsets(
    operation: str, offsets: Any, entries: int, device: torch.device
) -> npt.NDArray[np.int64]:
    """Return a copy of `offsets` on the host if it delimits sets of altogether M entries."""
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
    on_host: npt.NDArray[np.int64] = np.array(offsets.cpu().numpy(), order="C")
    first, last = int(on_host[0]), int(on_host[-1])
    if first != 0 or last != entries:
        raise MaskError(
            f"{operation}: offsets runs from {first} to {last}; expected from 0 to {entries}, the "
            f"number of scores."
        )
    falling = on_host[1:] < on_host[:-1]
    if falling.any():
        b = int(falling.argmax())
        raise MaskError(
            f"{operation}: offsets[{b + 1}] is {on_host[b + 1]}, less than offsets[{b}], "
            f"which is {on_host[b]}; expected a running total that never falls."
        )
    return on_host


def read_sets(
    operation: str, scores: Any, entity_mask: Any, offsets: Any
) -> tuple[CandidateSets | None, Tensor, Tensor | PackedMask | None]:
    """Check scores, mask and offsets, and return what they are.

    Returns:
        The sets if they are ragged; scores `[..., E]`, or `[M]` of ragged sets; and bool that
        broadcasts to them or None. A padded mask that is packed stays so where bits are read.

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
    elif not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.ndim != 1:
        got = (
            f"shape {tuple(scores.shape)} and dtype {scores.dtype}"
            if isinstance(scores, Tensor)
            else type(scores).__name__
        )
        raise MaskShapeError(
            f"{operation}: scores has {got}; expected a floating point tensor [M] with offsets: "
            f"the scores of all sets, end to end."
        )
    sets = None
    if offsets is not None:
        sets = CandidateSets(operation, offsets, len(scores), scores.device)
    if isinstance(entity_mask, PackedMask) and sets is None and reads_bits(scores):
        check_shape(operation, "entity_mask", entity_mask.shape, scores.shape, data="scores")
        check_device(operation, "entity_mask", entity_mask.device, scores.device, data="scores")
    elif entity_mask is not None:
        entity_mask = check_mask(
            operation, "entity_mask", entity_mask, scores.shape, device=scores.device, data="scores"
        )
    return sets, scores, entity_mask


def lay_out(
    operation: str, scores: Any, entity_mask: Any, offsets: Any
) -> tuple[CandidateSets | None, Tensor, Tensor | None]:
    """As `read_sets`, with ragged sets padded: scores `[B, E]` and the mask of who is there."""
    sets, scores, given = read_sets(operation, scores, entity_mask, offsets)
    mask = given.unpack() if isinstance(given, PackedMask) else given
    if sets is None:
        return sets, scores, mask
    return sets, sets.padded(scores), sets.present if mask is None else sets.padded(mask)


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

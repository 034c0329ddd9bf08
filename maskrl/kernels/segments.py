"""Ragged batches: rows of different lengths, laid end to end and delimited by offsets.

`prepare_segments` makes of such a batch what `prepare_rows` makes of rows of one length: the
same statistics `[B]`, one for each segment, while what belongs to entries is `[M]`, as flat as
the logits are. Memory goes with entries, never with the longest segment. The reference in plain
torch sums by scattering; it is differentiable twice, and the definition of the numbers.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import choose_backend
from maskrl.kernels.reference import LOG_ZERO, is_possible, statistics_dtype


class Segments:
    """Where each of B segments begins and ends in M entries.

    Args:
        offsets: int64 `[B + 1]`, ascending from 0 to M; not changed by anybody afterwards.
        on_host: The same as an array.
    """

    def __init__(self, offsets: Tensor, on_host: npt.NDArray[np.int64]) -> None:
        self.offsets = offsets
        self.on_host = on_host
        self.entries = int(on_host[-1])

    def __len__(self) -> int:
        """Number of segments B."""
        return self.on_host.size - 1

    @property
    def starts(self) -> Tensor:
        """Where each segment begins, int64 `[B]`."""
        return self.offsets[:-1]

    @cached_property
    def counts(self) -> Tensor:
        """Size of every segment, int64 `[B]`."""
        return self.offsets.diff()

    @cached_property
    def longest(self) -> int:
        """Size of the largest segment, at least 1."""
        return max(1, int((self.on_host[1:] - self.on_host[:-1]).max())) if len(self) else 1

    @cached_property
    def of_entry(self) -> Tensor:
        """Which segment each entry belongs to, int64 `[M]`."""
        rows = torch.arange(len(self), device=self.offsets.device)
        return torch.repeat_interleave(rows, self.counts, output_size=self.entries)

    @cached_property
    def within(self) -> Tensor:
        """The place of each entry in its segment, int64 `[M]`."""
        places = torch.arange(self.entries, device=self.offsets.device)
        return places - self.starts[self.of_entry]

    def sum(self, values: Tensor) -> Tensor:
        """The sum of the values `[M]` of each segment `[B]`, in float64 if they are floats."""
        dtype = torch.float64 if values.is_floating_point() else torch.int64
        zeros = torch.zeros(len(self), dtype=dtype, device=values.device)
        return zeros.index_add(0, self.of_entry, values.to(dtype))

    def largest(self, values: Tensor) -> Tensor:
        """The largest of the values `[M]` of each segment, -inf where there is none; NaN wins."""
        lowest = values.new_full((len(self),), LOG_ZERO)
        return lowest.scatter_reduce(0, self.of_entry, values, "amax")

    def first(self, flags: Tensor) -> Tensor:
        """The place of the first flag of each segment that is up, int64 `[B]`; 0 if none is."""
        beyond = torch.full_like(self.counts, self.entries)
        places = torch.where(flags, self.within, self.entries)
        found = beyond.scatter_reduce(0, self.of_entry, places, "amin")
        return torch.where(found == self.entries, 0, found)

    def last_entry(self, flags: Tensor) -> Tensor:
        """The entry, counted from the first of all, of the last flag that is up; -1 if none is."""
        entries = torch.arange(self.entries, device=flags.device)
        none = torch.full_like(self.counts, -1)
        return none.scatter_reduce(0, self.of_entry, torch.where(flags, entries, -1), "amax")

    def how_many(self, flags: Tensor | None) -> Tensor:
        """How many flags `[M]` of each segment are up, int64 `[B]`; None is all."""
        return self.counts if flags is None else self.sum(flags)

    def at(self, table: Tensor, places: Tensor, outside: float | bool) -> Tensor:
        """Entries of `[M]` at places `[..., B]` in their segments, `outside` beyond their ends."""
        inside = (places >= 0) & (places < self.counts)
        if self.entries == 0:
            return table.new_full(places.shape, outside)
        return torch.where(inside, table[torch.where(inside, self.starts + places, 0)], outside)


class ReferenceSegments:
    """Masked categorical segments in plain torch; see `maskrl.kernels.contract.Rows`.

    Args:
        logits: Floating point `[M]`.
        action_mask: bool `[M]`, or None.
        segments: What they are cut into.
        look: Whether to look at values, for which a GPU has to wait.
    """

    __slots__ = ("_action_mask", "_log_probs", "_logits", "_look", "_segments", "empty", "unsound")

    empty: Tensor | None
    unsound: Tensor | None

    def __init__(
        self, logits: Tensor, action_mask: Tensor | None, segments: Segments, *, look: bool = True
    ) -> None:
        self._look = look
        self._logits = logits
        self._action_mask = action_mask
        self._segments = segments
        dtype = statistics_dtype(logits.dtype)
        allowed = logits if action_mask is None else torch.where(action_mask, logits, LOG_ZERO)
        allowed = allowed.to(dtype)
        top = segments.largest(allowed.detach())
        empty = segments.how_many(action_mask) == 0
        unsound = ~top.isfinite() & ~empty
        # NaN for unsound segments only, and finite for empty ones: 0 times their NaN is no 0.
        base = torch.where(empty, 0.0, torch.where(unsound, math.nan, top))
        distance = allowed - base[segments.of_entry]
        total = segments.sum(distance.exp())
        log_total = torch.where(empty, 1.0, total).log().to(dtype)
        log_probs = distance - log_total[segments.of_entry]
        if action_mask is not None:
            log_probs = torch.where(action_mask, log_probs, LOG_ZERO)
        self._log_probs = log_probs
        self.empty = empty if not look or bool(empty.any()) else None
        self.unsound = unsound if not look or bool(unsound.any()) else None

    def log_probs(self) -> Tensor:
        """Log-probabilities `[M]`; a -inf one is a constant, with gradient exactly 0."""
        return torch.where(self._log_probs == LOG_ZERO, LOG_ZERO, self._log_probs)

    def probs(self) -> Tensor:
        """Probabilities `[M]`; one that is 0 by its mask or logit is a constant."""
        return torch.where(self._log_probs == LOG_ZERO, 0.0, self._log_probs.exp())

    def entropy(self) -> Tensor:
        """Entropy in nats `[B]`."""
        finite = torch.where(self._log_probs == LOG_ZERO, 0.0, self._log_probs)
        total = self._segments.sum(self._log_probs.exp() * finite)
        # Subtracted from 0 so that a certain segment gives 0 and not -0.
        return (0.0 - total).to(finite.dtype)

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probability of int64 actions `[..., B]`, places in their segments.

        -inf beyond the end of a segment, up to the length of the longest.

        Raises:
            IndexError: An action is outside of that, and may be looked at.
        """
        if self._look:
            check_places(actions, self._segments)
        picked = self._segments.at(self._log_probs, actions, LOG_ZERO)
        return torch.where(picked == LOG_ZERO, LOG_ZERO, picked)

    def sample(self, uniform: Tensor) -> Tensor:
        """Actions of float64 uniforms `[..., B]` by inverse CDF, one for all segments together.

        The index is the first whose cumulative sum exceeds the target, at most the last
        possible one of its segment; see `maskrl.kernels.reference.sample`.
        """
        segments = self._segments
        probs = self._log_probs.detach().exp().to(torch.float64)
        can_be = probs > 0  # not NaN, which would spoil the sum of all that follow
        cdf = torch.where(can_be, probs, 0.0).cumsum(0)
        if cdf.device.type != "cpu":
            cdf = growing(cdf, can_be)
        sums = torch.cat([cdf.new_zeros(1), cdf])
        before, end = sums[segments.starts], sums[segments.offsets[1:]]
        targets = (before + uniform * (end - before)).contiguous()
        found = torch.searchsorted(cdf, targets, right=True)
        last = segments.last_entry(can_be)
        return (torch.minimum(found, last) - segments.starts).clamp(min=0)

    def argmax(self) -> Tensor:
        """A most probable action `[B]`, compared by logits: these are not rounded."""
        logits = self._logits.detach()
        if self._action_mask is not None:
            logits = torch.where(self._action_mask, logits, LOG_ZERO)
        top = self._segments.largest(logits)
        return self._segments.first(logits == top[self._segments.of_entry])

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether no log-probability is -inf."""
        return is_possible(log_probs)


def growing(cdf: Tensor, can_be: Tensor) -> Tensor:
    """A cumulative sum `[M]` that grows at possible entries only; a parallel scan's need not."""
    return torch.where(can_be, cdf, -1.0).cummax(0).values.clamp(min=0.0)


def prepare_segments(
    logits: Tensor, action_mask: Tensor | None, segments: Segments, *, look: bool = True
) -> Rows:
    """Prepare masked categorical segments with the backend that serves them.

    Args:
        logits: Floating point `[M]`.
        action_mask: bool `[M]`; None allows all.
        segments: What they are cut into.
        look: Whether values may steer control flow.
    """
    if choose_backend(logits, action_mask).name != "fused":
        return ReferenceSegments(logits, action_mask, segments, look=look)
    # Here, because Numba is not loaded before segments are fused.
    from maskrl.kernels.fused.segments import FusedSegments

    return FusedSegments(logits, action_mask, segments)


def divergence_of_segments(p: Rows, q: Rows, segments: Segments) -> Tensor:
    """KL(p, q) in nats `[B]` of two batches with the same segments; see `kl_of_rows`."""
    if not isinstance(p, ReferenceSegments):
        from maskrl.kernels.fused.pairs import fused_divergence

        divergence = fused_divergence(p, q)
        if divergence is not None:
            return divergence
    return kl_of_segments(p.log_probs(), q.log_probs(), segments)


def kl_of_segments(log_p: Tensor, log_q: Tensor, segments: Segments) -> Tensor:
    """KL(p, q) in nats `[B]` of segments of log-probabilities `[M]`; see `kl_of_rows`."""
    possible = log_p != LOG_ZERO
    shared = possible & (log_q != LOG_ZERO)
    beyond = segments.sum(possible & ~shared) > 0
    one_sided = (segments.sum(possible) == 0) & (segments.sum(log_q != LOG_ZERO) > 0)
    # Finite operands first, because a gradient of 0 times inf is NaN even where not selected.
    ratio = torch.where(possible, log_p, 0.0) - torch.where(shared, log_q, 0.0)
    total = segments.sum(torch.where(possible, log_p.exp() * ratio, 0.0)).to(log_p.dtype)
    return torch.where((beyond | one_sided) & ~total.isnan(), math.inf, total)


def check_places(actions: Tensor, segments: Segments) -> None:
    """Raise IndexError if an action is below 0 or not below the size of the longest segment."""
    if bool(((actions < 0) | (actions >= segments.longest)).any()):
        raise IndexError("an action is not one of those that there are")

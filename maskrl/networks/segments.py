"""Sequences cut where episodes begin: the order in which a recurrent network runs through them.

A sequence of L steps may hold the end of one episode and the beginning of the next. Between
the two nothing is remembered, so they can run side by side, which leaves fewer steps after one
another. Steps that are not valid are in no segment: nothing ever reads them. The plan is made
of whole numbers alone and serves every network that runs over the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Segments:
    """R valid steps of B sequences in S segments, the longest first.

    Attributes:
        rows: `[R]` int64: the row of every step, in the order of running: first the first step
            of every segment, then the second of those that have one, ... None where that is
            the order in which the rows come.
        back: `[R]` int64: where each row is in that order; None likewise.
        sizes: How many segments have a first step, a second, ...
        column: `[S]` int64: the sequence that each segment is of; None where segments are
            sequences.
        fresh: `[S]` bool: segments that begin with nothing remembered; None if none does.
        last: `[B]` int64: the last segment of each sequence, `S + b` for a sequence without a
            valid step; None where segments are sequences.
        sequences: B, how many there are.
    """

    rows: Tensor | None
    back: Tensor | None
    sizes: tuple[int, ...]
    column: Tensor | None
    fresh: Tensor | None
    last: Tensor | None
    sequences: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(self.sizes)


def segments_of(
    episode_start: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Segments:
    """The segments of B sequences of L steps.

    Rows are the valid steps, counted step after step: row `l * B + b` is step `l` of sequence
    `b` where all are valid.

    Args:
        episode_start: `[L, B]` bool: steps before which everything is forgotten. Not read
            where a step is not valid.
        valid: `[L, B]` bool; None where all steps are.
        device: Where the tensors go.
    """
    length, batch = episode_start.shape
    if valid is None and not episode_start[1:].any():
        start = episode_start[0] if length else np.zeros(0, np.bool_)
        fresh = torch.from_numpy(start.copy()).to(device) if start.any() else None
        return Segments(None, None, (batch,) * length if batch else (), None, fresh, None, batch)
    # Sequence after sequence, each in order.
    is_valid = np.ones((batch, length), np.bool_) if valid is None else valid.T
    column, step = np.nonzero(is_valid)
    starts = episode_start.T[is_valid]
    begins = starts.copy()
    begins[:1] = True
    begins[1:] |= column[1:] != column[:-1]
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(column))
    order = np.argsort(-lengths, kind="stable")
    first, lengths = first[order], lengths[order]
    longest = int(lengths[0]) if len(lengths) else 0
    sizes = len(lengths) - np.cumsum(np.bincount(lengths, minlength=longest + 1))[:longest]
    depth = np.repeat(np.arange(longest), sizes)
    within = np.arange(len(column)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    running = first[within] + depth
    rows = step[running] * batch + column[running]
    if valid is not None:
        rows = (np.cumsum(valid.reshape(-1).astype(np.int64)) - 1)[rows]
    back = np.empty(len(rows), np.int64)
    back[rows] = np.arange(len(rows))
    last = len(lengths) + np.arange(batch)
    of = column[first]
    # Later segments of a sequence begin later; of equals the last assignment stays.
    by_begin = np.argsort(first, kind="stable")
    last[of[by_begin]] = by_begin
    begins_anew = starts[first]

    def there(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return Segments(
        there(rows),
        there(back),
        tuple(sizes.tolist()),
        there(of),
        there(begins_anew) if begins_anew.any() else None,
        there(last),
        batch,
    )

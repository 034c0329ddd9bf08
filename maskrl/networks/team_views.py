"""What each observer sees of a scene, gathered: small scenes in place of masked large ones.

Under an `observer_view` an observer's row depends on what it sees and on nothing else, and there
everybody may attend to everybody. So the encoder runs on that alone: the numbers are the same, and
the work goes with what is seen. Observers who see about as much are put together, so that little
is padding. How much others see must not show in an observer's digits, so arithmetic that rounds by
the size of its group gets groups that follow from the observer's own number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIZES = (4, 8, 12, 16, 24, 32)
"""Numbers of entities in a group; above them multiples of `STEP`."""

STEP = 16

WORTH_A_GROUP = 256
"""Rows of padding that cost about as much as another group: 0.15 ms of calls, one thread."""


class Views(NamedTuple):
    """Who is seen by R observers of about the same sight, at most K each.

    Attributes:
        which: int64 `[R]`, which of the observers they are, ascending; None for all of them.
        entity: int64 `[R, K]`, entities of the scene: the observer, then whom it sees, then the
            observer again where there is padding.
        present: bool `[R, K]`, False = padding; the observer itself is present.
    """

    which: Tensor | None
    entity: Tensor
    present: Tensor

    def at(self, rows: Tensor) -> Views:
        """Some of them: those at the places `rows`."""
        which = None if self.which is None else self.which[rows]
        return Views(which, self.entity[rows], self.present[rows])


def views_of(
    seen: Tensor, observer: Tensor, *, by_own_size: bool = False, worth_a_group: int = WORTH_A_GROUP
) -> list[Views]:
    """Gather what observers see.

    Args:
        seen: bool `[R, E]`, whom each sees; itself or not is the same.
        observer: int64 `[R]`, which entity each is.
        by_own_size: Let the K of a row follow from how many entities it sees, and from nothing
            about others: the next of `SIZES`. Otherwise groups are as large as they are worth.
        worth_a_group: Rows of padding that a group of its own must save.

    Returns:
        Groups that hold each observer once; none for no observer.

    Example:
        >>> seen = torch.tensor([[True, False, True, True], [False, False, False, False]])
        >>> views_of(seen, torch.tensor([2, 1]))[0].entity.tolist()
        [[2, 0, 3], [1, 1, 1]]
    """
    if not len(seen):
        return []
    others = seen.scatter(1, observer.unsqueeze(1), False)
    row, entity = others.nonzero(as_tuple=True)
    counts = torch.bincount(row, minlength=len(seen))
    first = counts.cumsum(0) - counts
    groups = _groups(counts + 1, by_own_size, worth_a_group)
    if len(groups) == 1:
        place = torch.arange(len(row), device=seen.device) - first[row]
        return [_gathered(None, groups[0][0], counts, observer, row, place, entity)]
    views = []
    for size, which in groups:
        own = counts[which]
        row = torch.repeat_interleave(torch.arange(len(which), device=seen.device), own)
        place = torch.arange(len(row), device=seen.device) - (own.cumsum(0) - own)[row]
        at = first[which][row] + place
        views.append(_gathered(which, size, own, observer[which], row, place, entity[at]))
    return views


def _gathered(
    which: Tensor | None,
    size: int,
    counts: Tensor,
    observer: Tensor,
    row: Tensor,
    place: Tensor,
    entity: Tensor,
) -> Views:
    """The views of one group from the list of others that its rows see."""
    index = observer.unsqueeze(1).repeat(1, size)
    index[row, place + 1] = entity
    slots = torch.arange(size, device=observer.device)
    return Views(which, index, slots <= counts.unsqueeze(1))


def _groups(sizes: Tensor, by_own_size: bool, worth_a_group: int) -> list[tuple[int, Tensor]]:
    """Rows `[R]` of a size each, put together: a size for all of a group, and its rows."""
    largest = int(sizes.max())
    edges = [*SIZES, *range(SIZES[-1] + STEP, largest + STEP, STEP)]
    edges = edges[: 1 + next(i for i, edge in enumerate(edges) if edge >= largest)]
    bucket = torch.searchsorted(torch.tensor(edges, device=sizes.device), sizes)
    rows = torch.bincount(bucket, minlength=len(edges)).tolist()
    if not by_own_size:
        edges[-1] = largest
    group_of: list[int] = []
    made: list[tuple[int, int]] = []
    held = 0
    for i, (size, count) in enumerate(zip(edges, rows, strict=True)):
        group_of.append(len(made))
        held += count
        last = i == len(edges) - 1
        padding = 0 if last else held * (edges[i + 1] - size)
        if last or by_own_size or padding > worth_a_group:
            made.append((size, held))
            held = 0
    here = [(group, size) for group, (size, held) in enumerate(made) if held]
    if len(here) == 1:
        return [(here[0][1], torch.arange(len(sizes), device=sizes.device))]
    of_row = torch.tensor(group_of, device=sizes.device)[bucket]
    return [(size, (of_row == group).nonzero().flatten()) for group, size in here]


def rows_of(x: Tensor, row: Tensor, index: Tensor) -> Tensor:
    """What scenes hold for some entities: x `[B, E, ...]` at `index` `[R, K]` of entries `row`.

    Returns:
        `[R, K, ...]`.
    """
    flat = row.unsqueeze(1) * x.shape[1] + index
    return x.flatten(0, 1).index_select(0, flat.flatten()).view(*index.shape, *x.shape[2:])

"""One path through the sets: pick after pick, sampled, taught, or the best of all.

Sampling and scoring are the same walk with another way of choosing, so that an action has
the same log-probability to the bit wherever it comes from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from maskrl.distributions.pointer.offers import Offers
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO


@dataclasses.dataclass(frozen=True)
class Path:
    """What was picked on the way.

    Attributes:
        columns: int64 `[..., picks]`, END is column E.
        log_probs: Log-probability `[..., picks]` of every pick.
        rows: What there was to choose from.
    """

    columns: Tensor
    log_probs: Tensor
    rows: list[Rows]

    def entropies(self) -> Tensor:
        """Entropy `[..., picks]` of every pick, given those before it."""
        shape = self.columns.shape[:-1]
        return torch.stack([rows.entropy().expand(shape) for rows in self.rows], -1)


def walk(
    offers: Offers, choose: Callable[[int, Rows], Tensor], *, look: bool, refuse: bool
) -> Path:
    """Pick after pick.

    Args:
        offers: Scores and rules.
        choose: Which column `[..., *batch]` pick t takes, given its rows `[..., *batch, E + 1]`.
        look: Whether values may steer control flow for speed.
        refuse: Whether scores that cannot be used raise; while tracing nothing can raise, and
            the first allowed column is taken instead.

    Raises:
        NonFiniteLogitsError: As `refuse` says.
    """
    picked, ended = nothing_picked(offers)
    every = torch.arange(offers.candidates, device=picked.device)
    traced = is_traced(picked)
    columns, log_probs, steps = [], [], []
    for t in range(offers.picks):
        logits, allowed = offers.at(picked, ended, t)
        rows = prepare_rows(logits, allowed, look=look)
        column = choose(t, rows)
        if refuse and rows.unsound is not None:
            if traced:
                first = allowed.to(torch.uint8).argmax(-1)
                column = torch.where(rows.unsound, first, column)
            elif bool(rows.unsound.any()):
                index = tuple(int(i) for i in rows.unsound.nonzero()[0])
                row = index[len(index) - len(offers.batch) :]
                offers.raise_in_row(logits[index], allowed[index], row, t)
        columns.append(column)
        log_probs.append(rows.chosen(column))
        steps.append(rows)
        picked = picked | (column.unsqueeze(-1) == every)
        ended = ended | (column == offers.candidates)
    return Path(torch.stack(columns, -1), torch.stack(log_probs, -1), steps)


def apart(of_picks: Tensor) -> tuple[Tensor, ...]:
    """What belongs to each pick `[...]`, given `[..., picks]`; each lies together, for kernels."""
    return of_picks.movedim(-1, 0).contiguous().unbind()


def nothing_picked(offers: Offers) -> tuple[Tensor, Tensor]:
    """The empty set `[*batch, E]`, and that END was not chosen `[*batch]`."""
    none = torch.zeros(offers.mask.shape, dtype=torch.bool, device=offers.mask.device)
    return none, none.any(-1)


def best_path(offers: Offers, *, look: bool) -> Tensor:
    """Columns `[*batch, picks]` of a most probable sequence, if scores depend on nothing.

    Among the sequences of m picks the one by falling score is best: it has the largest
    scores as numerators, and takes the most out of every denominator before it is its turn.
    So there is one for each length to compare.
    """
    logits, allowed = offers.at(*nothing_picked(offers), 0)
    scores = torch.where(allowed, logits, LOG_ZERO)[..., :-1]
    falling = torch.sort(scores, dim=-1, descending=True, stable=True).indices
    # Allowed scores of -inf come before what is disallowed.
    late = (~allowed[..., :-1]).gather(-1, falling).to(torch.uint8)
    falling = falling.gather(-1, torch.sort(late, dim=-1, stable=True).indices)
    steps = torch.arange(offers.picks, device=falling.device)
    some_left = steps < offers.mask.sum(-1, keepdim=True)
    longest = torch.where(
        some_left, falling[..., steps.clamp(max=offers.candidates - 1)], offers.candidates
    )
    of_picks = apart(longest)
    to_end: list[Tensor] = []

    def follow(t: int, rows: Rows) -> Tensor:
        column = of_picks[t]
        to_end.append(rows.chosen(torch.full_like(column, offers.candidates)))
        return column

    taken = walk(offers, follow, look=look, refuse=False).log_probs
    none = torch.zeros_like(taken[..., :1])
    ends = torch.cat([torch.stack(to_end, -1), none], -1)
    total = torch.cat([none, taken.cumsum(-1)], -1) + ends
    # The largest may be NaN, in rows that cannot be used: that length is legal at least.
    length = torch.where(ends == LOG_ZERO, LOG_ZERO, total).argmax(-1, keepdim=True)
    return torch.where(steps < length, longest, offers.candidates)

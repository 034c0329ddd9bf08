"""Exact statistics of picks without replacement, by recursion over sets.

What may come next depends on the set picked so far, so all orders that lead to a set are
one state, and going through the sets by size visits every sequence at once. Sums over
sequences become sums over sets, weighted by the probability of reaching each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from maskrl.distributions.pointer.offers import Offers
from maskrl.distributions.pointer.subsets import Level, count_sets, set_levels
from maskrl.errors import ConfigError
from maskrl.functional.divergence import divergence_between
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import is_traced, prepare_rows
from maskrl.kernels.reference import LOG_ZERO


def order_candidates(entity_mask: Tensor) -> Tensor:
    """Columns of the candidates of every row, int64 `[*batch, n]`, n the most of any row.

    Rows with fewer are filled with columns that are not allowed. While tracing all columns
    are taken.
    """
    candidates = entity_mask.shape[-1]
    columns = torch.arange(candidates, device=entity_mask.device).expand(entity_mask.shape)
    if is_traced(entity_mask):
        return columns
    n = max(1, int(entity_mask.sum(-1).max())) if entity_mask.numel() else 1
    if n == candidates:
        return columns
    return torch.sort((~entity_mask).to(torch.uint8), dim=-1, stable=True).indices[..., :n]


def enumerable(
    offers: Offers, most: int, asker: str, instead: str, entity_mask: Tensor | None = None
) -> Tensor:
    """`order_candidates` of a mask, if there are at most so many sets of them.

    Raises:
        ConfigError: There are more; `instead` says what to do.
    """
    order = order_candidates(offers.mask if entity_mask is None else entity_mask)
    n = order.shape[-1]
    sets = count_sets(n, offers.picks)
    if sets > most:
        raise ConfigError(
            f"{offers.operation}.{asker}: there are {sets:,} sets of up to {min(n, offers.picks)} "
            f"of {n} candidates, max_enumeration is {most:,}. {instead}"
        )
    return order


def entropies(offers: Offers, order: Tensor, *, look: bool, refuse: bool) -> Tensor:
    """Expected entropy of every pick `[*batch, picks]`; their sum is that of the sequence."""
    terms = []
    for _, reach, possible, rows in _visit(offers, order, look=look, refuse=refuse):
        terms.append(torch.where(possible, reach * rows.entropy(), 0.0).sum(-1))
    # When nobody is left, END is sure.
    terms += [torch.zeros_like(terms[0])] * (offers.picks - len(terms))
    return torch.stack(terms, -1)


def divergences(p: Offers, q: Offers, order: Tensor, *, look: bool) -> Tensor:
    """KL(p, q) in nats `[*batch]`, +inf where p reaches a pick that q does not allow.

    Args:
        p: Who picks.
        q: Who is compared.
        order: The candidates of either: whom only q may pick stays in its denominator.
        look: Whether values may steer control flow.
    """
    terms, beyond = [], []
    for level, reach, possible, ours in _visit(p, order, look=look, refuse=False):
        theirs = _rows(q, order, level, possible, look=look, refuse=False)
        divergence = divergence_between(ours, theirs)
        infinite = divergence == math.inf
        beyond.append((infinite & possible).any(-1))
        # Apart, because the reach of a set would get an infinite gradient.
        finite = torch.where(possible & ~infinite, divergence, 0.0)
        terms.append((reach * finite).sum(-1))
    total = torch.stack(terms, -1).sum(-1)
    return torch.where(torch.stack(beyond, -1).any(-1) & ~total.isnan(), math.inf, total)


def most_probable(offers: Offers, order: Tensor) -> Tensor:
    """Columns `[*batch, picks]` of a most probable sequence; END is column E."""
    n = order.shape[-1]
    visited = list(_visit(offers, order, look=True, refuse=True))
    best: list[Tensor] = []
    following: Tensor | None = None
    for level, _, _, rows in reversed(visited):
        log_probs = rows.log_probs()
        onward = log_probs[..., :n]
        if following is not None:
            onward = onward + following[..., level.departures]
        following, choice = torch.cat([onward, log_probs[..., n:]], -1).max(-1)
        best.insert(0, choice)
    column_of = torch.cat([order, torch.full_like(order[..., :1], offers.candidates)], -1)
    at = torch.zeros_like(order[..., :1])
    ended = torch.zeros_like(at, dtype=torch.bool)
    columns = []
    for choices, (level, *_) in zip(best, visited, strict=True):
        choice = torch.where(ended, n, choices.gather(-1, at))
        columns.append(column_of.gather(-1, choice))
        ended = choice == n
        at = level.departures.flatten()[at * n + torch.where(ended, 0, choice)]
    columns += [torch.full_like(at, offers.candidates)] * (offers.picks - len(columns))
    return torch.cat(columns, -1)


def _visit(
    offers: Offers, order: Tensor, *, look: bool, refuse: bool
) -> Iterator[tuple[Level, Tensor, Tensor, Rows]]:
    """Go through the sets by size, up to those after which no pick is left to make.

    Yields, for the C sets of a size: their tables; the probability `[*batch, C]` of passing
    through each; whether that is possible at all, which a probability rounded to 0 does not
    tell; and the rows `[*batch, C, n + 1]` of the next pick.
    """
    n = order.shape[-1]
    levels = set_levels(n, offers.picks - 1, order.device)
    possible = torch.ones_like(order[..., :1], dtype=torch.bool)
    reach: Tensor | None = None
    for k in range(min(n, offers.picks)):
        rows = _rows(offers, order, levels[k], possible, look=look, refuse=refuse)
        log_probs = rows.log_probs()[..., :n]
        if reach is None:
            reach = torch.ones_like(log_probs[..., 0])
        yield levels[k], reach, possible, rows
        if k + 1 == min(n, offers.picks):
            return
        arrivals = levels[k + 1].arrivals
        flow = reach.unsqueeze(-1) * rows.probs()[..., :n]
        reach = flow.flatten(-2)[..., arrivals].sum(-1)
        can = possible.unsqueeze(-1) & (log_probs != LOG_ZERO)
        possible = can.flatten(-2)[..., arrivals].any(-1)


def _rows(
    offers: Offers, order: Tensor, level: Level, possible: Tensor, *, look: bool, refuse: bool
) -> Rows:
    """Rows of the next pick after each set of a level."""
    logits, allowed = offers.among(order, level.members, possible, level.size)
    rows = prepare_rows(logits, allowed, look=look)
    if refuse and rows.unsound is not None:
        met = rows.unsound & possible
        if bool(met.any()):
            index = tuple(int(i) for i in met.nonzero()[0])
            offers.raise_in_row(logits[index], allowed[index], index[:-1], level.size)
    return rows

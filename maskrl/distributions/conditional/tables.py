"""`PrefixTables`: exact statistics of a conditional action by recursion over its prefixes.

With P(prefix) the probability that the earlier choices a head depends on are these, the
entropy is the sum over heads of the sum over prefixes of P(prefix) times the head's
entropy there, and the marginals and the KL divergence are sums of the same form (the
chain rule). A prefix that the masks rule out is an empty row and enters no arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from maskrl.distributions.conditional.heads import ConditionalHeads
from maskrl.distributions.conditional.plan import (
    Over,
    align,
    anywhere,
    reduce_to,
    total,
)
from maskrl.functional.divergence import divergence_between
from maskrl.kernels.contract import Rows
from maskrl.kernels.dispatch import prepare_rows
from maskrl.kernels.reference import LOG_ZERO, statistics_dtype

MOST_DOUBLINGS = 1000
"""Numbers of actions up to two to this power are counted as they are."""


class PrefixTables:
    """Tables over the prefixes of a conditional action, computed as they are asked for.

    Args:
        heads: Masks and logits.
        idle_action: The choice of a head that counts and allows nothing.
        look: Whether values may steer control flow; False while tracing.
    """

    def __init__(self, heads: ConditionalHeads, *, idle_action: int, look: bool) -> None:
        self.heads = heads
        self.plan = heads.plan
        self.batch = heads.batch
        self.idle_action = idle_action
        self.look = look
        # Not functools.cached_property, whose lock cannot be compiled.
        self._open: list[tuple[Tensor, Tensor]] | None = None
        self._rows: list[Rows] | None = None
        self._weights: list[Tensor] | None = None

    # What the masks alone say.

    @property
    def reached(self) -> list[Tensor]:
        """Per head, where the masks lead to a prefix in which it counts: bool over `rows[k]`."""
        return [reached for reached, _ in self._opened()]

    @property
    def allowed(self) -> list[Tensor]:
        """Per head, what is allowed in reachable prefixes: bool `[over rows[k], *batch, n]`."""
        return [allowed for _, allowed in self._opened()]

    @property
    def empty(self) -> list[Tensor]:
        """Per head, where it counts and allows nothing: bool over `rows[k]` and the batch."""
        return [reached & ~allowed.any(-1) for reached, allowed in self._opened()]

    def _opened(self) -> list[tuple[Tensor, Tensor]]:
        if self._open is None:
            self._open = self._open_heads()
        return self._open

    def _open_heads(self) -> list[tuple[Tensor, Tensor]]:
        plan, heads = self.plan, self.heads
        found = []
        state = torch.ones(self.batch, dtype=torch.bool, device=heads.device)
        for k, size in enumerate(heads.tree.nvec):
            reached = self._where_counting(
                k, reduce_to(state, plan.before(k), plan.deps[k], anywhere)
            )
            reached = reduce_to(reached, plan.deps[k], plan.rows[k], anywhere)
            mask = heads.mask_along(k, heads.prefixes(k))
            allowed = reached.unsqueeze(-1).expand(*reached.shape, size)
            allowed = allowed if mask is None else allowed & mask
            found.append((reached, allowed))
            possible = allowed
            if plan.is_asked_for(k):
                idle = (reached & ~allowed.any(-1)).unsqueeze(-1) & self._idle_choice(size)
                possible = allowed | idle
            state = self._advance(k, state, possible, True, False, anywhere)
        return found

    def _where_counting(self, k: int, table: Tensor) -> Tensor:
        """Set a table over `deps[k]` to 0 where head k does not count."""
        counts = self.plan.counts(k, table.device)
        if counts is None:
            return table
        counts = counts.reshape([*counts.shape, *[1] * (table.ndim - counts.ndim)])
        return torch.where(counts, table, torch.zeros((), dtype=table.dtype, device=table.device))

    def _idle_choice(self, size: int) -> Tensor:
        return torch.arange(size, device=self.heads.device) == self.idle_action

    def _advance(
        self,
        k: int,
        state: Tensor,
        chances: Tensor,
        present: float,
        absent: float,
        combine: Callable[[Tensor, list[int]], Tensor],
    ) -> Tensor:
        """Take head k's choice into the state if it is asked for, and forget who no longer is."""
        plan = self.plan
        over = plan.before(k)
        if plan.is_asked_for(k):
            choice = plan.with_choice(k, chances, present, absent)
            over = (*over, k)
            choice = align(choice, (*plan.deps[k], k), over)
            before = align(state, plan.before(k), over)
            state = before & choice if state.dtype == torch.bool else before * choice
        return reduce_to(state, over, plan.kept[k], combine)

    def legal_actions(self) -> Tensor:
        """How many joint actions the masks allow, float64 `[*batch]`; inf beyond its range.

        A head that does not count, or is idle, has one way to be.
        """
        count, doublings = self._count_legal()
        return count if doublings is None else count * torch.exp2(doublings)

    def log_legal_actions(self) -> Tensor:
        """Log of `legal_actions`, float64 `[*batch]`; finite for any number."""
        count, doublings = self._count_legal()
        return count.log() if doublings is None else count.log() + doublings * math.log(2)

    def _count_legal(self) -> tuple[Tensor, Tensor | None]:
        """The number, and how often it must be doubled where it could leave the range."""
        plan = self.plan
        doublings: Tensor | None = None
        if sum(math.log2(size) for size in self.heads.tree.nvec) > MOST_DOUBLINGS:
            doublings = torch.zeros(self.batch, dtype=torch.float64, device=self.heads.device)
        state = torch.ones(self.batch, dtype=torch.float64, device=self.heads.device)
        for k, size in enumerate(self.heads.tree.nvec):
            possible = self.allowed[k] | (self.empty[k].unsqueeze(-1) & self._idle_choice(size))
            if not plan.is_asked_for(k):
                ways = align(possible.sum(-1).to(torch.float64), plan.rows[k], plan.deps[k])
                ways = self._where_counting(k, ways) + self._where_not_counting(k, ways)
                state = state * align(ways, plan.deps[k], plan.before(k))
            state = self._advance(k, state, possible.to(torch.float64), 1.0, 0.0, total)
            if doublings is not None:
                axes = tuple(range(len(plan.kept[k])))
                largest = state.amax(axes) if axes else state
                halved = torch.frexp(largest).exponent.to(torch.float64)
                state, doublings = state * torch.exp2(-halved), doublings + halved
        return state, doublings

    def _where_not_counting(self, k: int, table: Tensor) -> Tensor:
        """1 where head k does not count, else 0."""
        counts = self.plan.counts(k, table.device)
        if counts is None:
            return torch.zeros((), dtype=table.dtype, device=table.device)
        return (~counts).to(table.dtype).reshape([*counts.shape, *[1] * len(self.batch)])

    # What the logits add.

    @property
    def rows(self) -> list[Rows]:
        """Per head, masked rows over `rows[k]` and the batch; unreachable ones are empty."""
        if self._rows is None:
            self._rows = [self._rows_of(k) for k in range(len(self.heads.tree.nvec))]
        return self._rows

    def logits(self, k: int) -> Tensor:
        """Logits of head k in the shape of `allowed[k]`."""
        return self.heads.logits_along(k, self.heads.prefixes(k)).expand(self.allowed[k].shape)

    def _rows_of(self, k: int) -> Rows:
        # The graph is recorded even inside no_grad, because a later statistic must still
        # reach the logits.
        with torch.enable_grad():
            return prepare_rows(self.logits(k), self.allowed[k], look=self.look)

    def _chances(self, k: int) -> Tensor:
        """Probabilities of head k's choices, idle rows certain of the idle one."""
        probs = self.rows[k].probs()
        if self.look and not bool(self.empty[k].any()):
            return probs
        idle = self._idle_choice(probs.shape[-1]).to(probs.dtype)
        return torch.where(self.empty[k].unsqueeze(-1), idle, probs)

    @property
    def weights(self) -> list[Tensor]:
        """Per head, the probability that it counts with these choices before: over `rows[k]`."""
        if self._weights is None:
            self._weights = self._weigh()
        return self._weights

    def _weigh(self) -> list[Tensor]:
        plan = self.plan
        found = []
        dtype = statistics_dtype(self.heads.dtype)
        with torch.enable_grad():
            state = torch.ones(self.batch, dtype=dtype, device=self.heads.device)
            for k in range(len(self.heads.tree.nvec)):
                weight = reduce_to(state, plan.before(k), plan.deps[k], total)
                weight = self._where_counting(k, weight)
                found.append(reduce_to(weight, plan.deps[k], plan.rows[k], total))
                chances = self._chances(k) if plan.is_asked_for(k) else state
                state = self._advance(k, state, chances, 1.0, 0.0, total)
        return found

    def expected(self, k: int, table: Tensor) -> Tensor:
        """Expectation of a table over `rows[k]` (and further trailing dimensions)."""
        weight = self.weights[k]
        weight = weight.reshape([*weight.shape, *[1] * (table.ndim - weight.ndim)])
        return reduce_to(weight * table, self.plan.rows[k], (), total)

    def entropies(self) -> list[Tensor]:
        """Per head its expected entropy in nats `[*batch]`; they sum to the joint entropy."""
        return [self.expected(k, rows.entropy()) for k, rows in enumerate(self.rows)]

    def marginals(self) -> list[Tensor]:
        """Per head the probability that it counts and makes each choice: `[*batch, n]`."""
        return [self.expected(k, rows.probs()) for k, rows in enumerate(self.rows)]

    def divergences(self, others: PrefixTables) -> list[Tensor]:
        """Per head the expected KL divergence from another action of the same plan `[*batch]`."""
        parts = []
        for k, (rows, other) in enumerate(zip(self.rows, others.rows, strict=True)):
            divergence = divergence_between(rows, other)
            # A prefix that p cannot take costs nothing, and one that only q cannot costs all.
            relevant = self.reached[k] & (self.weights[k] != 0)
            beyond = relevant & (divergence == math.inf)
            finite = self.expected(k, torch.where(relevant & ~beyond, divergence, 0.0))
            without = reduce_to(beyond, self.plan.rows[k], (), anywhere)
            parts.append(torch.where(without & ~finite.isnan(), math.inf, finite))
        return parts

    def most_probable(self) -> Tensor:
        """A most probable joint action, int64 `[*batch, K]`, by maximising head after head."""
        plan, tree = self.plan, self.heads.tree
        best: dict[int, tuple[Over, Tensor]] = {}
        forgotten: list[int] = []
        state = torch.zeros(self.batch, dtype=torch.float64, device=self.heads.device)
        for k, size in enumerate(tree.nvec):
            scores = self.rows[k].log_probs().to(torch.float64)
            idle = torch.where(self._idle_choice(size), 0.0, LOG_ZERO).to(scores.dtype)
            scores = torch.where(self.empty[k].unsqueeze(-1), idle, scores)
            over = plan.before(k)
            if plan.is_asked_for(k):
                table = plan.with_choice(k, scores, 0.0, LOG_ZERO)
                over = (*over, k)
                state = align(state, plan.before(k), over) + align(table, (*plan.deps[k], k), over)
            else:
                score, choice = scores.max(-1)
                best[k] = plan.rows[k], choice
                # Nothing is chosen in an unreachable prefix, whose state is -inf already.
                score = torch.where(self.reached[k], score, 0.0)
                score = self._where_counting(k, align(score, plan.rows[k], plan.deps[k]))
                state = state + align(score, plan.deps[k], over)
            for j in [j for j in over if j not in plan.kept[k]]:
                state, choice = state.max(over.index(j))
                over = tuple(i for i in over if i != j)
                best[j] = over, choice
                forgotten.append(j)
        # Those forgotten last depend on nobody; each earlier one on some forgotten after it.
        others = [k for k in range(len(tree.nvec)) if k not in forgotten]
        states: dict[int, Tensor] = {}
        for j in [*reversed(forgotten), *others]:
            over, choice = best[j]
            states[j] = take(choice, [states[i] for i in over], len(over))
        action = torch.stack([states[k] for k in range(len(tree.nvec))], -1)
        return self.heads.canonical(action)


def take(table: Tensor, states: list[Tensor], axes: int) -> Tensor:
    """From `[s1, ..., sm, *batch]` the entry at the m states `[*batch]`."""
    if axes == 0:
        return table
    flat = torch.zeros_like(states[0])
    for size, state in zip(table.shape[:axes], states, strict=True):
        flat = flat * size + state
    return table.flatten(0, axes - 1).gather(0, flat.unsqueeze(0)).squeeze(0)

"""`PrefixPlan`: which prefixes of a conditional action have to be told apart, and how long.

A head depends on a few earlier choices. Going through the heads in order, only those that
a later head asks for are kept, which makes exact statistics cost no more than the distinct
prefixes. A table "over" some heads has a leading axis for each, in the order of the tree,
then the batch, and for choices a last axis. A head that does not always count has one
state more than choices: its last state means that it does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from maskrl.masks.tree import ActionTree

Over = tuple[int, ...]
"""Positions of the heads that a table's leading axes stand for, ascending."""


class PrefixPlan:
    """What depends on what, and for how long it must be remembered.

    Args:
        tree: The heads.
        asked: Per head, further earlier heads that a function of the prefix asks for.

    Attributes:
        rows: Per head, the earlier heads that select its mask or logits.
        deps: Per head, those and the heads that decide whether it counts.
        states: Per head, its number of choices, plus one where it does not always count.
        kept: Per head, the heads up to it that a later one depends on.
        entries: Entries of the largest table that an exact statistic needs, for one row of
            the batch.
    """

    def __init__(self, tree: ActionTree, asked: Mapping[int, Over] | None = None) -> None:
        asked = asked or {}
        heads = tree.heads
        rows, deps = [], []
        for k, head in enumerate(heads):
            by = {
                tree.position(name) for name in (head.mask_by, head.logits_by) if name is not None
            }
            of_rows = by | set(asked.get(k, ()))
            rows.append(tuple(sorted(of_rows)))
            deps.append(tuple(sorted(of_rows | {tree.position(name) for name in head.relevant})))
        self.tree = tree
        self.rows: tuple[Over, ...] = tuple(rows)
        self.deps: tuple[Over, ...] = tuple(deps)
        self.states = tuple(head.size + (len(head.relevant) > 0) for head in heads)
        last = [max([-1, *(m for m, of in enumerate(deps) if k in of)]) for k in range(len(heads))]
        # Lists, because nested generators bind late where this is compiled.
        self.kept: list[Over] = []
        for k in range(len(heads)):
            self.kept.append(tuple([j for j in range(k + 1) if last[j] > k]))
        self._counts = [self._where_relevant(k) for k in range(len(heads))]
        self.entries = max([self._entries(k) for k in range(len(heads))])

    def before(self, k: int) -> Over:
        """The heads that are remembered when head k chooses."""
        return self.kept[k - 1] if k else ()

    def is_asked_for(self, k: int) -> bool:
        """Whether a later head depends on head k."""
        return k in self.kept[k]

    def size(self, over: Over) -> int:
        """Number of prefixes over some heads."""
        return math.prod([self.states[j] for j in over])

    def _entries(self, k: int) -> int:
        remembered = self.size(self.before(k)) * (self.states[k] if self.is_asked_for(k) else 1)
        return max(remembered, self.size(self.rows[k]) * self.states[k])

    @property
    def has_values(self) -> bool:
        """Whether its tables are tensors with values, not fake ones."""
        return all(table is None or type(table) is Tensor for table in self._counts)

    def counts(self, k: int, device: torch.device) -> Tensor | None:
        """Whether head k counts under each prefix, bool over `deps[k]`; None if it always does."""
        counts = self._counts[k]
        return None if counts is None else counts.to(device)

    def _where_relevant(self, k: int) -> Tensor | None:
        head = self.tree.heads[k]
        if len(head.relevant) == 0:
            return None
        over = self.deps[k]
        table = torch.ones([self.states[j] for j in over], dtype=torch.bool, device="cpu")
        for name, choices in head.relevant.items():
            axis = over.index(self.tree.position(name))
            holds = [state in choices for state in range(table.shape[axis])]
            states = torch.tensor(holds, device="cpu")
            table = table & states.reshape([-1 if i == axis else 1 for i in range(table.ndim)])
        return table

    def choices(self, over: Over, batch: torch.Size, device: torch.device) -> dict[int, Tensor]:
        """The choice of every head in every prefix over `over`: int64 over `over` and the batch.

        A head that does not count stands at choice 0.
        """
        shape = [self.states[j] for j in over]
        grids = {}
        for axis, j in enumerate(over):
            choice = torch.arange(self.states[j], device=device)
            choice = torch.where(choice < self.tree.nvec[j], choice, 0)
            at = [-1 if i == axis else 1 for i in range(len(shape))]
            grids[j] = choice.reshape(at + [1] * len(batch)).expand(*shape, *batch)
        return grids

    def with_choice(self, k: int, chances: Tensor, present: float, absent: float) -> Tensor:
        """A table of head k's choices `[over rows[k], *batch, n]` as one over `deps[k]` and k.

        Where the head does not count, its last state is `present`, all else `absent`.
        """
        over = self.rows[k]
        table = align(chances.movedim(-1, len(over)), (*over, k), (*self.deps[k], k))
        counts = self.counts(k, chances.device)
        if counts is None:
            return table
        axis = len(self.deps[k])
        counts = counts.reshape([*counts.shape, *[1] * (table.ndim - counts.ndim)])
        shape = [self.states[j] for j in self.deps[k]]
        table = torch.where(counts, table, absent).expand(*shape, *table.shape[axis:])
        beside = torch.where(counts, absent, present).to(table.dtype)
        return torch.cat([table, beside.expand(*shape, 1, *table.shape[axis + 1 :])], axis)


def plan_for(tree: ActionTree, asked: Mapping[int, Over]) -> PrefixPlan:
    """The plan of a tree whose functions ask for these heads; made once for each tree."""
    key = (PrefixPlan, *asked.items())
    plan: PrefixPlan | None = tree.derived.get(key)
    if plan is None:
        # Tensors made in inference mode, in which agents act, cannot be trained with later.
        with torch.inference_mode(False):
            plan = PrefixPlan(tree, asked)
        # Neither is what was made for tracing, without values.
        if not torch.compiler.is_compiling() and plan.has_values:
            tree.derived[key] = plan
    return plan


def align(table: Tensor, have: Over, want: Over) -> Tensor:
    """Give a table over `have` axes of size 1 for the other heads of `want`."""
    for axis, j in enumerate(want):
        if j not in have:
            table = table.unsqueeze(axis)
    return table


def reduce_to(
    table: Tensor, have: Over, keep: Over, combine: Callable[[Tensor, list[int]], Tensor]
) -> Tensor:
    """Combine the axes of the heads that are not in `keep`."""
    axes = [axis for axis, j in enumerate(have) if j not in keep]
    return combine(table, axes) if axes else table


def total(table: Tensor, axes: list[int]) -> Tensor:
    """Sum over axes."""
    return table.sum(axes)


def anywhere(table: Tensor, axes: list[int]) -> Tensor:
    """Whether any entry over the axes is True."""
    return table.any(axes)

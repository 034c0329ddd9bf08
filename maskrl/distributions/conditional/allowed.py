"""`AllowedPaths`: the support of a conditional action as a value with a name.

A constraint in the sense of `torch.distributions`: an action is allowed if every head
that counts makes a choice that its mask allows after the choices before it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.distributions.conditional.heads import ConditionalHeads


class AllowedPaths(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """Actions `[..., K]` that follow an allowed path through the tree.

    Args:
        heads: Masks of the heads.
        idle_action: The choice of a head that allows nothing; None if it has none.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, heads: ConditionalHeads, idle_action: int | None) -> None:
        self.heads = heads
        self.idle_action = idle_action
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each action `[..., K]`, whether every head that counts is allowed."""
        if not value.is_floating_point():
            value = value.to(torch.int64)
        batch = self.heads.batch
        shape = torch.broadcast_shapes(value.shape, (*batch, len(self.heads.tree.nvec)))
        choices: dict[int, Tensor] = {}
        counted: dict[int, Tensor | None] = {}
        good = torch.ones(shape[:-1], dtype=torch.bool, device=value.device)
        for k, (given, size) in enumerate(
            zip(value.expand(shape).unbind(-1), self.heads.tree.nvec, strict=True)
        ):
            counts = counted[k] = self.heads.counts_along(k, choices, counted)
            inside = (given >= 0) & (given < size) & (given % 1 == 0)
            choice = torch.where(inside, given, 0).to(torch.int64)
            if counts is not None:
                choice = torch.where(counts, choice, 0)
            allowed = inside
            mask = self.heads.mask_along(k, choices)
            if mask is not None:
                mask = mask.expand(*choice.shape, size)
                allowed = allowed & mask.gather(-1, choice.unsqueeze(-1)).squeeze(-1)
                if self.idle_action is not None:
                    allowed = allowed | (~mask.any(-1) & (given == self.idle_action))
            good = good & (allowed if counts is None else allowed | ~counts)
            choices[k] = choice
        return good

    def __repr__(self) -> str:
        """Name the rule."""
        return f"AllowedPaths({self.heads.tree!r})"

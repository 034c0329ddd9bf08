"""`AllowedActions`: the support of a masked distribution as a value with a name.

A constraint in the sense of `torch.distributions` that knows the mask, so that
`distribution.support.check(actions)` answers what every loop wants to know:
may these actions be taken.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints


class AllowedActions(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """The actions that a mask allows; in a row that allows nothing, the idle action.

    Args:
        actions: Number of actions A.
        action_mask: bool `[..., A]`, or None if all are allowed.
        idle_action: The one action of an empty row; None if empty rows have none.
    """

    is_discrete = True
    event_dim = 0

    def __init__(
        self, actions: int, action_mask: Tensor | None, idle_action: int | None = None
    ) -> None:
        self.actions = actions
        self.action_mask = action_mask
        self.idle_action = idle_action
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each of the values `[..., *rows]`, whether it may be taken."""
        if not value.is_floating_point():
            value = value.to(torch.int64)
        inside = (value >= 0) & (value < self.actions) & (value % 1 == 0)
        if self.action_mask is None:
            return inside
        index = torch.where(inside, value, 0).to(torch.int64).unsqueeze(-1)
        shape = torch.broadcast_shapes(index.shape[:-1], self.action_mask.shape[:-1])
        mask = self.action_mask.expand(*shape, self.actions)
        allowed = mask.gather(-1, index.expand(*shape, 1)).squeeze(-1)
        if self.idle_action is not None:
            idle = ~self.action_mask.any(-1) & (value == self.idle_action)
            allowed = allowed | idle
        return inside & allowed

    def __repr__(self) -> str:
        """Name the rule."""
        if self.action_mask is None:
            return f"AllowedActions(all of 0..{self.actions - 1})"
        rows = tuple(self.action_mask.shape[:-1])
        idle = "" if self.idle_action is None else f", idle_action={self.idle_action}"
        return f"AllowedActions(by action_mask, rows {rows}, 0..{self.actions - 1}{idle})"


class AllowedFactors(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """Actions `[..., n]` whose every number one constraint allows, for any n and batch.

    Args:
        factors: Of the numbers.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, factors: AllowedActions) -> None:
        self.factors = factors
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each action `[..., n]`, whether all of its numbers may be taken."""
        return self.factors.check(value).all(-1)

    def __repr__(self) -> str:
        """Name the rule."""
        return f"AllowedFactors({self.factors!r})"

"""`PickColumns`: what the picks of an action are called, and which column each is inside.

Inside, END is the last column of every row and an idle row is one that ends at once.
Outside, END is the number of candidates of the row, and an idle row sends what the user
said it shall.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PickColumns:
    """Names of picks.

    Args:
        entity_mask: bool `[*batch, E]`.
        sizes: What END is called in ragged rows, int64 `[*batch]`; None: E.
        idle: bool `[*batch]`, True = no decision is taken; None if in no row.
        idle_action: What every pick of an idle row is called; None: as END.
    """

    def __init__(
        self,
        entity_mask: Tensor,
        sizes: Tensor | None,
        idle: Tensor | None,
        idle_action: int | None,
    ) -> None:
        self._mask = entity_mask
        self._end = entity_mask.shape[-1]
        self._sizes = sizes
        self._idle = idle
        self._idle_action = idle_action

    @property
    def ends(self) -> Tensor:
        """What END is called in every row, int64 `[*batch]`."""
        return self._everywhere(self._end) if self._sizes is None else self._sizes

    @property
    def largest(self) -> Tensor:
        """The largest number that a pick may be in every row, int64 `[*batch]`."""
        if self._idle is None or self._idle_action is None:
            return self.ends
        return torch.where(self._idle, self.ends.clamp(min=self._idle_action), self.ends)

    @property
    def idle_actions(self) -> Tensor:
        """What every pick of an idle row is called, int64 `[*batch]`."""
        return self.ends if self._idle_action is None else self._everywhere(self._idle_action)

    @property
    def idle(self) -> Tensor:
        """Which rows take no decision, bool `[*batch]`."""
        return self._everywhere(False) if self._idle is None else self._idle

    def _everywhere(self, value: int | bool) -> Tensor:
        return torch.full((), value, device=self._mask.device).expand(self._mask.shape[:-1])

    def to_actions(self, columns: Tensor) -> Tensor:
        """Actions `[..., *batch, picks]` of columns."""
        actions = columns
        if self._sizes is not None:
            actions = torch.where(columns == self._end, self._sizes.unsqueeze(-1), columns)
        if self._idle is not None:
            idle_actions = self.idle_actions.unsqueeze(-1)
            actions = torch.where(self._idle.unsqueeze(-1), idle_actions, actions)
        return actions

    def to_columns(self, actions: Tensor) -> Tensor:
        """Columns `[..., *batch, picks]` of actions."""
        columns = actions
        if self._sizes is not None:
            columns = torch.where(actions == self._sizes.unsqueeze(-1), self._end, actions)
        if self._idle is not None:
            # Nothing but END is allowed inside, so column 0 is a disallowed one.
            of_idle = torch.where(actions == self.idle_actions.unsqueeze(-1), self._end, 0)
            columns = torch.where(self._idle.unsqueeze(-1), of_idle, columns)
        return columns

    def expanded(self, entity_mask: Tensor) -> PickColumns:
        """The same for a larger batch, given its mask."""
        batch = entity_mask.shape[:-1]
        sizes = None if self._sizes is None else self._sizes.expand(batch)
        idle = None if self._idle is None else self._idle.expand(batch)
        return PickColumns(entity_mask, sizes, idle, self._idle_action)

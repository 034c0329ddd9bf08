"""What one agent of many chooses: an action, several heads, or a tree of heads.

`AgentChoice` builds the one distribution over the rows of all agents. It is one of the
distributions of this package, except that its messages name an agent by where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskrl.distributions.conditional_categorical import ConditionalCategorical
from maskrl.distributions.gridwise.layout import AgentRows, Layout
from maskrl.distributions.masked_categorical import MaskedCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical, check_sizes
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.functional.rows import check_idle_action
from maskrl.masks.tree import ActionTree

_NAME = "GridwiseCategorical"

MAX_ENUMERATION = 65_536
"""Entries of the largest table, per agent, that an exact statistic of a tree may build."""

OfAgents = MaskedCategorical | MaskedMultiCategorical | ConditionalCategorical
"""A distribution over rows of agents."""


class CategoricalOfAgents(MaskedCategorical):
    """A `MaskedCategorical` over rows of agents."""

    def __init__(self, agents: AgentRows, *arguments: Any, **settings: Any) -> None:
        self._agents = agents
        super().__init__(*arguments, **settings)

    @property
    def _own_name(self) -> str:
        return _NAME

    def _place(self, index: tuple[int, ...]) -> str:
        return self._agents.place(index)


class HeadsOfAgents(MaskedMultiCategorical):
    """A `MaskedMultiCategorical` over rows of agents."""

    def __init__(self, agents: AgentRows, *arguments: Any, **settings: Any) -> None:
        self._agents = agents
        super().__init__(*arguments, **settings)

    @property
    def _own_name(self) -> str:
        return _NAME

    def _place(self, index: tuple[int, ...]) -> str:
        return f"{self._agents.place(index[:-1])}, head {index[-1]}"


class TreeOfAgents(ConditionalCategorical):
    """A `ConditionalCategorical` over rows of agents."""

    def __init__(self, agents: AgentRows, *arguments: Any, **settings: Any) -> None:
        self._agents = agents
        super().__init__(*arguments, **settings)

    @property
    def _own_name(self) -> str:
        return _NAME

    def _place_of_row(self, index: tuple[int, ...]) -> str:
        return self._agents.place(index)


@dataclass(frozen=True)
class AgentChoice:
    """What an agent chooses, and how rows without a choice are answered.

    Attributes:
        nvec: Number of choices of each head; None if an action is one number.
        tree: How heads depend on each other; None if they do not.
        empty: "raise" or "idle".
        idle_action: What an idle agent or head does, and what stands where nobody is.
        max_enumeration: How large the tables of a tree may be.
        validate_args: Whether to look at values.
    """

    nvec: tuple[int, ...] | None
    tree: ActionTree | None
    empty: str
    idle_action: int
    max_enumeration: int
    validate_args: bool | None

    @classmethod
    def read(
        cls,
        operation: str,
        shape: tuple[int, ...],
        layout: Layout,
        *,
        nvec: Any,
        tree: Any,
        empty: str,
        idle_action: Any,
        max_enumeration: int,
        validate_args: bool | None,
    ) -> AgentChoice:
        """Check the settings of a distribution for logits of this shape and layout.

        Raises:
            ConfigError: A setting cannot be what it is, or both `nvec` and `tree` are given.
            MaskShapeError: An agent has more or fewer logits than its heads need.
        """
        if tree is not None and not isinstance(tree, ActionTree):
            raise ConfigError(f"{operation}: tree is {tree!r}; expected a maskrl.ActionTree.")
        if tree is not None and nvec is not None:
            raise ConfigError(
                f"{operation}: nvec and tree are both given; expected one of them. The tree says "
                f"how many choices its heads have."
            )
        actions = shape[layout.features_at]
        heads: tuple[int, ...] | None = None
        if tree is not None:
            heads, needed, what = tree.nvec, tree.logits_size, f"{tree!r} needs"
        elif nvec is not None:
            heads = check_sizes(operation, nvec)
            needed, what = sum(heads), f"the heads {list(heads)} need"
        if heads is not None and needed != actions:
            raise MaskShapeError(
                f"{operation}: logits has shape {shape}, A is {actions}, but {what} {needed}; "
                f"expected {layout.logits_shape}."
            )
        idle = check_idle_action(operation, idle_action, min(heads or (actions,)))
        return cls(heads, tree, empty, idle, max_enumeration, validate_args)

    @property
    def heads(self) -> int | None:
        """How many numbers an action has; None if it is one without a dimension of its own."""
        return None if self.nvec is None else len(self.nvec)

    def what(self, shape: torch.Size, layout: Layout) -> str:
        """For messages: between what an agent chooses."""
        if self.tree is not None:
            return repr(self.tree)
        return f"nvec={list(self.nvec)}" if self.nvec else f"actions={shape[layout.features_at]}"

    def table_shape(self, operation: str, name: str) -> tuple[int, int]:
        """Shape `(P, size)` of the mask table of a head of the tree.

        Raises:
            ConfigError: There is no such head, or its mask goes by no earlier head.
        """
        head = None if self.tree is None else self.tree.heads[self.tree.position(name)]
        if self.tree is None or head is None or head.mask_by is None:
            raise ConfigError(
                f"{operation}: head_masks has a table for head {name!r}; expected tables "
                f"for heads of the tree that say mask_by."
            )
        return self.tree.nvec[self.tree.position(head.mask_by)], head.size

    def build(
        self,
        agents: AgentRows,
        logits: Tensor,
        action_mask: Tensor | None,
        tables: Mapping[str, Tensor],
    ) -> OfAgents:
        """The distribution over the rows of agents.

        Args:
            agents: Whose rows they are.
            logits: `[*rows, A]`.
            action_mask: bool `[*rows, A]`, or `[*rows, sum(nvec)]`.
            tables: bool `[*rows, size of the head it goes by, size]` per head of the tree.
        """
        settings: dict[str, Any] = {
            "empty": self.empty,
            "idle_action": self.idle_action,
            "validate_args": self.validate_args,
        }
        if self.tree is not None:
            settings["max_enumeration"] = self.max_enumeration
            return TreeOfAgents(
                agents, self.tree, logits, action_mask, head_masks=tables, **settings
            )
        if self.nvec is not None:
            return HeadsOfAgents(agents, logits, self.nvec, action_mask, **settings)
        return CategoricalOfAgents(agents, logits, action_mask, **settings)


def log_legal_actions(agents: OfAgents) -> Tensor:
    """Log of how many actions every agent may take `[*rows]`, 0 where it has no choice."""
    if isinstance(agents, ConditionalCategorical):
        return agents.legal_actions().log()
    most = agents.allowed_counts().clamp(min=1).double().log()
    return most.sum(-1) if len(agents.event_shape) else most

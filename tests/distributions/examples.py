"""Examples from which every distribution inherits the generic tests.

A new distribution adds a few entries here and is held to the whole contract:
shapes, support, expand, pickling, gradients, and that nothing under a mask is
ever read. `make` takes logits, mask and settings as the constructor does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from maskrl.distributions import (
    ConditionalCategorical,
    GridwiseCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
    PointerCategorical,
    PointerPicks,
)
from maskrl.masks import ActionTree, Head


@dataclasses.dataclass(frozen=True)
class Example:
    """A distribution with its arguments; every row allows something.

    Attributes:
        possible: Whether `probs` may be positive, in the shape of the logits; the mask
            itself if absent.
        read: Whether a logit may be read; the mask itself if absent.
        log_probs: Log of `probs`, from the distribution; its `logits` if absent.
        disallowed: One action per row, at least one of them disallowed; absent where every
            action is allowed.
        rows: Which row of the batch each logit belongs to, if all lie end to end.
        traced: Whether it can be compiled and exported.
    """

    name: str
    make: Callable[..., Any]
    logits: Tensor
    action_mask: Tensor
    possible: Tensor | None = None
    read: Tensor | None = None
    log_probs: Callable[[Any], Tensor] = lambda d: d.logits
    disallowed: Any = None
    rows: Tensor | None = None
    traced: bool = True

    def build(self, **settings: Any) -> Any:
        """The distribution itself."""
        return self.make(self.logits, self.action_mask, **settings)

    @property
    def full_mask(self) -> Tensor:
        """The mask with the batch dimensions of the logits."""
        return self.build().action_mask

    @property
    def first_row(self) -> Any:
        """Where the first row lies in logits and mask."""
        return 0 if self.rows is None else self.rows == 0

    def row_of(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The row of the batch that the logit at an index belongs to."""
        if self.rows is not None:
            return (int(self.rows[index]),)
        return index[: len(self.build().batch_shape)]

    @property
    def allowed(self) -> Tensor:
        """Where `probs` may be positive, in the shape of the logits."""
        return self.full_mask if self.possible is None else self.possible

    @property
    def readable(self) -> Tensor:
        """Which logits may be read, in their shape."""
        return self.full_mask if self.read is None else self.read


def _logits(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def _mask(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def _multi(*nvec: int) -> Callable[..., MaskedMultiCategorical]:
    def make(logits: Tensor, action_mask: Any = None, **settings: Any) -> MaskedMultiCategorical:
        return MaskedMultiCategorical(logits, nvec, action_mask, **settings)

    return make


def _ragged(*sizes: int) -> Callable[..., PointerCategorical]:
    offsets = torch.tensor([0, *sizes]).cumsum(0)

    def make(scores: Tensor, entity_mask: Any = None, **settings: Any) -> PointerCategorical:
        return PointerCategorical(scores, entity_mask, offsets=offsets, **settings)

    return make


def _picks(picks: int, end_score: float | None = None, **rules: int) -> Callable[..., PointerPicks]:
    def make(scores: Tensor, entity_mask: Any = None, **settings: Any) -> PointerPicks:
        end = None if end_score is None else scores.new_tensor(end_score)
        return PointerPicks(scores, entity_mask, picks=picks, end_scores=end, **rules, **settings)

    return make


def _bits(name: str, logits: Tensor, may_be: Tensor, disallowed: Any) -> Example:
    full = may_be.expand(*logits.shape, 2)
    return Example(
        name,
        MaskedBernoulli,
        logits,
        may_be,
        possible=full[..., 1],
        read=full.all(-1),
        disallowed=disallowed,
        log_probs=lambda d: torch.nn.functional.logsigmoid(d.logits),
    )


def _tree(*heads: Head) -> Callable[..., ConditionalCategorical]:
    def make(logits: Tensor, action_mask: Any = None, **settings: Any) -> ConditionalCategorical:
        return ConditionalCategorical(ActionTree(*heads), logits, action_mask, **settings)

    return make


def _agents(
    name: str,
    agent_mask: Tensor,
    logits: Tensor,
    action_mask: Tensor,
    disallowed: Any,
    *,
    layout: Callable[..., GridwiseCategorical] = GridwiseCategorical,
    possible: Tensor | None = None,
    **choice: Any,
) -> Example:
    def make(logits: Tensor, action_mask: Any = None, **settings: Any) -> GridwiseCategorical:
        return layout(logits, agent_mask, action_mask, **choice, **settings)

    there = agent_mask.unsqueeze(-3 if layout is GridwiseCategorical else -1)
    possible = there & (action_mask if possible is None else possible)
    possible = possible.expand(logits.shape)
    return Example(name, make, logits, action_mask, possible, possible, disallowed=disallowed)


EXAMPLES = [
    Example(
        "categorical row",
        MaskedCategorical,
        _logits(5),
        _mask([1, 0, 1, 1, 0])[0],
        disallowed=4,
    ),
    Example(
        "categorical batch",
        MaskedCategorical,
        _logits(3, 4),
        _mask([1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]),
        disallowed=[0, 1, 3],
    ),
    Example(
        "categorical grid, broadcast mask",
        MaskedCategorical,
        _logits(2, 3, 4),
        _mask([1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]),
        disallowed=[[0, 1, 2], [2, 3, 0]],
    ),
    Example("categorical, one action", MaskedCategorical, _logits(2, 1), _mask([1], [1])),
    Example(
        "two heads, one row",
        _multi(2, 3),
        _logits(5),
        _mask([1, 1, 1, 0, 1])[0],
        disallowed=[1, 1],
    ),
    Example(
        "three heads, batch",
        _multi(3, 1, 4),
        _logits(2, 8),
        _mask([1, 0, 1, 1, 0, 1, 1, 1], [0, 1, 0, 1, 0, 0, 0, 1]),
        disallowed=[[0, 0, 1], [0, 0, 2]],
    ),
    Example(
        "heads, broadcast mask",
        _multi(2, 2),
        _logits(3, 2, 4),
        _mask([1, 0, 1, 1], [1, 1, 1, 1]),
        disallowed=[[[0, 0], [1, 1]], [[1, 0], [0, 0]], [[1, 1], [1, 0]]],
    ),
    _bits("bits, one row", _logits(3), _mask([1, 1], [0, 1], [1, 0]), [1, 0, 0]),
    _bits(
        "bits, batch",
        _logits(2, 3),
        torch.stack([_mask([1, 1], [1, 1], [1, 0]), _mask([0, 1], [1, 1], [1, 1])]),
        [[1, 1, 0], [0, 1, 1]],
    ),
    Example(
        "tree, one row",
        _tree(Head("type", 3), Head("target", 2, {"type": [1]})),
        _logits(5),
        _mask([1, 1, 0, 1, 1])[0],
        disallowed=[2, 0],
    ),
    Example(
        "tree, batch",
        _tree(Head("type", 2), Head("aim", 3, {"type": [1]}), Head("force", 2, {"aim": [0, 2]})),
        _logits(2, 7),
        _mask([1, 1, 1, 0, 1, 0, 1], [1, 0, 0, 1, 0, 1, 1]),
        # the second row never aims, so that nothing after its type may be taken or read
        possible=_mask([1, 1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0]),
        read=_mask([1, 1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0]),
        disallowed=[[1, 1, 0], [0, 2, 1]],
    ),
    _agents(
        "grid, the same agents in all rows",
        _mask([1, 0, 1], [0, 1, 0]),
        _logits(2, 2, 2, 3),
        torch.stack([_mask([1, 0, 1], [0, 1, 1]), _mask([0, 0, 1], [1, 1, 0])]),
        disallowed=[[[1, 9, 0], [0, 1, -5]], [[0, 0, 1], [1, 0, 1]]],
    ),
    _agents(
        "grid, from no agent to one in all cells",
        torch.stack([_mask([0, 1], [1, 0]), _mask([0, 0], [0, 0]), _mask([1, 1], [1, 1])]),
        _logits(3, 3, 2, 2),
        torch.tensor([1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1], dtype=torch.bool).reshape(3, 2, 2),
        disallowed=[[[0, 0], [1, 2]], [[3, 3], [3, 3]], [[1, 2], [0, 2]]],
    ),
    _agents(
        "grid of two heads, no batch",
        _mask([1, 1, 0]),
        _logits(5, 1, 3),
        torch.tensor([1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0]).bool().reshape(5, 1, 3),
        disallowed=[[[0, 1, 0]], [[2, 0, 0]]],
        nvec=(2, 3),
    ),
    _agents(
        "grid of trees",
        torch.stack([_mask([1, 1]), _mask([0, 1])]),
        _logits(2, 4, 1, 2),
        _mask([1, 1, 0, 1], [1, 0, 1, 1]).mT.reshape(4, 1, 2),
        disallowed=[[[[1, 0]], [[0, 0]]], [[[9, 1]], [[0, 0]]]],
        # the second cell's type has no target, so that no choice of one may be read
        possible=_mask([1, 1, 0, 1], [1, 0, 0, 0]).mT.reshape(4, 1, 2),
        tree=ActionTree(Head("type", 2), Head("target", 2, {"type": [1]})),
    ),
    _agents(
        "slots of two heads",
        _mask([1, 0, 1], [0, 1, 1]),
        _logits(2, 3, 5),
        torch.tensor([1, 0, 1, 1, 1]).bool(),
        disallowed=[[[0, 0], [1, 0], [1, 2]], [[1, 0], [0, 1], [0, 2]]],
        layout=GridwiseCategorical.from_slots,
        nvec=(2, 3),
    ),
    Example(
        "candidates, padded",
        PointerCategorical,
        _logits(3, 4),
        _mask([1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]),
        disallowed=[3, 1, 0],
    ),
    Example(
        "candidates, ragged",
        _ragged(2, 1, 4),
        _logits(7),
        _mask([1, 1, 1, 1, 0, 1, 1])[0],
        disallowed=[2, 0, 1],
        rows=torch.tensor([0, 0, 1, 2, 2, 2, 2]),
        traced=False,
    ),
    Example(
        "picks, batch",
        _picks(2),
        _logits(3, 4),
        _mask([1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]),
        disallowed=[[1, 0], [1, 4], [2, 2]],
    ),
    Example(
        "picks until END, one row",
        _picks(3, 0.3, min_picks=1),
        _logits(5),
        _mask([1, 0, 1, 1, 1])[0],
        disallowed=[2, 1, 5],
    ),
]

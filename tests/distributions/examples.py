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

from maskrl.distributions import MaskedCategorical


@dataclasses.dataclass(frozen=True)
class Example:
    """A distribution with its arguments; every row allows something."""

    name: str
    make: Callable[..., Any]
    logits: Tensor
    action_mask: Tensor

    def build(self, **settings: Any) -> Any:
        """The distribution itself."""
        return self.make(self.logits, self.action_mask, **settings)

    @property
    def allowed(self) -> Tensor:
        """The mask in the shape of the logits."""
        return self.action_mask.expand(self.logits.shape)


def _logits(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def _mask(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


EXAMPLES = [
    Example("categorical row", MaskedCategorical, _logits(5), _mask([1, 0, 1, 1, 0])[0]),
    Example(
        "categorical batch",
        MaskedCategorical,
        _logits(3, 4),
        _mask([1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]),
    ),
    Example(
        "categorical grid, broadcast mask",
        MaskedCategorical,
        _logits(2, 3, 4),
        _mask([1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]),
    ),
    Example("categorical, one action", MaskedCategorical, _logits(2, 1), _mask([1], [1])),
]

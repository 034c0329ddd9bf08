"""A whole attention layer as one operation: projections, attention, output, in groups of scenes.

What a projection writes for a few thousand rows is still in the cache when attention reads it, and
on the way back the gradient of queries, keys and values never leaves it: it becomes gradients of
the input and the weights at once. Rows that are not there are replaced by 0 on the way in and on
the way back, so that NaN in them or in their gradient stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from maskrl.kernels.scenes.definition import Sight, layer_by_definition
from maskrl.kernels.scenes.function import (
    backward,
    forward,
    needs_torch,
    room_for_statistics,
    saved_of,
)

ROWS = 4096
"""About so many rows at a time."""


def scene_layer(x: Tensor, into: Tensor, out_of: Tensor, sight: Sight) -> Tensor:
    """Project, attend, project back.

    Args:
        x: [N, E, dim]; rows that are not there may hold anything.
        into: Weights of queries, keys and values [3 * inner, dim].
        out_of: Weights of the output [dim, inner].
        sight: Who may attend to whom; who looks is who is there.

    Returns:
        [N, E, dim], 0 for who is not there.
    """
    x = x.contiguous()
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, into, out_of)):
        out: Tensor = _SceneLayer.apply(x, into, out_of, sight)  # type: ignore[no-untyped-call]
        return out
    return _forward(x, into, out_of, sight, None)


def _groups(x: Tensor) -> Iterator[tuple[int, int]]:
    """First and last scene of each group, all of about the same size."""
    scenes, entities, _ = x.shape
    count = max(1, round(scenes * entities / ROWS))
    size = -(-scenes // count)
    for first in range(0, scenes, size):
        yield first, min(first + size, scenes)


def _rows_there(x: Tensor, sight: Sight) -> Tensor:
    """All rows [N * E, dim], with 0 where nobody is."""
    if sight.there is not None:
        x = torch.where(sight.there.unsqueeze(-1), x, 0.0)
    return x.reshape(-1, x.shape[-1])


Saved = tuple[Tensor, Tensor, Tensor]
"""What the way back needs: queries, keys, values; their mixture; statistics of the scores."""


def _saved(x: Tensor, into: Tensor, heads: int) -> Saved:
    scenes, entities, _ = x.shape
    return (
        x.new_empty(scenes, entities, into.shape[0]),
        x.new_empty(scenes, entities, into.shape[0] // 3),
        room_for_statistics(x, heads),
    )


def _forward(x: Tensor, into: Tensor, out_of: Tensor, sight: Sight, saved: Saved | None) -> Tensor:
    out = torch.empty_like(x)
    room: Saved | None = None
    for first, last in _groups(x):
        part = x[first:last]
        own = sight.of(first, last)
        if saved is not None:
            qkv, mixed, statistics = (t[first:last] for t in saved)
        else:
            room = _saved(part, into, sight.heads) if room is None else room
            qkv, mixed, statistics = (t[: last - first] for t in room)
        torch.mm(_rows_there(part, own), into.t(), out=qkv.view(-1, qkv.shape[-1]))
        forward(qkv, None, own, None if saved is None else statistics, mixed)
        torch.mm(
            mixed.view(-1, mixed.shape[-1]), out_of.t(), out=out[first:last].view(-1, x.shape[-1])
        )
    return out


class _SceneLayer(torch.autograd.Function):
    """One node of the graph for a layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, into: Tensor, out_of: Tensor, sight: Sight) -> Tensor:
        saved = _saved(x, into, sight.heads)
        out = _forward(x, into, out_of, sight, saved)
        ctx.sight = sight.without_masks()
        ctx.save_for_backward(x, into, out_of, *saved, *sight.saved())
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        x, into, out_of, qkv, mixed, statistics, *masks = saved_of(ctx)
        sight = ctx.sight.restored(masks)
        if torch.is_grad_enabled() or needs_torch(upstream[0]):
            return _again(ctx, x, into, out_of, sight, upstream[0])
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_into, of_out_of = torch.zeros_like(into), torch.zeros_like(out_of)
        of_mixed = of_qkv = None
        for first, last in _groups(x):
            size, own = last - first, sight.of(first, last)
            g = _rows_there(upstream[0][first:last], own)
            if of_mixed is None or of_qkv is None:
                of_mixed = torch.empty_like(mixed[first:last])
                of_qkv = torch.empty_like(qkv[first:last])
            torch.mm(g, out_of, out=of_mixed[:size].view(-1, of_mixed.shape[-1]))
            of_out_of.addmm_(g.t(), mixed[first:last].view(-1, mixed.shape[-1]))
            backward(
                qkv[first:last], None, own, statistics[first:last], of_mixed[:size],
                (of_qkv[:size], None),
            )  # fmt: skip
            rows = of_qkv[:size].view(-1, of_qkv.shape[-1])
            of_into.addmm_(rows.t(), _rows_there(x[first:last], own))
            if of_x is not None:
                torch.mm(rows, into, out=of_x[first:last].view(-1, x.shape[-1]))
        return of_x, of_into, of_out_of, None


def _again(
    ctx: Any, x: Tensor, into: Tensor, out_of: Tensor, sight: Sight, upstream: Tensor
) -> Any:
    """The gradients by the definition, which can be differentiated again if grad is enabled."""
    again = torch.is_grad_enabled()
    needed = ctx.needs_input_grad
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views: x may be computed from these very weights, and hooks are for whole gradients.
        x, into, out_of = inputs = tuple(t.view_as(t) for t in (x, into, out_of))
        wanted = [t for t, need in zip(inputs, needed, strict=False) if need]
        out = layer_by_definition(x, into, out_of, sight)
        found = iter(torch.autograd.grad(out, wanted, upstream, create_graph=again))
    return tuple(next(found) if need else None for need in needed)

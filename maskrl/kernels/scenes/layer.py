"""A whole attention layer as one operation: projections, attention, output, batches of scenes.

Rows that are there are gathered while they are read, so that projections cost as much as there are
entities and not slots, and what is not there is never read: NaN in it or in its gradient stays
where it is. Between input and output nothing leaves the nearest caches but what the way back needs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.kernels.scenes.definition import Sight, layer_by_definition
from maskrl.kernels.scenes.function import (
    needs_torch,
    ready,
    room_for_statistics,
    saved_of,
    sight_numbers,
)
from maskrl.kernels.scenes.layer_plan import LayerPlan, batch_of, rows_of
from maskrl.kernels.scenes.plan import EIGHT, up


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


Saved = tuple[Tensor, Tensor, Tensor]
"""What the way back needs: queries, keys, values; their mixture; statistics of the scores."""


def _saved(x: Tensor, into: Tensor, heads: int) -> Saved:
    scenes, entities, _ = x.shape
    batches, rows = -(-scenes // batch_of(entities)), rows_of(entities)
    width = up(into.shape[0] // (3 * heads), EIGHT)
    return (
        x.new_empty(batches, 3 * heads, rows, width),
        x.new_empty(batches, rows, heads * width),
        room_for_statistics(x, heads),
    )


def _padded(blocks: Tensor) -> Tensor:
    """Weights [..., rows, columns] with zeros to whole vectors both ways."""
    rows, columns = (-size % EIGHT for size in blocks.shape[-2:])
    return F.pad(blocks, (0, columns, 0, rows)) if rows or columns else blocks


def _into_by_head(into: Tensor, sight: Sight) -> Tensor:
    """The first weights by head [3 * heads, width, dim], padded; the scale is in the queries'."""
    blocks = into.reshape(3 * sight.heads, -1, into.shape[-1])
    scaled = blocks[: sight.heads] * sight.scale
    return _padded(torch.cat([scaled, blocks[sight.heads :]]))


def _out_of_by_head(out_of: Tensor, heads: int) -> Tensor:
    """The last weights by head [heads, dim, width], padded."""
    return _padded(out_of.view(out_of.shape[0], heads, -1).transpose(0, 1))


def _plan(
    x: Tensor,
    result: Tensor | None,
    upstream: Tensor | None,
    into: Tensor,
    out_of: Tensor,
    sight: Sight,
    saved: Saved | None,
) -> LayerPlan:
    """The plan of a call, forward without `upstream`."""
    scenes, entities, dim = x.shape
    width = into.shape[0] // (3 * sight.heads)
    qkv, mixed, statistics = (0, 0, 0) if saved is None else (t.data_ptr() for t in saved)
    by_head, last = _into_by_head(into, sight), _out_of_by_head(out_of, sight.heads)
    # Products read their second factor row by row: weights lie as the way there or back needs them.
    if upstream is None:
        by_head, last = by_head[..., :dim].mT.contiguous(), last.mT.contiguous()
    else:
        last = last[:, :dim].contiguous()
    numbers = [
        0, scenes, entities, entities, sight.heads, width, 0, *(0,) * 28, *sight_numbers(sight),
        statistics, 0, dim, batch_of(entities), rows_of(entities), x.data_ptr(),
        *(0 if t is None else t.data_ptr() for t in (result, upstream)),
        by_head.data_ptr(), last.data_ptr(), qkv, mixed, 0, 0,
    ]  # fmt: skip
    return LayerPlan.of(numbers, (x, upstream, by_head, last, sight))


def _forward(x: Tensor, into: Tensor, out_of: Tensor, sight: Sight, saved: Saved | None) -> Tensor:
    from maskrl.kernels.scenes.team import run_layer

    out = torch.empty_like(x)
    run_layer(_plan(x, out, None, into, out_of, ready(sight), saved))
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
        from maskrl.kernels.scenes.team import run_layer_gradient

        x, into, out_of, qkv, mixed, statistics, *masks = saved_of(ctx)
        sight = ctx.sight.restored(masks)
        if torch.is_grad_enabled() or needs_torch(upstream[0]):
            return _again(ctx, x, into, out_of, sight, upstream[0])
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        saved = qkv, mixed, statistics
        plan = _plan(x, of_x, upstream[0].contiguous(), into, out_of, ready(sight), saved)
        run_layer_gradient(plan)
        heads, width, dim = sight.heads, into.shape[0] // (3 * sight.heads), x.shape[-1]
        padded, wide = up(width, EIGHT), up(dim, EIGHT)
        of_into, of_out_of = plan.sums().split([3 * heads * padded * wide, heads * padded * wide])
        of_into = of_into.view(3 * heads, padded, wide)[:, :width, :dim]
        of_into[:heads] *= sight.scale  # as the weights were
        of_out_of = of_out_of.view(wide, heads, padded)[:dim, :, :width]
        return of_x, of_into.reshape(into.shape), of_out_of.reshape(out_of.shape), None


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

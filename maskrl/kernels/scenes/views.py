"""Many small views of scenes in one call: each query attends to a list of entities of its own.

Under fog every agent sees a few entities, each its own number of them. Lists need no padding and
no groups of like size, and entities are projected once for all who see them. A bias of each pair
may be looked up in a table, which gets its gradient. Only what is listed is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrl.kernels.scenes.function import needs_torch, saved_of
from maskrl.kernels.scenes.view_plan import ViewPlan


@dataclass(frozen=True)
class Views:
    """R views of S scenes, in their order, and who is seen in them: P pairs, view by view.

    Its tensors lie together in memory, on the CPU.

    Attributes:
        view: int64 `[S + 1]`, the first view of each scene, and R.
        pair: int64 `[R + 1]`, the first pair of each view, and P.
        key: int64 `[P]`, the entity of each pair, a row of what all scenes hold together. Scenes
            have no row in common.
        offset: int64 `[P]`, where the bias of each pair stands in a table; None for no bias.
    """

    view: Tensor
    pair: Tensor
    key: Tensor
    offset: Tensor | None = None

    def tensors(self) -> tuple[Tensor | None, ...]:
        """What `ctx.save_for_backward` saves."""
        return self.view, self.pair, self.key, self.offset


def views_attention(
    query: Tensor,
    memory: Tensor,
    views: Views,
    heads: int,
    scale: float,
    table: Tensor | None = None,
) -> Tensor:
    """Attend; float32 on the CPU, as `maskrl.kernels.scenes.function.takes` says.

    Args:
        query: `[R, heads * width]`.
        memory: Keys and values `[U, 2 * heads * width]` of the entities of all scenes.
        views: Who sees whom.
        heads: Number of heads.
        scale: Factor on the scores.
        table: `[heads, offsets]`, added to the scaled scores at `views.offset`.

    Returns:
        `[R, heads * width]`.

    Empty rows:
        A view of nobody is exactly 0, and so is its gradient.
    """
    query, memory = query.contiguous(), memory.contiguous()
    table = None if table is None else table.contiguous()
    given = (query, memory) if table is None else (query, memory, table)
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        out: Tensor = _ViewsAttention.apply(  # type: ignore[no-untyped-call]
            query, memory, table, views, heads, scale
        )
        return out
    return _forward(query, memory, table, views, heads, scale)[0]


def views_by_definition(
    query: Tensor,
    memory: Tensor,
    views: Views,
    heads: int,
    scale: float,
    table: Tensor | None = None,
) -> Tensor:
    """The same in a few lines of torch, differentiable at will; arguments as of the above."""
    of_pair = torch.repeat_interleave(views.pair.diff())
    key, value = (t.unflatten(-1, (heads, -1)) for t in memory[views.key].chunk(2, -1))
    scores = (query.unflatten(-1, (heads, -1))[of_pair] * key).sum(-1) * scale
    if table is not None and views.offset is not None:
        scores = scores + table.T[views.offset]
    nothing = scores.new_full((len(query), heads), -torch.inf)
    largest = nothing.scatter_reduce(
        0, of_pair.unsqueeze(1).expand_as(scores), scores.detach(), "amax"
    )
    exponentials = (scores - largest[of_pair]).exp()
    sums = torch.zeros_like(nothing).index_add(0, of_pair, exponentials)
    mixed = (exponentials / sums[of_pair]).unsqueeze(-1) * value
    return query.new_zeros(len(query), *mixed.shape[1:]).index_add(0, of_pair, mixed).flatten(1)


def _plan(
    query: Tensor,
    memory: Tensor,
    table: Tensor | None,
    views: Views,
    heads: int,
    scale: float,
    *results: Tensor | None,
) -> ViewPlan:
    """The plan of a call; the results are those from `OUT` on."""
    biased = table is not None and views.offset is not None
    tensors = [query, memory, table if biased else None, *results]
    numbers = [
        0, len(views.view) - 1, heads, query.shape[1] // heads,
        int(np.float64(scale).view(np.int64)), views.view.data_ptr(), views.pair.data_ptr(),
        views.key.data_ptr(), views.offset.data_ptr() if biased and views.offset is not None else 0,
        table.shape[1] if biased and table is not None else 0,
        *(0 if t is None else t.data_ptr() for t in tensors),
        *(0,) * (6 - len(results)),
    ]  # fmt: skip
    return ViewPlan(np.array(numbers, np.int64), len(views.key))


def _forward(
    query: Tensor, memory: Tensor, table: Tensor | None, views: Views, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    """The mixtures, and the weights of all pairs."""
    from maskrl.kernels.scenes.team import run_views

    out, weights = torch.empty_like(query), query.new_empty(len(views.key) * heads)
    run_views(_plan(query, memory, table, views, heads, scale, out, weights))
    return out, weights


class _ViewsAttention(torch.autograd.Function):
    """One node of the graph for all views."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        memory: Tensor,
        table: Tensor | None,
        views: Views,
        heads: int,
        scale: float,
    ) -> Tensor:
        out, weights = _forward(query, memory, table, views, heads, scale)
        ctx.settings = heads, scale
        ctx.save_for_backward(query, memory, table, weights, *views.tensors())
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        from maskrl.kernels.scenes.team import run_table_gradient, run_views_gradient

        query, memory, table, weights, *lists = saved_of(ctx)
        views = Views(*lists)
        if torch.is_grad_enabled() or needs_torch(upstream[0]):
            return _again(ctx, query, memory, table, views, upstream[0])
        outward = upstream[0].contiguous()
        of_query, of_memory = torch.empty_like(query), torch.zeros_like(memory)
        of_scores = torch.empty_like(weights)
        of_table = None if table is None else torch.zeros_like(table)
        results = (outward, weights, of_query, of_memory, of_scores, of_table)
        plan = _plan(query, memory, table, views, *ctx.settings, *results)
        run_views_gradient(plan)
        if of_table is not None and views.offset is not None and ctx.needs_input_grad[2]:
            run_table_gradient(plan)
        return of_query, of_memory, of_table, None, None, None


def _again(
    ctx: Any,
    query: Tensor,
    memory: Tensor,
    table: Tensor | None,
    views: Views,
    upstream: Tensor,
) -> Any:
    """The gradients by the definition, which can be differentiated again if grad is enabled."""
    again = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views of tensors: one may be computed from the other, and hooks are for whole gradients.
        inputs = [None if t is None else t.view_as(t) for t in (query, memory, table)]
        needed = [
            need and t is not None for need, t in zip(ctx.needs_input_grad, inputs, strict=False)
        ]
        wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
        asked, known, biases = inputs
        heads, scale = ctx.settings
        out = views_by_definition(asked, known, views, heads, scale, biases)  # type: ignore[arg-type]
        found = iter(
            torch.autograd.grad(out, wanted, upstream, create_graph=again, allow_unused=True)  # type: ignore[arg-type]
        )
    return *(next(found) if need else None for need in needed), None, None, None

"""Attention between the entities of scenes as one operation of torch, on rows as they lie.

Queries, keys and values are what a projection wrote: rows `[N, E, parts * heads * width]`, read and
written in place of splitting, transposing and joining. One node of the graph stands for all of
it; its gradient is compiled too, and is torch's own where it is to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrl.kernels.dispatch import get_backend, is_traced
from maskrl.kernels.scenes.definition import Sight, attention_by_definition
from maskrl.kernels.scenes.plan import ScenePlan, lanes_for, up

MOST_KEYS = 1024
MOST_WIDTH = 256

_PLAIN = (Tensor, torch.nn.Parameter)


def takes(*rows: Tensor) -> bool:
    """Whether kernels can read these: plain float32 on the CPU, outside of transforms and modes."""
    return (
        all(
            type(r) in _PLAIN
            and r.dtype == torch.float32
            and r.is_cpu
            and r.numel() > 0
            and not r.is_neg()  # as imaginary parts of conjugates are: memory has the other sign
            for r in rows
        )
        and get_backend() != "reference"
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0  # such as fake tensors and counters of FLOPs
        and torch.autograd.forward_ad._current_level < 0
        and not is_traced(rows[0])
        and not torch.is_autocast_enabled("cpu")
    )


def fits(keys: int, width: int) -> bool:
    """Whether a head of a scene is small enough to stay in the nearest caches."""
    return keys <= MOST_KEYS and width <= MOST_WIDTH


def scene_attention(rows: Tensor, memory: Tensor | None, sight: Sight) -> Tensor:
    """Attend.

    Args:
        rows: Without `memory` queries, keys and values of the same entities
            [N, E, 3 * heads * width]; otherwise the queries [N, Q, heads * width].
        memory: Keys and values [N, E, 2 * heads * width]; or, of one head, [N, E, width], the
            keys being the values.
        sight: Who may attend to whom.

    Returns:
        [N, Q, heads * width].
    """
    rows = rows.contiguous()
    memory = None if memory is None else memory.contiguous()
    if torch.is_grad_enabled() and (
        rows.requires_grad or (memory is not None and memory.requires_grad)
    ):
        out: Tensor = _SceneAttention.apply(rows, memory, sight)  # type: ignore[no-untyped-call]
        return out
    return forward(rows, memory, sight, None)


def _strides(tensor: Tensor | None, heads: int, part: int) -> list[int]:
    """Address and strides of one part of rows that lie together."""
    if tensor is None:
        return [0, 0, 0, 0]
    _, entities, features = tensor.shape
    inner = features if part < 0 else part
    return [tensor.data_ptr(), entities * features, features, inner // heads]


def _numbers(
    rows: Tensor,
    memory: Tensor | None,
    sight: Sight,
    out: Tensor,
    gradients: tuple[Tensor, Tensor | None] | None,
    statistics: Tensor | None,
) -> list[int]:
    scenes, queries, inner = out.shape
    heads = sight.heads
    source = rows if memory is None else memory
    keys, parts = source.shape[1], source.shape[2] // inner

    def three(of_rows: Tensor, of_memory: Tensor | None) -> list[int]:
        joint = of_rows if of_memory is None else of_memory
        query, key, value = (
            _strides(of_rows, heads, inner),
            _strides(joint, heads, inner),
            _strides(joint, heads, inner),
        )
        key[0] += 4 * inner * (1 if parts == 3 else 0)
        value[0] += 4 * inner * (parts - 1)
        return [*query, *key, *value]

    inputs = three(rows, memory)
    of_inputs = [0] * 12 if gradients is None else three(*gradients)
    scale = int(np.float64(sight.scale).view(np.int64))
    return [
        0, scenes, queries, keys, heads, inner // heads, scale, *inputs,
        *_strides(out, heads, inner), *of_inputs, *sight_numbers(sight),
        0 if statistics is None else statistics.data_ptr(), 0,
    ]  # fmt: skip


def sight_numbers(sight: Sight) -> list[int]:
    """The numbers of a plan from `MASK` on."""
    mask = [0, 0, 0]
    if sight.permission is not None:
        mask = [sight.permission.data_ptr(), *_byte_strides(sight.permission)]
    return [*mask, *_flags(sight.looking), *_flags(sight.there)]


def _byte_strides(mask: Tensor) -> list[int]:
    scenes, rows, _ = mask.shape
    return [
        mask.stride(0) if scenes > 1 else 0,
        mask.stride(1) if rows > 1 else 0,
    ]


def _flags(flags: Tensor | None) -> list[int]:
    if flags is None:
        return [0, 0]
    return [flags.data_ptr(), flags.stride(0) if flags.shape[0] > 1 else 0]


def ready(sight: Sight) -> Sight:
    """The same with bytes of a row side by side."""
    tensors = [
        t if t is None or t.stride(-1) == 1 or t.shape[-1] <= 1 else t.contiguous()
        for t in (sight.permission, sight.looking, sight.there)
    ]
    return Sight(sight.heads, sight.scale, *tensors)


def forward(
    rows: Tensor,
    memory: Tensor | None,
    sight: Sight,
    statistics: Tensor | None,
) -> Tensor:
    """`scene_attention` without a graph.

    Args:
        rows: As of `scene_attention`, lying together.
        memory: Likewise.
        sight: Likewise.
        statistics: Written for `backward`; None if there will be none.
    """
    from maskrl.kernels.scenes.team import run_forward

    scenes, queries, features = rows.shape
    inner = features // 3 if memory is None else features
    out = rows.new_empty(scenes, queries, inner)
    sight = ready(sight)  # kept until the kernel is done
    run_forward(ScenePlan.of(_numbers(rows, memory, sight, out, None, statistics)))
    return out


def backward(
    rows: Tensor,
    memory: Tensor | None,
    sight: Sight,
    statistics: Tensor,
    upstream: Tensor,
    gradients: tuple[Tensor, Tensor | None],
) -> None:
    """Write the gradients of `rows` and `memory`; `upstream` [N, Q, heads * width] together."""
    from maskrl.kernels.scenes.team import run_gradient

    sight = ready(sight)  # kept until the kernel is done
    numbers = _numbers(rows, memory, sight, upstream, gradients, statistics)
    run_gradient(ScenePlan.of(numbers))


def room_for_statistics(rows: Tensor, heads: int) -> Tensor:
    """Room for the largest score and the inverse sum of each query, block by block."""
    scenes, queries, _ = rows.shape
    return rows.new_empty(scenes, heads, 2, up(queries, lanes_for(queries)))


class _SceneAttention(torch.autograd.Function):
    """One node for queries, keys and values joined or apart."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, memory: Tensor | None, sight: Sight) -> Tensor:
        statistics = room_for_statistics(rows, sight.heads)
        out = forward(rows, memory, sight, statistics)
        ctx.sight = sight.without_masks()
        ctx.save_for_backward(rows, memory, statistics, *sight.saved())
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        rows, memory, statistics, *masks = saved_of(ctx)
        sight = ctx.sight.restored(masks)
        if torch.is_grad_enabled() or needs_torch(upstream[0]):
            return _again(ctx, rows, memory, sight, upstream[0])
        gradients = (torch.empty_like(rows), None if memory is None else torch.empty_like(memory))
        backward(rows, memory, sight, statistics, upstream[0].contiguous(), gradients)
        return *gradients, None


def saved_of(ctx: Any) -> tuple[Any, ...]:
    """What was saved, lying together: hooks on saved tensors may give back another layout."""
    return tuple(t if t is None else t.contiguous() for t in ctx.saved_tensors)


def needs_torch(upstream: Tensor) -> bool:
    """Whether a gradient is none that kernels can read.

    Several at once, traced, to be cast, with a tangent, or stored with the other sign.
    """
    functorch = torch._C._functorch
    return (
        is_traced(upstream)
        or functorch.is_batchedtensor(upstream)
        or functorch.is_legacy_batchedtensor(upstream)
        or torch.is_autocast_enabled("cpu")
        or torch.autograd.forward_ad._current_level >= 0
        or upstream.is_neg()
    )


def _again(ctx: Any, rows: Tensor, memory: Tensor | None, sight: Sight, upstream: Tensor) -> Any:
    """The gradients by the definition, which can be differentiated again if grad is enabled."""
    again = torch.is_grad_enabled()
    needed = ctx.needs_input_grad
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views: one may be computed from the other, and hooks are for whole gradients.
        rows = rows.view_as(rows)
        memory = None if memory is None else memory.view_as(memory)
        inputs: Sequence[Tensor | None] = (rows, memory)
        wanted = [t for t, need in zip(inputs, needed, strict=False) if need and t is not None]
        out = attention_by_definition(rows, memory, sight)
        found = iter(torch.autograd.grad(out, wanted, upstream, create_graph=again))
    return tuple(next(found) if need else None for need in needed)

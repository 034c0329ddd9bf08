"""Attention under a permission: softmax(query key^T) value over the allowed keys only.

Two paths give the same numbers. The fused one is torch's
`scaled_dot_product_attention` with a boolean mask; the keys-first one is two
batched matrix products around a softmax over the last but one axis, several
times faster for the few entities of a scene, and the one that returns the
maps. `attend` chooses. A row that may attend to nothing gives exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from maskrl.errors import MaskShapeError
from maskrl.kernels.dispatch import is_traced
from maskrl.masks.check import check_mask

KEYS_FIRST_LIMIT = 32
"""Up to this many keys the keys-first path serves float32 and float64 on the CPU.

Forward and backward of 12288 queries in scenes of E entities, 4 heads of width 16, one thread with
AVX-512, fused against keys-first: E = 6: 27 and 14 ms; 12: 28 and 15; 32: 18 and 17; 48: 21 and 28;
64: 22 and 32.
"""


def masked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    permission: Tensor | None = None,
    *,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention in which a query attends to its permitted keys only.

    What is not permitted has weight exactly 0 and gets gradient exactly 0, as long as queries,
    keys and values are finite: replace the content of padding with `where` beforehand.

    Args:
        query: [..., Q, D].
        key: [..., E, D]. Leading dimensions broadcast.
        value: [..., E, V].
        permission: bool [..., Q, E] or [..., 1, E], True = query i may attend to key j; leading
            dimensions broadcast. None permits everything.
        scale: Factor on the scores; 1 / sqrt(D) if None.

    Returns:
        [..., Q, V], in the dtype of `value`.

    Raises:
        MaskDtypeError: `permission` is not boolean.
        MaskShapeError: `permission` or the tensors do not broadcast, or D is 0.

    Empty rows:
        Output and gradient are exactly 0.
    """
    lead = _check("masked_attention", query, key, value, permission)
    opened, kept = open_empty_rows(permission)
    out = attend(query, key, value, opened, scale=scale, lead=lead)
    return out if kept is None else torch.where(kept, out, 0.0)


def masked_attention_with_maps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    permission: Tensor | None = None,
    *,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`masked_attention` and its maps: who attends to whom, and how much.

    Args:
        query: [..., Q, D].
        key: [..., E, D].
        value: [..., E, V].
        permission: As in `masked_attention`.
        scale: As in `masked_attention`.

    Returns:
        The output [..., Q, V], and the weights [..., Q, E]: each row sums to 1, with exactly 0
        where nothing is permitted. Both are differentiable.

    Raises:
        MaskDtypeError: `permission` is not boolean.
        MaskShapeError: `permission` or the tensors do not broadcast, or D is 0.

    Empty rows:
        Output, weights and gradient are exactly 0.
    """
    lead = _check("masked_attention_with_maps", query, key, value, permission)
    opened, kept = open_empty_rows(permission)
    out, maps = attend_with_maps(query, key, value, opened, scale=scale, lead=lead)
    if kept is None:
        return out, maps
    return torch.where(kept, out, 0.0), torch.where(kept, maps, 0.0)


def open_empty_rows(permission: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Permit everything in rows that permit nothing, and say which rows are to be kept.

    No softmax has an answer for an empty row, and kernels give different ones. So such a row is
    opened before the kernel and its result replaced by 0 after it.

    Args:
        permission: bool [..., Q, E] or None.

    Returns:
        The opened permission, and bool [..., Q, 1], True = the row permits something. Both are
        unchanged and None where it can be known for free that no row is empty.
    """
    if permission is None:
        return None, None
    kept = permission.any(-1, keepdim=True)
    # On the CPU a look at the values is cheaper than guarding against what is not there.
    if permission.device.type == "cpu" and not is_traced(permission) and bool(kept.all()):
        return permission, None
    return permission | ~kept, kept


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    opened: Tensor | None,
    *,
    scale: float | None = None,
    lead: Sequence[int] | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """`masked_attention` without checks, for a permission of which no row is empty.

    Args:
        query: [..., Q, D].
        key: [..., E, D].
        value: [..., E, V].
        opened: bool [..., Q or 1, E], no row empty, or None.
        scale: Factor on the scores; 1 / sqrt(D) if None.
        lead: The leading dimensions of the result, if they are known.
        bias: [..., Q, E], finite, added to the scaled scores; leading dimensions broadcast.

    Returns:
        [..., Q, V].
    """
    if _keys_first_is_faster(query, key) or _is_transformed():
        return _keys_first(query, key, value, opened, scale, lead, bias)[0]
    return _fused(query, key, value, opened, scale, lead, bias)


def attend_with_maps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    opened: Tensor | None,
    *,
    scale: float | None = None,
    lead: Sequence[int] | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`attend`, and its maps [..., Q, E]."""
    dtype, kind = value.dtype, query.device.type
    autocast = _is_autocast(kind)
    if dtype in (torch.float16, torch.bfloat16) or (autocast and dtype is torch.float32):
        query, key, value = query.float(), key.float(), value.float()
        bias = None if bias is None else bias.float()
    with torch.autocast(kind, enabled=False) if autocast else nullcontext():
        out, weights = _keys_first(query, key, value, opened, scale, lead, bias)
    return out.to(dtype), weights.transpose(-1, -2).to(dtype)


def _keys_first_is_faster(query: Tensor, key: Tensor) -> bool:
    """The one place that chooses between the two paths."""
    # Tracing comes first: a size that is looked at is no longer free.
    return (
        not is_traced(query)
        and key.shape[-2] <= KEYS_FIRST_LIMIT
        and query.device.type == "cpu"
        and query.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
    )


def _is_transformed() -> bool:
    """Whether a transform (vmap, grad, jvp) or forward-mode AD runs, which knows no `Function`."""
    return not torch.compiler.is_compiling() and (
        torch._C._functorch.peek_interpreter_stack() is not None
        or torch.autograd.forward_ad._current_level >= 0
    )


def _is_autocast(kind: str) -> bool:
    """Whether a device of this kind would compute in another type than it is given."""
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    opened: Tensor | None,
    scale: float | None,
    lead: Sequence[int] | None,
    bias: Tensor | None = None,
) -> Tensor:
    """Torch's kernel, which wants four dimensions to be at its fastest."""
    lead = _lead_of(query, key, value, opened, bias) if lead is None else lead
    if bias is not None:
        opened = bias if opened is None else torch.where(opened, bias, -math.inf)
        opened = opened.to(query.dtype)
    tensors = [query, key, value] if opened is None else [query, key, value, opened]
    shape = (math.prod(lead[:-1]), lead[-1] if lead else 1)
    query, key, value, *rest = (
        t.expand(*lead, *t.shape[-2:]).reshape(*shape, *t.shape[-2:]) for t in tensors
    )
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=rest[0] if rest else None, scale=scale
    )
    return out.reshape(*lead, *out.shape[-2:])


def _keys_first(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    opened: Tensor | None,
    scale: float | None,
    lead: Sequence[int] | None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output [..., Q, V] and weights [..., E, Q], keys before queries."""
    lead = tuple(_lead_of(query, key, value, opened, bias) if lead is None else lead)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if _is_transformed():
        scores = torch.matmul(key, query.transpose(-1, -2)) * scale
        scores = scores if bias is None else scores + bias.transpose(-1, -2)
        if opened is not None:
            scores = torch.where(opened.transpose(-1, -2), scores, -math.inf)
        weights = scores.softmax(-2)
        return torch.matmul(weights.transpose(-1, -2), value), weights
    distinct = (query, key) if value is key else (query, key, value)
    query, key, *values = (
        t.expand(*lead, *t.shape[-2:]).reshape(math.prod(lead), *t.shape[-2:]) for t in distinct
    )
    ceiling = None
    if opened is not None:
        # Contiguous, because `minimum` is vectorised only where the layouts agree.
        columns = opened.transpose(-1, -2).contiguous()
        ceiling = torch.where(columns, math.inf, -math.inf).to(query.dtype)
    if bias is not None:
        bias = bias.transpose(-1, -2).to(query.dtype)
        bias = bias.expand(*lead, *bias.shape[-2:]).reshape(math.prod(lead), *bias.shape[-2:])
    value_ = values[0] if values else None
    out, weights = cast(
        tuple[Tensor, Tensor],
        _KeysFirst.apply(query, key, value_, bias, ceiling, scale, lead),  # type: ignore[no-untyped-call]
    )
    return out.view(*lead, *out.shape[-2:]), weights.view(*lead, *weights.shape[-2:])


class _KeysFirst(Function):
    """Attention with its scores laid out [N, E, Q]: the softmax runs along a strided axis.

    Torch's softmax over a short last axis is scalar: for 12 keys it took two thirds of the time
    of the whole attention. The backward pass needs no mask, because a weight of exactly 0 makes
    the gradient of its score exactly 0. It consists of differentiable operations on inputs and
    outputs, so it can be differentiated again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor | None,
        bias: Tensor | None,
        ceiling: Tensor | None,
        scale: float,
        lead: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        weights = torch.bmm(key, query.transpose(1, 2)).mul_(scale)
        if bias is not None:
            weights.add_(bias)
        if ceiling is not None:
            # The smaller of score and ceiling selects: no score, however large, gets through.
            scores = weights.view(*lead, *weights.shape[1:])
            torch.minimum(scores, ceiling, out=scores)
        if weights.shape[1]:  # of no keys there is no largest score, and nothing to divide
            weights.sub_(weights.amax(1, keepdim=True)).exp_()
            weights.div_(weights.sum(1, keepdim=True))
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return torch.bmm(weights.transpose(1, 2), key if value is None else value), weights

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor | None, grad_weights: Tensor | None) -> Any:
        query, key, value, weights = ctx.saved_tensors
        if grad_out is not None:
            through = torch.bmm(key if value is None else value, grad_out.transpose(1, 2))
            grad_weights = through if grad_weights is None else through + grad_weights
        if grad_weights is None:
            return (None,) * 7
        scores = grad_weights * weights
        scores = torch.addcmul(scores, weights, scores.sum(1, keepdim=True), value=-1)
        grad_bias = scores if ctx.needs_input_grad[3] else None
        scores = scores * ctx.scale
        grad_query = torch.bmm(scores.transpose(1, 2), key)
        grad_value = None
        if value is None and grad_out is not None:  # both gradients of the keys in one product
            scores, query = torch.cat([scores, weights], 2), torch.cat([query, grad_out], 1)
        elif grad_out is not None:
            grad_value = torch.bmm(weights, grad_out)
        return grad_query, torch.bmm(scores, query), grad_value, grad_bias, None, None, None


def _lead_of(*tensors: Tensor | None) -> tuple[int, ...]:
    return _broadcast([t for t in tensors if t is not None])


def _broadcast(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*(t.shape[:-2] for t in tensors)))


def _check(
    operation: str, query: Tensor, key: Tensor, value: Tensor, permission: Tensor | None
) -> tuple[int, ...]:
    """The leading dimensions of the result, if everything fits together."""
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    fits = min(query.ndim, key.ndim, value.ndim) >= 2 and (
        query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2]
    )
    if not fits:
        raise MaskShapeError(
            f"{operation}: expected query [..., Q, D], key [..., E, D], value [..., E, V]; "
            f"got {shapes}."
        )
    if query.shape[-1] == 0:
        raise MaskShapeError(
            f"{operation}: queries and keys have no features, so nothing says who is attended to; "
            f"expected D of at least 1, got {shapes}."
        )
    try:
        lead = _broadcast([query, key, value])
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: leading dimensions do not broadcast: got {shapes}."
        ) from None
    if permission is not None:
        scores = (*lead, query.shape[-2], key.shape[-2])
        check_mask(operation, "permission", permission, scores, data="scores")
    return lead

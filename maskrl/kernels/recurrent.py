"""A GRU over segments of different lengths as one operation.

The definition is torch's own, which records several operations for every step and looks up
the way back through all of them. For float32 on the CPU `gru` computes the same with one matrix
product and one compiled pass a step, and everything that does not depend on the step before in
products over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.kernels.dispatch import is_traced
from maskrl.kernels.gates import gru_backward, gru_forward

_PLAIN = (Tensor, torch.nn.Parameter)


def gru_by_definition(
    x: Tensor, sizes: Sequence[int], state: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The definition; arguments as of `gru`."""
    begin = state.unsqueeze(0)
    out, last = torch.gru(x, torch.tensor(sizes), begin, list(weights), True, 1, 0.0, False, False)
    return out, last.squeeze(0)


def gru(
    x: Tensor, sizes: Sequence[int], state: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Outputs of a GRU layer, and the states that it ends with.

    Args:
        x: `[R, F]`: the first step of all segments, then the second of those that have one, ...;
            the longest segments come first.
        sizes: How many segments have a first step, a second, ...: positive, never rising.
        state: `[S, H]`, before the first step of each segment.
        weights: Of input `[3 H, F]` and state `[3 H, H]`, their biases `[3 H]`, in the order
            and layout of `torch.nn.GRU`.

    Returns:
        Outputs `[R, H]`, and states `[S, H]` after the last step of each segment, as torch
        computes them but for float32 rounding; differentiable any number of times.
    """
    if not (_takes(x, state, weights) and _fits(x, sizes, state, weights)):
        return gru_by_definition(x, sizes, state, weights)
    if not torch.is_grad_enabled():
        return _forward(x, sizes, state.contiguous(), weights)[:2]
    both: tuple[Tensor, Tensor] = _GRU.apply(x, tuple(sizes), state, *weights)  # type: ignore[no-untyped-call]
    return both


def _takes(x: Tensor, state: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether the kernels can read this."""
    return (
        all(type(t) in _PLAIN and t.dtype == torch.float32 and t.is_cpu for t in (x, state))
        and all(
            type(w) in _PLAIN and w.dtype == torch.float32 and w.is_cpu and w.is_contiguous()
            for w in weights
        )
        and len(x) > 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.autograd.forward_ad._current_level < 0
        and not is_traced(x)
        and not torch.is_autocast_enabled("cpu")
    )


def _fits(x: Tensor, sizes: Sequence[int], state: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether the kernels stay inside of what they are given; torch says what does not fit."""
    if x.ndim != 2 or state.ndim != 2:
        return False
    features, hidden = x.shape[1], state.shape[1]
    gates = 3 * hidden
    shapes = [(gates, features), (gates, hidden), (gates,), (gates,)]
    return (
        sum(sizes) == len(x)
        and sizes[0] == len(state)
        and sizes[-1] > 0
        and all(n >= following for n, following in zip(sizes, sizes[1:], strict=False))
        and [tuple(w.shape) for w in weights] == shapes
    )


def _forward(
    x: Tensor, sizes: Sequence[int], state: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, last states, and the gates `[R, 4 H]`, without a graph."""
    of_input, of_state, input_bias, bias = weights
    hidden = state.shape[1]
    given = torch.addmm(input_bias, x, of_input.t())
    recurrent = x.new_empty(sizes[0], 3 * hidden)
    out, gates = x.new_empty(len(x), hidden), x.new_empty(len(x), 4 * hidden)
    to_gates = of_state.t()
    addresses = [t.data_ptr() for t in (given, recurrent, bias, gates, out)]
    at_given, at_recurrent, at_bias, at_gates, at_out = addresses
    before, at, row = state, 0, 4 * hidden
    ends: list[Tensor] = []
    for step, n in enumerate(sizes):
        before = before[:n]
        torch.mm(before, to_gates, out=recurrent[:n])
        gru_forward(
            at_given + 3 * row * at,
            at_recurrent,
            at_bias,
            before.data_ptr(),
            at_gates + 4 * row * at,
            at_out + row * at,
            n,
            hidden,
        )
        before = out[at : at + n]
        going_on = sizes[step + 1] if step + 1 < len(sizes) else 0
        if going_on < n:
            ends.append(before[going_on:])
        at += n
    return out, torch.cat(ends[::-1]), gates


class _GRU(torch.autograd.Function):
    """A layer with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes: tuple[int, ...], state: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        out, last, gates = _forward(x, sizes, state.contiguous(), weights)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, state, *weights, out, gates)
        return out, last

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        x, state, *weights, out, gates = ctx.saved_tensors
        # What is saved may come back laid out in another way.
        out, gates = out.contiguous(), gates.contiguous()
        if torch.is_grad_enabled() or _needs_torch(upstream):
            return _again(ctx, x, state, weights, upstream)
        sizes, hidden = ctx.sizes, state.shape[1]
        of_input, of_state = weights[0], weights[1]
        of_out = torch.zeros_like(out) if upstream[0] is None else upstream[0].contiguous()
        if upstream[1] is None:
            carry = state.new_zeros(state.shape)
        else:
            carry = upstream[1].clone(memory_format=torch.contiguous_format)
        gradient = torch.empty_like(gates)
        state = state.contiguous()
        befores = [state]
        at = 0
        for n, following in zip(sizes, sizes[1:], strict=False):
            befores.append(out[at : at + following])
            at += n
        at_out, at_gates, at_gradient = (t.data_ptr() for t in (of_out, gates, gradient))
        at_carry, row = carry.data_ptr(), 4 * hidden
        by_state = gradient[:, hidden:]
        of_begin = ctx.needs_input_grad[2]
        at = len(x)
        for step in range(len(sizes) - 1, -1, -1):
            n = sizes[step]
            at -= n
            gru_backward(
                at_out + row * at,
                at_carry,
                at_gates + 4 * row * at,
                befores[step].data_ptr(),
                at_gradient + 4 * row * at,
                n,
                hidden,
            )
            if step or of_begin:
                carry[:n].addmm_(by_state[at : at + n], of_state)
        sums = gradient.sum(0)
        by_input = gradient[:, : 3 * hidden]  # in the order new, reset, update
        of_weight = torch.mm(by_input.t(), x)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.mm(by_input, _turned(of_input, 2 * hidden))
        return (
            of_x,
            None,
            carry if of_begin else None,
            _turned(of_weight, hidden),
            torch.mm(by_state.t(), torch.cat(befores)),
            _turned(sums[: 3 * hidden], hidden),
            sums[hidden:],
        )


def _turned(rows: Tensor, first: int) -> Tensor:
    """The rows from `first` on, then those before."""
    return torch.cat([rows[first:], rows[:first]])


def _needs_torch(upstream: Sequence[Tensor | None]) -> bool:
    """Whether kernels cannot read a gradient: several at once, to be cast, or with a tangent."""
    functorch = torch._C._functorch
    if torch.is_autocast_enabled("cpu") or torch.autograd.forward_ad._current_level >= 0:
        return True
    return any(
        g is not None
        and (
            functorch.is_batchedtensor(g)
            or functorch.is_legacy_batchedtensor(g)
            or g.dtype != torch.float32
        )
        for g in upstream
    )


def _again(
    ctx: Any,
    x: Tensor,
    state: Tensor,
    weights: Sequence[Tensor],
    upstream: Sequence[Tensor | None],
) -> Any:
    """The gradients by the definition, which can be differentiated again if grad is enabled."""
    again = torch.is_grad_enabled()
    needed = ctx.needs_input_grad
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views: one of them may be computed from another, or be the same tensor.
        x, state, *weights = (t.view_as(t) for t in (x, state, *weights))
        places = (x, None, state, *weights)
        wanted = [t for t, need in zip(places, needed, strict=True) if need and t is not None]
        answers = gru_by_definition(x, ctx.sizes, state, weights)
        asked = [pair for pair in zip(answers, upstream, strict=True) if pair[1] is not None]
        found = iter(
            torch.autograd.grad(
                [answer for answer, _ in asked],
                wanted,
                [gradient for _, gradient in asked],
                create_graph=again,
                allow_unused=True,
            )
        )
    return tuple(next(found) if need else None for need in needed)

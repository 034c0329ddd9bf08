"""A perceptron as one operation: linear layers with an activation between, the last one bare.

The definition is a few lines of torch, `layer_by_layer`. For float32 on the CPU `perceptron`
computes the same with biases and activations as a single pass over what the matrix products
wrote, and with one node for the gradient instead of two for every layer. Who needs no graph
at all calls `forward_layers` and `backward_layers`, which write where they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.kernels.dispatch import is_traced
from maskrl.kernels.layers import IDENTITY, RELU, TANH, activate, retreat

KINDS = {"tanh": TANH, "relu": RELU}
"""Activations that are compiled, by name."""

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": F.relu}

_PLAIN = (Tensor, torch.nn.Parameter)

MOST = 1 << 20
"""Outputs of a layer beyond which torch's threads are worth more than a single pass."""


def layer_by_layer(x: Tensor, layers: Sequence[Tensor], activation: str, *, bare: bool) -> Tensor:
    """The definition; arguments as of `perceptron`."""
    function = _FUNCTIONS[activation]
    last = len(layers) - 2 if bare else -1
    for i in range(0, len(layers), 2):
        x = F.linear(x, layers[i], layers[i + 1])
        x = x if i == last else function(x)
    return x


def perceptron(x: Tensor, layers: Sequence[Tensor], activation: str, *, bare: bool) -> Tensor:
    """Outputs `[..., n]` of linear layers, each followed by the activation.

    Args:
        x: `[..., m]`.
        layers: Weight `[out, in]` and bias `[out]` of the first layer, then of the next, ...
        activation: "tanh" or "relu".
        bare: Whether the last layer has no activation.

    Returns:
        As `layer_by_layer`, but for float32 rounding; differentiable any number of times.
    """
    if is_traced(x) or not takes(x, widest(layers)):
        return layer_by_layer(x, layers, activation, bare=bare)
    kind = KINDS[activation]
    if not torch.is_grad_enabled():
        return forward_layers(x, layers, kind, bare=bare)[-1]
    out: Tensor = _Perceptron.apply(x, kind, bare, *layers)  # type: ignore[no-untyped-call]
    return out


def widest(layers: Sequence[Tensor]) -> int:
    """The largest width of layers that `forward_layers` can compute; 0 if it cannot."""
    for tensor in layers:
        if type(tensor) not in _PLAIN:  # a layer without a bias, or weights of another kind
            return 0
        if tensor.dtype != torch.float32 or not tensor.is_cpu or not tensor.is_contiguous():
            return 0
    return max((bias.shape[0] for bias in layers[1::2]), default=0)


def takes(x: Tensor, width: int) -> bool:
    """Whether `forward_layers` can read this: rows `[B, m]` of plain float32, not too many.

    Args:
        x: The input.
        width: As from `widest`.
    """
    return (
        type(x) in _PLAIN
        and x.ndim == 2
        and x.dtype == torch.float32
        and x.is_cpu
        and 0 < x.shape[0] * width <= MOST
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.autograd.forward_ad._current_level < 0
        and not is_traced(x)
        and not torch.is_autocast_enabled("cpu")
    )


def forward_layers(
    x: Tensor,
    layers: Sequence[Tensor],
    kind: int,
    *,
    bare: bool,
    outputs: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """The outputs of every layer, without a graph.

    Args:
        x: `[B, m]`; `takes(x, widest(layers))` holds.
        layers: As of `perceptron`.
        kind: One of `KINDS`.
        bare: As of `perceptron`.
        outputs: Where they are written, `[B, out]` for each layer; None allocates.

    Returns:
        `outputs`.
    """
    rows, last = x.shape[0], len(layers) // 2 - 1
    written = []
    for k in range(last + 1):
        weight, bias = layers[2 * k], layers[2 * k + 1]
        x = torch.mm(x, weight.t(), out=None if outputs is None else outputs[k])
        of = IDENTITY if bare and k == last else kind
        activate(of, x.data_ptr(), bias.data_ptr(), rows, bias.shape[0])
        written.append(x)
    return written


def backward_layers(
    upstream: Tensor,
    x: Tensor,
    layers: Sequence[Tensor],
    outputs: Sequence[Tensor],
    kind: int,
    *,
    bare: bool,
    gradients: Sequence[Tensor],
    of_x: bool,
    room: Sequence[Tensor] | None = None,
) -> Tensor | None:
    """Write the gradients of all layers.

    Args:
        upstream: That of the last output `[B, n]`, contiguous; overwritten.
        x: As of the forward pass.
        layers: As of the forward pass.
        outputs: What the forward pass gave.
        kind: As of the forward pass.
        bare: As of the forward pass.
        gradients: Written: one for each of `layers`.
        of_x: Whether the gradient of `x` is wanted.
        room: Overwritten: a tensor in the shape of each layer's input; None allocates.

    Returns:
        The gradient `[B, m]` of `x`, or None.
    """
    rows, last = x.shape[0], len(layers) // 2 - 1
    g = upstream
    for k in range(last, -1, -1):
        of = IDENTITY if bare and k == last else kind
        of_bias = gradients[2 * k + 1]
        width = of_bias.shape[0]
        retreat(of, g.data_ptr(), outputs[k].data_ptr(), rows, width, of_bias.data_ptr())
        torch.mm(g.t(), outputs[k - 1] if k else x, out=gradients[2 * k])
        if k or of_x:
            g = torch.mm(g, layers[2 * k], out=None if room is None else room[k])
    return g if of_x else None


class _Perceptron(torch.autograd.Function):
    """All layers of a perceptron, with their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: int, bare: bool, *layers: Tensor) -> Tensor:
        outputs = forward_layers(x, layers, kind, bare=bare)
        ctx.kind, ctx.bare = kind, bare
        ctx.save_for_backward(x, *layers, *outputs)
        return outputs[-1]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        saved = ctx.saved_tensors
        count = 2 * ((len(saved) - 1) // 3)
        x, layers, outputs = saved[0], saved[1 : 1 + count], saved[1 + count :]
        if torch.is_grad_enabled() or _needs_torch(upstream[0]):
            return _again(ctx, x, layers, upstream[0])
        gradients = [torch.empty_like(tensor) for tensor in layers]
        of_x = backward_layers(
            upstream[0].clone(memory_format=torch.contiguous_format),
            x,
            layers,
            outputs,
            ctx.kind,
            bare=ctx.bare,
            gradients=gradients,
            of_x=ctx.needs_input_grad[0],
        )
        return of_x, None, None, *gradients


def _needs_torch(upstream: Tensor) -> bool:
    """Whether a gradient is none that kernels can read: several at once, or to be cast."""
    functorch = torch._C._functorch
    return (
        functorch.is_batchedtensor(upstream)
        or functorch.is_legacy_batchedtensor(upstream)
        or torch.is_autocast_enabled("cpu")
    )


def _again(ctx: Any, x: Tensor, layers: Sequence[Tensor], upstream: Tensor) -> Any:
    """The gradients by the definition, which can be differentiated again if grad is enabled."""
    again = torch.is_grad_enabled()
    name = next(name for name, kind in KINDS.items() if kind == ctx.kind)
    needed = ctx.needs_input_grad
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views: x may be computed from these very layers, and hooks are for whole gradients.
        x, *layers = (t.view_as(t) for t in (x, *layers))
        places = (x, None, None, *layers)
        wanted = [t for t, need in zip(places, needed, strict=True) if need and t is not None]
        out = layer_by_layer(x, layers, name, bare=ctx.bare)
        found = iter(
            torch.autograd.grad(out, wanted, upstream, create_graph=again, allow_unused=True)
        )
    return tuple(next(found) if need else None for need in needed)

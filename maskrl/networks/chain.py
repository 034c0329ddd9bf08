"""The layers of an encoder and its head in one loop, for as long as nobody exchanges them.

For a few dozen rows, finding submodules and parameters by name takes longer than the
arithmetic. A trainer that calls one network thousands of times reads the layers out once,
and without gradients they are computed as one operation. Where somebody listens to the
modules or computes their weights anew at every call, there is no chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
import torch.nn.modules.module as modules
from torch import Tensor, nn

from maskrl.kernels.perceptron import KINDS, MOST, forward_layers, perceptron, widest
from maskrl.networks.encoders import DictEncoder, FlatNumbers
from maskrl.networks.heads import PolicyHead, ValueHead
from maskrl.networks.mlp import COMPILED, MLP

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


class Chain:
    """An encoder and a linear head: dict of `[B, ...]` to `[B, out]`.

    With a gradient the results are those of the modules, to the digit.

    Args:
        encoder: Read out, except for its parts.
        head: The last layer.
    """

    __slots__ = (
        "_activation",
        "_encoder",
        "_hidden",
        "_key",
        "_kind",
        "_last",
        "_layers",
        "_most",
        "_name",
    )

    def __init__(self, encoder: DictEncoder, head: nn.Linear) -> None:
        self._encoder = encoder
        is_flat = len(encoder.parts) == 1 and type(encoder.parts[0]) is FlatNumbers
        self._key = encoder.keys[0] if is_flat else None
        self._activation = encoder.trunk.activation
        self._hidden = [tensor for layer in encoder.trunk.layers for tensor in _weights(layer)]
        self._last = _weights(head)
        self._layers = [*self._hidden, *self._last]
        width = widest(self._layers)
        self._name = COMPILED.get(self._activation)
        self._kind = KINDS[self._name] if self._name is not None and width else None
        self._most = MOST // max(width, 1)

    def __call__(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What the head gives for B observations."""
        x = None if self._key is None else obs[self._key]
        if x is None or x.ndim != 2 or not x.is_floating_point():
            x = self._encoder.joined(obs)
        if self._kind is not None and not torch.is_grad_enabled() and self._is_served(x):
            return forward_layers(x, self._layers, self._kind, bare=True)[-1]
        if self._name is not None:
            return F.linear(perceptron(x, self._hidden, self._name, bare=False), *self._last)
        for weight, bias in zip(self._hidden[::2], self._hidden[1::2], strict=True):
            x = self._activation(F.linear(x, weight, bias))
        return F.linear(x, *self._last)

    def _is_served(self, x: Tensor) -> bool:
        """Whether the layers, which are fit for it, may be one operation on these rows."""
        return (
            x.dtype == torch.float32
            and x.is_cpu
            and 0 < len(x) <= self._most
            and not torch.is_autocast_enabled("cpu")
        )


def chain_of(encoder: nn.Module | None, head: nn.Module) -> Chain | None:
    """The chain of an encoder and a head; None where the modules must be called.

    Args:
        encoder: A `DictEncoder`, or anything else, of which there is no chain.
        head: A `PolicyHead` or `ValueHead`, or anything else likewise.
    """
    if type(encoder) is not DictEncoder or type(encoder.trunk) is not MLP:
        return None
    if type(head) not in (PolicyHead, ValueHead):
        return None
    linear: Any = head.linear
    layers = [*encoder.trunk.layers, linear]
    outer = [encoder, encoder.trunk, head]
    if type(encoder.parts[0]) is FlatNumbers:
        outer.append(encoder.parts[0])
    if not all(type(layer) is nn.Linear and layer.bias is not None for layer in layers):
        return None
    if is_watched([*outer, *layers]):
        return None
    return Chain(encoder, linear)


def is_watched(given: Iterable[nn.Module]) -> bool:
    """Whether calling one of the modules would do more than its forward pass."""
    return any(getattr(modules, f"_global{name}") for name in _HOOKS) or any(
        module._compiled_call_impl is not None
        or "forward" in vars(module)  # put in the place of its class's own
        or any(getattr(module, name) for name in _HOOKS)
        for module in given
    )


def _weights(layer: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, nn.Linear)
    return layer.weight, layer.bias

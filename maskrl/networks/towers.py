"""Policy and value networks that are nothing but perceptrons, trained without a graph.

Autograd records every operation and looks up the way back; for a network of three layers and
a minibatch of 64 rows that takes longer than the matrix products. Where actor and critic are
plain perceptrons over the joined features, their outputs and the gradients of their parameters
are written down here, into memory that is allocated once. Everything else goes through autograd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from maskrl.kernels.perceptron import KINDS, backward_layers, forward_layers, takes, widest
from maskrl.networks.chain import chain_of, is_watched
from maskrl.networks.encoders import DictEncoder, FlatNumbers, OneHot
from maskrl.networks.heads import PolicyHead, ValueHead
from maskrl.networks.mlp import COMPILED

_MOST_ROOMS = 8


class Towers:
    """Logits and values of observations, and the gradients of all parameters.

    Args:
        encoders: Of actor and critic; the same one twice if they share it.
        heads: The last layers, of logits and of the value.
        activation: Of the hidden layers: one of `KINDS`.

    Attributes:
        parameters: All that are trained.
    """

    def __init__(
        self,
        encoders: tuple[DictEncoder, DictEncoder],
        heads: tuple[nn.Linear, nn.Linear],
        activation: str,
    ) -> None:
        self._encoder = encoders[0]
        self._kind = KINDS[activation]
        trunks: list[list[Tensor]] = [_weights(*e.trunk.layers) for e in encoders]
        lasts: list[list[Tensor]] = [_weights(head) for head in heads]
        self._trunk: list[Tensor] = []
        self._is_shared = encoders[0] is encoders[1]
        if self._is_shared:
            self._trunk, self._towers = trunks[0], lasts
        else:
            self._towers = [a + b for a, b in zip(trunks, lasts, strict=True)]
        self.parameters = [p for part in (self._trunk, *self._towers) for p in part]
        self._widest = widest(self.parameters)
        part = encoders[0].parts[0]
        is_flat = len(encoders[0].parts) == 1 and type(part) is FlatNumbers
        self._key = encoders[0].keys[0] if is_flat else None
        self._rooms: dict[int, _Room] = {}

    def forward(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Logits `[B, A]` and values `[B]`, valid until the next call; None to use autograd.

        Both are leaves, with respect to which a loss may be differentiated.

        Args:
            obs: What the encoders read of B observations.
        """
        with torch.no_grad():
            x = None if self._key is None else obs[self._key]
            if x is None or x.ndim != 2 or not x.is_floating_point():
                x = self._encoder.joined(obs)
            if not takes(x, self._widest):
                return None
            self._x, self._last = x, self._room(x)
            room, inner = self._last, x
            if self._trunk:
                forward_layers(x, self._trunk, self._kind, bare=False, outputs=room.trunk)
                inner = room.trunk[-1]
            for tower, outputs in zip(self._towers, room.towers, strict=True):
                forward_layers(inner, tower, self._kind, bare=True, outputs=outputs)
        return room.leaves

    def backward(self, of_logits: Tensor, of_values: Tensor) -> None:
        """Write the gradients of the parameters into their `grad`, after a `forward`.

        Args:
            of_logits: `[B, A]`, contiguous.
            of_values: `[B]`, contiguous.
        """
        x, room = self._x, self._last
        inner = room.trunk[-1] if self._trunk else x
        upstream = (of_logits, of_values.view(-1, 1))
        of_inner: list[Tensor | None] = []
        with torch.no_grad():
            for k, layers in enumerate(self._towers):
                of_inner.append(
                    backward_layers(
                        upstream[k],
                        inner,
                        layers,
                        room.towers[k],
                        self._kind,
                        bare=True,
                        gradients=_gradients(layers),
                        of_x=bool(self._trunk),
                        room=room.gradients[k],
                    )
                )
            if of_inner[0] is not None and of_inner[1] is not None:
                backward_layers(
                    of_inner[0].add_(of_inner[1]),
                    x,
                    self._trunk,
                    room.trunk,
                    self._kind,
                    bare=False,
                    gradients=_gradients(self._trunk),
                    of_x=False,
                    room=room.trunk_gradients,
                )

    def _room(self, x: Tensor) -> _Room:
        rows = x.shape[0]
        if rows not in self._rooms:
            if len(self._rooms) >= _MOST_ROOMS:
                self._rooms.clear()
            self._rooms[rows] = _Room(x, self._trunk, self._towers)
        return self._rooms[rows]


class _Room:
    """Memory for what layers give for a number of rows, and for the gradients of it."""

    def __init__(
        self, x: Tensor, trunk: Sequence[Tensor], towers: Sequence[Sequence[Tensor]]
    ) -> None:
        def outputs(layers: Sequence[Tensor]) -> list[Tensor]:
            return [x.new_empty(x.shape[0], bias.shape[0]) for bias in layers[1::2]]

        def inputs(layers: Sequence[Tensor]) -> list[Tensor]:
            return [x.new_empty(x.shape[0], weight.shape[1]) for weight in layers[::2]]

        self.trunk, self.trunk_gradients = outputs(trunk), inputs(trunk)
        self.towers = [outputs(layers) for layers in towers]
        self.gradients = [inputs(layers) for layers in towers]
        logits, values = self.towers[0][-1], self.towers[1][-1].view(-1)
        self.leaves = logits.detach().requires_grad_(), values.detach().requires_grad_()


def _weights(*layers: nn.Module) -> list[Tensor]:
    """Weight and bias of linear layers, one after the other."""
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias)]  # type: ignore[misc]


def _gradients(layers: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of parameters, allocated where there are none."""
    found = []
    for parameter in layers:
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        found.append(parameter.grad)
    return found


def towers_of(
    actor: nn.Module, critic: nn.Module | None, policy_head: nn.Module, value_head: nn.Module
) -> Towers | None:
    """The towers of a policy's modules; None where they must be called, and autograd asked.

    Args:
        actor: Encoder of the policy.
        critic: Encoder of the value; None if it is the actor's.
        policy_head: Last layer of the policy.
        value_head: Last layer of the value.
    """
    encoders = (actor, actor if critic is None else critic)
    heads = (policy_head, value_head)
    pairs = zip(encoders, heads, strict=True)
    if any(chain_of(encoder, head) is None for encoder, head in pairs):
        return None
    if not isinstance(policy_head, PolicyHead) or not isinstance(value_head, ValueHead):
        return None
    first, second = (e for e in encoders if isinstance(e, DictEncoder))
    if first is not second and not _read_the_same(first, second):
        return None
    activation = COMPILED.get(first.trunk.activation)
    if activation is None or second.trunk.activation is not first.trunk.activation:
        return None
    towers = Towers((first, second), (policy_head.linear, value_head.linear), activation)
    mine = {id(p) for p in towers.parameters}
    if len(mine) < len(towers.parameters):  # a weight in two places has the sum as gradient
        return None
    modules = [module for module in (actor, critic, *heads) if module is not None]
    others = [p for module in modules for p in module.parameters() if id(p) not in mine]
    return None if others or not all(_is_plain(p) for p in towers.parameters) else towers


def _read_the_same(first: DictEncoder, second: DictEncoder) -> bool:
    """Whether the parts of both, which have no parameters, make the same of an observation."""
    parts = list(zip(first.parts, second.parts, strict=False))
    if first.keys != second.keys or any(type(a) is not type(b) for a, b in parts):
        return False
    # A part of one's own may read differently by what no state dict shows, or at every call.
    if any(type(a) not in (FlatNumbers, OneHot) for a, _ in parts):
        return False
    if any(is_watched([a, b]) for a, b in parts):
        return False
    mine, other = first.parts.state_dict(), second.parts.state_dict()
    return mine.keys() == other.keys() and all(
        mine[key].shape == other[key].shape and bool((mine[key] == other[key]).all())
        for key in mine
    )


def _is_plain(parameter: Tensor) -> bool:
    """Whether nothing but its value and its gradient depends on a parameter's training."""
    hooks = parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
    return (
        parameter.requires_grad
        and parameter.dtype == torch.float32
        and parameter.is_cpu
        and parameter.is_contiguous()
        and not hooks
    )

"""Fully connected layers with orthogonal weights, as policy gradients like them.

Orthogonal matrices keep the scale of what passes through; the gain makes up for the
activation. A seed given to torch before building decides all weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.errors import ConfigError
from maskrl.kernels.perceptron import KINDS, perceptron

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
}

COMPILED = {ACTIVATIONS[name]: name for name in KINDS}
"""Activations that `maskrl.kernels.perceptron` knows, with their names there."""


def find_activation(name: str) -> Activation:
    """The activation function of this name.

    Raises:
        ConfigError: Unknown name; lists the known ones.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def orthogonal_linear(in_features: int, out_features: int, gain: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights of the given gain and zero bias.

    Reference:
        Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear
        neural networks, https://arxiv.org/abs/1312.6120.
    """
    layer = nn.Linear(in_features, out_features)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Linear layers, each followed by the activation: `[..., in_features]` to `[..., hidden[-1]]`.

    Args:
        in_features: Width of the input.
        hidden: Widths of the layers; with none the input passes through.
        activation: One of `ACTIVATIONS`.

    Attributes:
        out_features: Width of the output.
    """

    def __init__(
        self, in_features: int, hidden: Sequence[int], *, activation: str = "tanh"
    ) -> None:
        super().__init__()
        widths = [in_features, *hidden]
        self.layers = nn.ModuleList(
            orthogonal_linear(width_in, width_out)
            for width_in, width_out in zip(widths, widths[1:], strict=False)
        )
        self.activation = find_activation(activation)
        self.widths = tuple(widths[1:])
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Features of the last layer."""
        # Functions instead of submodule calls: for small batches the calls cost most.
        compiled = COMPILED.get(self.activation)
        if compiled is not None:
            weights = [t for layer in self.layers for t in (layer.weight, layer.bias)]
            return perceptron(x, weights, compiled, bare=False)  # type: ignore[arg-type]
        for layer in self.layers:
            x = self.activation(F.linear(x, layer.weight, layer.bias))  # type: ignore[arg-type]
        return x

    def alike(self, x: Tensor) -> Tensor:
        """The same for rows `[R, m]`, each with bits that do not tell where it stands among them.

        Matrix products and activations round a row by its place where widths are no multiples of
        four, so here such layers have zeros beside them. R has to be a multiple of four.
        """
        out = self.out_features
        if not any(width % 4 for width in (x.shape[-1], *self.widths)):
            features: Tensor = self(x)
            return features
        weights = []
        for layer in self.layers:
            weights += list(_padded(layer.weight, layer.bias))  # type: ignore[arg-type]
        x = F.pad(x, (0, -x.shape[-1] % 4))
        compiled = COMPILED.get(self.activation)
        if compiled is not None:
            x = perceptron(x, weights, compiled, bare=False)
            return x[:, :out]
        for i in range(0, len(weights), 2):
            x = self.activation(F.linear(x, weights[i], weights[i + 1]))  # of 0 it is 0
        return x[:, :out]


def linear_alike(x: Tensor, linear: nn.Linear) -> Tensor:
    """A linear layer as `MLP.alike` computes them: `[R, m]` to `[R, n]`."""
    weight, bias = _padded(linear.weight, linear.bias)
    out: Tensor = F.linear(F.pad(x, (0, -x.shape[-1] % 4)), weight, bias)
    return out[:, : linear.out_features]


def _padded(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A layer with zeros up to widths that are multiples of four."""
    more = -weight.shape[0] % 4
    return F.pad(weight, (0, -weight.shape[1] % 4, 0, more)), F.pad(bias, (0, more))

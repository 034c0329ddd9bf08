"""A linear layer whose weights are shaken by noise of a learned size: exploration by itself.

While noise is drawn the layer is another one for every draw; how much it is shaken is
learned with everything else. Without a draw it is its mean, as for evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrl.networks.mlp import orthogonal_linear

SCALE = 0.5
"""Of the noise in the beginning, over the root of the number of inputs."""


class NoisyLinear(nn.Module):
    """`(w + w_scale * noise) x + b + b_scale * noise`, with noise that is factorised.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        gain: Of the orthogonal weights in the beginning.

    Attributes:
        mean: The layer without noise.

    Reference:
        Fortunato et al., Noisy Networks for Exploration, section 3.1 (b),
        https://arxiv.org/abs/1706.10295
    """

    def __init__(self, in_features: int, out_features: int, gain: float) -> None:
        super().__init__()
        self.mean = orthogonal_linear(in_features, out_features, gain)
        size = SCALE / in_features**0.5
        self.weight_scale = nn.Parameter(torch.full((out_features, in_features), size))
        self.bias_scale = nn.Parameter(torch.full((out_features,), size))
        self._noise: tuple[Tensor, Tensor] | None = None

    def draw(self, generator: torch.Generator | None = None) -> None:
        """Draw noise, which stays until the next call or until `rest`.

        Args:
            generator: On the device of the weights.
        """
        out, into = self.weight_scale.shape
        device = self.weight_scale.device
        flat = torch.randn(out + into, generator=generator, device=device)
        flat = flat.sign() * flat.abs().sqrt()
        self._noise = flat[:out], flat[out:]

    def rest(self) -> None:
        """Be the mean again."""
        self._noise = None

    @property
    def weight(self) -> Tensor:
        """As it is now, `[out, in]`."""
        if self._noise is None:
            return self.mean.weight
        out, into = self._noise
        return self.mean.weight + self.weight_scale * torch.outer(out, into)

    @property
    def bias(self) -> Tensor:
        """As it is now, `[out]`."""
        if self._noise is None:
            return self.mean.bias
        return self.mean.bias + self.bias_scale * self._noise[0]

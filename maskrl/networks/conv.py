"""Convolutions over pictures and grids of feature planes.

Bytes (`uint8`) become numbers in [0, 1]; other dtypes pass as they are. Pictures come
channels last, grids of planes channels first; both are told apart by their shape or
stated. Kernels adapt to the size, from 4 x 4 grids to camera frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from maskrl.errors import ConfigError
from maskrl.networks.mlp import find_activation

LARGE = 36
"""Side from which on a picture is shrunk by strides, as camera frames are."""


def channels_last(shape: Sequence[int], dtype: np.dtype, layout: str) -> bool:
    """Whether a picture of this shape has its channels in the last dimension.

    Args:
        shape: Three sizes.
        dtype: Of the picture; bytes speak for the habit of image libraries.
        layout: "channels_last", "channels_first", or "auto" to judge by the shape: bytes
            whose last size is 1, 3 or 4 are last; two neighbouring sizes that are equal are
            the sides; otherwise the smaller outer size is the channels, the first on a tie.
    """
    if layout != "auto":
        return layout == "channels_last"
    if dtype == np.uint8 and shape[-1] in (1, 3, 4):
        return True
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return shape[0] == shape[1]
    return shape[-1] < shape[0]


class ConvFeatures(nn.Module):
    """Convolutions and a flattening: `[B, *shape]` to `[B, out_features]`.

    Sides of at least 36 use the kernels 8, 4, 3 with strides 4, 2, 1 (repeating the last);
    smaller ones 3 with stride 1 and padding, so that no cell is lost.

    Args:
        shape: The three sizes of one picture.
        dtype: Its numpy dtype; bytes are divided by 255.
        channels: Output channels per layer, at least one.
        activation: Of every layer.
        layout: As in `channels_last`.

    Attributes:
        out_features: Width of the output.

    Raises:
        ConfigError: The shape has not three sizes, or no layer is asked for.

    Reference:
        Mnih et al., Human-level control through deep reinforcement learning, methods.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype,
        *,
        channels: Sequence[int] = (16, 32),
        activation: str = "relu",
        layout: str = "auto",
    ) -> None:
        super().__init__()
        if len(shape) != 3 or not channels:
            raise ConfigError(
                f"ConvFeatures: expected three sizes and at least one layer, got shape {shape} "
                f"and channels {channels}"
            )
        self.last = channels_last(shape, np.dtype(dtype), layout)
        self.is_bytes = np.dtype(dtype) == np.uint8
        planes, height, width = (shape[2], *shape[:2]) if self.last else shape
        self.activation = find_activation(activation)
        layers: list[nn.Module] = []
        strided = min(height, width) >= LARGE
        for index, out in enumerate(channels):
            kernel, stride = ((8, 4), (4, 2), (3, 1))[min(index, 2)] if strided else (3, 1)
            conv = nn.Conv2d(planes, out, kernel, stride, padding=0 if strided else 1)
            nn.init.orthogonal_(conv.weight, 2**0.5)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers.append(conv)
            planes = out
            if strided:
                height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        self.layers = nn.ModuleList(layers)
        self.out_features = planes * height * width

    def forward(self, x: Tensor) -> Tensor:
        """Features of the pictures."""
        x = x.to(next(self.parameters()).dtype)
        x = x / 255.0 if self.is_bytes else x
        if self.last:
            x = x.permute(0, 3, 1, 2)
        for layer in self.layers:
            x = self.activation(layer(x))
        return x.flatten(1)

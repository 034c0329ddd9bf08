"""Convolutions over pictures and grids of feature planes.

Bytes (`uint8`) become numbers in [0, 1]; other dtypes pass as they are. Pictures come
channels last, grids of planes channels first; both are told apart by their shape or
stated. Kernels adapt to the size, from 4 x 4 grids to camera frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

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
    smaller ones one kernel with stride 1, or one per layer. An odd kernel is padded, so that no
    cell is lost, unless `padding` is "none"; an even one is not, and looks at all whole windows:
    of 4 x 4 in connect four every line lies in one. `pool` takes the largest of every square of
    so many cells after each layer; what is left over at an edge is dropped.

    Args:
        shape: The three sizes of one picture.
        dtype: Its numpy dtype; bytes are divided by 255.
        channels: Output channels per layer, at least one.
        activation: Of every layer.
        layout: As in `channels_last`.
        kernel: Side of the kernels where they are not strided; one for all, or one per layer.
        padding: "odd" pads odd kernels where they are not strided, "none" pads none.
        pool: Side of the squares that are pooled after each layer where kernels are not strided.

    Attributes:
        out_features: Width of the output.

    Raises:
        ConfigError: The shape has not three sizes, no layer is asked for, there is not one
            kernel per layer, or a kernel or a square is larger than what it is to look at.

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
        kernel: int | Sequence[int] = 3,
        padding: Literal["odd", "none"] = "odd",
        pool: int = 1,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or not channels:
            raise ConfigError(
                f"ConvFeatures: expected three sizes and at least one layer, got shape {shape} "
                f"and channels {channels}"
            )
        kernels = tuple(kernel) if isinstance(kernel, Sequence) else (kernel,) * len(channels)
        if len(kernels) != len(channels):
            raise ConfigError(
                f"ConvFeatures: expected one kernel for each of the {len(channels)} layers, got "
                f"{kernels}"
            )
        self.last = channels_last(shape, np.dtype(dtype), layout)
        self.is_bytes = np.dtype(dtype) == np.uint8
        planes, height, width = (shape[2], *shape[:2]) if self.last else shape
        self.activation = find_activation(activation)
        layers: list[nn.Module] = []
        strided = min(height, width) >= LARGE
        self.pool = 1 if strided else pool
        for index, out in enumerate(channels):
            size, stride = (
                ((8, 4), (4, 2), (3, 1))[min(index, 2)] if strided else (kernels[index], 1)
            )
            edge = 0 if strided or padding == "none" or size % 2 == 0 else size // 2
            if size > min(height, width) + 2 * edge:
                raise ConfigError(
                    f"ConvFeatures: layer {index + 1} has a kernel of {size} x {size}, and there "
                    f"are {height} x {width} cells to look at; make it smaller, or leave out "
                    "layers"
                )
            conv = nn.Conv2d(planes, out, size, stride, padding=edge)
            nn.init.orthogonal_(conv.weight, 2**0.5)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers.append(conv)
            planes = out
            height, width = ((side + 2 * edge - size) // stride + 1 for side in (height, width))
            if self.pool > min(height, width):
                raise ConfigError(
                    f"ConvFeatures: layer {index + 1} gives {height} x {width} cells, too few to "
                    f"pool squares of {self.pool} x {self.pool}; make pool smaller, or leave out "
                    "layers"
                )
            height, width = height // self.pool, width // self.pool
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
            if self.pool > 1:
                x = max_pool2d(x, self.pool)
        return x.flatten(1)

"""An encoder-decoder over a grid: an action map for every cell, and a summary of the whole.

The encoder halves the grid level by level, the decoder brings it back to its size beside
what the encoder saw there, so that a cell knows its neighbourhood in detail and the rest
roughly. Logits are computed for the cells that hold an agent, not for the map, where only
they are asked for. The network sees the whole grid: where agents see a part of it, it is
the wrong one, and entity attention with an observer's view for each agent is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.check import check_mask
from maskrl.networks.mlp import find_activation, orthogonal_linear


class GridFeatures(NamedTuple):
    """What the network makes of B grids.

    Attributes:
        cells: `[B, F, H, W]`, features of every cell; on a processor those of a cell lie side
            by side in memory (channels last).
        whole: `[B, G]`, of the grid as a whole, from the bottleneck.
    """

    cells: Tensor
    whole: Tensor


class GridNet(nn.Module):
    """An action map from feature planes, and a summary for a critic.

    Args:
        planes: Feature planes of the grid.
        n_logits: Logits of a cell: the number of actions, or the sum over its heads. None for a
            network that ends in features.
        channels: Width of each level, the first at full size, each next at half the size.
        dtype: Of the planes; bytes are divided by `largest`.
        largest: The largest value of a byte: 255 in a picture, 1 where planes are flags.
        decoder: Whether there is one; without it the features of cells are the encoder's of its
            first level, and `whole` is what it is for.
        activation: Of every layer.

    Attributes:
        cell_features: F, width of a cell's features.
        out_features: G, width of the summary.

    Raises:
        ConfigError: A size is not positive, or there is no level.

    Reference:
        Han et al., Grid-Wise Control for Multi-Agent Reinforcement Learning in Video Game AI,
        ICML 2019, section 4; Ronneberger et al., https://arxiv.org/abs/1505.04597 (what a
        decoder level reads of the encoder's).

    Example:
        >>> network = GridNet(planes=5, n_logits=6)
        >>> features = network(torch.zeros(2, 5, 7, 9))
        >>> network.logits(features.cells).shape
        torch.Size([2, 6, 7, 9])
    """

    def __init__(
        self,
        planes: int,
        n_logits: int | None,
        *,
        channels: Sequence[int] = (32, 64),
        dtype: np.dtype | type = np.float32,
        largest: float = 255.0,
        decoder: bool = True,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        channels = tuple(channels)
        sizes: dict[str, tuple[int, ...]] = {"planes": (planes,), "channels": channels}
        if n_logits is not None:
            sizes["n_logits"] = (n_logits,)
        for name, values in sizes.items():
            whole = all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
            if not values or not whole:
                given = values if name == "channels" else values[0]
                raise ConfigError(f"GridNet: {name} is {given}; expected positive whole numbers.")
        self.planes = planes
        self.scale = 1.0 / largest if np.dtype(dtype) == np.uint8 and largest > 1 else 1.0
        self.activation = find_activation(activation)
        widths = zip((planes, *channels), channels, strict=False)
        self.down = nn.ModuleList(
            _conv(into, out, stride=2 if level else 1) for level, (into, out) in enumerate(widths)
        )
        above = list(zip(channels[1:], channels[:-1], strict=True))
        self.up = nn.ModuleList(
            _conv(below + here, here) for below, here in reversed(above if decoder else [])
        )
        self.cell_features = channels[0]
        self.out_features = 2 * channels[-1]
        self.head: nn.Linear | None = None
        if n_logits is not None:
            self.head = orthogonal_linear(self.cell_features, n_logits, 0.01)

    def forward(self, grid: Tensor) -> GridFeatures:
        """Features of every cell, and of the whole.

        Args:
            grid: `[B, planes, H, W]`, of any size, finite everywhere.

        Raises:
            MaskShapeError: `grid` has another number of planes, or no cell.
        """
        if grid.ndim != 4 or grid.shape[1] != self.planes or 0 in grid.shape[2:]:
            raise MaskShapeError(
                f"GridNet: grid has shape {tuple(grid.shape)}; expected [B, {self.planes}, H, W]."
            )
        x = grid.to(next(self.parameters()).dtype, memory_format=_memory_format(grid))
        if self.scale != 1.0:
            x = x * self.scale if x is grid else x.mul_(self.scale)
        seen: list[Tensor] = []
        for layer in self.down:
            x = self.activation(layer(x))
            seen.append(x)
        whole = torch.cat([x.mean((2, 3)), x.amax((2, 3))], -1)
        if not self.up:
            return GridFeatures(seen[0], whole)
        for layer, beside in zip(self.up, reversed(seen[:-1]), strict=True):
            wide = F.interpolate(x, size=beside.shape[2:], mode="nearest")
            x = self.activation(layer(torch.cat([wide, beside], 1)))
        return GridFeatures(x, whole)

    def logits(self, cells: Tensor) -> Tensor:
        """The action map `[B, A, H, W]` of the features `[B, F, H, W]` of all cells."""
        return self._head(cells.movedim(1, -1)).movedim(-1, 1)

    def logits_at(self, cells: Tensor, agent_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the cells that hold an agent, and of no others.

        Args:
            cells: `[B, F, H, W]`.
            agent_mask: bool `[B, H, W]`, True = an agent is there and acts now.

        Returns:
            Logits `[M, A]` of the M agents, batch entry by batch entry and row by row, and
            offsets int64 `[B + 1]`, as `GridwiseCategorical.from_packed` takes them.

        Raises:
            MaskDtypeError, MaskShapeError: The mask is not boolean, or does not fit.

        Empty rows:
            A grid without an agent has no logits.
        """
        shape = (len(cells), *cells.shape[2:])
        agent_mask = check_mask("GridNet", "agent_mask", agent_mask, shape, data="cells")
        agent_mask = agent_mask.expand(shape)
        offsets = F.pad(agent_mask.flatten(1).sum(1).cumsum(0), (1, 0))
        return self._head(cells.movedim(1, -1)[agent_mask]), offsets

    def _head(self, features: Tensor) -> Tensor:
        if self.head is None:
            raise ConfigError(
                "GridNet: this network ends in features; build it with n_logits for logits."
            )
        return F.linear(features, self.head.weight, self.head.bias)


def _memory_format(grid: Tensor) -> torch.memory_format:
    """How features lie in memory: cell by cell on a processor, where that is faster.

    Weights stay as they are, and so do their gradients.
    """
    return torch.channels_last if grid.device.type == "cpu" else torch.preserve_format


def _conv(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(into, out, 3, stride, padding=1)
    nn.init.orthogonal_(conv.weight, 2**0.5)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv

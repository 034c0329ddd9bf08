"""Attention that knows where the others stand: a learned bias per offset on the grid.

Each head learns one number for every offset (dx, dy) up to a radius and adds it to
the score of a pair; farther offsets count as the nearest one inside. Where a pair is
not permitted, its positions are not read: the pair is put at offset 0 before anything
is looked up, and the attention ignores it anyway.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.attention.entity_attention import check_sizes
from maskrl.errors import MaskShapeError

FARTHEST = 2**31
"""Positions count up to this size: differences of larger ones would overflow."""


class RelativePositionBias(nn.Module):
    """A bias on attention scores that depends on where an entity stands from the one that looks.

    It starts at 0, so that an untrained layer attends as if there were none.

    Args:
        heads: Attention heads.
        radius: Largest offset along an axis that is told apart from nearer ones.

    Attributes:
        table: float [heads, 2 * radius + 1, 2 * radius + 1]; `table[h, dx + radius, dy + radius]`
            is the bias of head h for an entity dx and dy from the one that looks.

    Raises:
        ConfigError: A size is not positive.

    Reference:
        Shaw et al., Self-Attention with Relative Position Representations (clipped offsets),
        https://arxiv.org/abs/1803.02155; Liu et al., Swin Transformer, section 3.2 (a table of
        biases over two axes), https://arxiv.org/abs/2103.14030
    """

    def __init__(self, heads: int, radius: int) -> None:
        super().__init__()
        check_sizes("RelativePositionBias", heads=heads, relative_position=radius)
        self.heads = heads
        self.radius = radius
        self.table = nn.Parameter(torch.zeros(heads, 2 * radius + 1, 2 * radius + 1))

    def forward(self, offsets: Tensor) -> Tensor:
        """The bias of each head.

        Args:
            offsets: int64 [..., Q, E], of `offset_index` with the same radius.

        Returns:
            [..., heads, Q, E].
        """
        bias = F.embedding(offsets, self.table.flatten(1).transpose(0, 1))
        return bias.movedim(-1, -3)


def offset_index(positions: Tensor, permitted: Tensor, radius: int) -> Tensor:
    """Where each pair's offset stands in a table of biases.

    Args:
        positions: int64 [..., E, 2], any values.
        permitted: bool [..., E or 1, E], True = i may attend to j; leading dimensions broadcast.
        radius: Offsets are clipped to it.

    Returns:
        int64 [..., E, E]: `(dx + radius) * (2 * radius + 1) + dy + radius` for the offset from i
        to j, and that of dx = dy = 0 where i may not attend to j.
    """
    positions = positions.clamp(-FARTHEST, FARTHEST)
    steps = positions.unsqueeze(-3) - positions.unsqueeze(-2)  # [..., i, j, 2]: from i to j
    steps = torch.where(permitted.unsqueeze(-1), steps, 0).clamp(-radius, radius) + radius
    return steps[..., 0] * (2 * radius + 1) + steps[..., 1]


def check_positions(
    operation: str,
    positions: Any,
    entities: int,
    lead: tuple[int, ...],
    device: torch.device,
    name: str = "positions",
) -> Tensor:
    """Positions as int64 [..., E, 2] whose leading dimensions broadcast to those of the scene.

    Args:
        operation: How messages call the caller.
        positions: Integers [..., E, 2]: cells of a grid, x and y or row and column.
        entities: Number of entity slots.
        lead: Leading dimensions of the scene.
        device: Of the scene.
        name: How messages call the positions.

    Raises:
        MaskShapeError: Not whole numbers, or they do not fit the scene.
    """
    whole = isinstance(positions, Tensor) and not (
        positions.is_floating_point() or positions.is_complex() or positions.dtype is torch.bool
    )
    if not whole:
        got = f"dtype {positions.dtype}" if isinstance(positions, Tensor) else f"{positions!r:.60}"
        raise MaskShapeError(
            f"{operation}: {name} has {got}; expected whole numbers [..., {entities}, 2], the "
            "cell of each entity. Features of a position that were scaled are no cells."
        )
    shape = tuple(positions.shape)
    pairs = zip(reversed(shape[:-2]), reversed(lead), strict=False)
    if (
        shape[-2:] != (entities, 2)
        or len(shape) - 2 > len(lead)
        or any(a not in (1, b) for a, b in pairs)
    ):
        expected = ", ".join(map(str, (*lead, entities, 2)))
        raise MaskShapeError(
            f"{operation}: {name} has shape {shape}; expected [{expected}], leading dimensions "
            "of size 1 where they hold for all."
        )
    if positions.device != device:
        raise MaskShapeError(
            f"{operation}: {name} are on {positions.device}, entities on {device}; "
            "move one of them."
        )
    cells: Tensor = positions.long()
    return cells

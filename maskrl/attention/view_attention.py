"""What observers make of their own views of scenes, where one layer looks: all views in one call.

An observer's row after one layer depends on its query and on whom it sees, so that entities are
embedded and projected once for all who see them, and every observer attends to a list of its own.
Nobody is padded or put into groups, and no number tells how much others see.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrl.attention.entity_attention import is_plain
from maskrl.attention.entity_encoder import EntityBlock, EntityEncoder
from maskrl.attention.relative_position import FARTHEST
from maskrl.kernels.scenes.function import takes
from maskrl.kernels.scenes.views import Views, views_attention


class Observers(NamedTuple):
    """R observers of B scenes.

    Attributes:
        row: int64 `[R]`, the scene of each, ascending.
        slot: int64 `[R]`, which entity each is.
        sees: bool `[R, E]`, whom each sees among those who are there; itself or not is the same.
        there: bool `[R]`, False = the observer is padding, and its row 0.
    """

    row: Tensor
    slot: Tensor
    sees: Tensor
    there: Tensor


def looks_once(encoder: EntityEncoder, embedded: Tensor) -> bool:
    """Whether an encoder is served here: one plain layer, the observer's own row, compiled."""
    if len(encoder.blocks) != 1 or encoder.pool not in (None, "self"):
        return False
    block = encoder.blocks[0]
    assert isinstance(block, EntityBlock)
    attention = block.attention
    tables = () if block.position_bias is None else (block.position_bias.table,)
    # Other widths round a row by its place among the rows.
    even = not (attention.dim % 4 or attention.heads * attention.dim_head % 4)
    return (
        even
        and attention.map_recorder is None
        and is_plain(attention.qkv)
        and not (block._forward_hooks or block._forward_pre_hooks or block._backward_hooks)
        and takes(embedded, attention.qkv.weight, *tables)
    )


def observed(
    encoder: EntityEncoder,
    embedded: Tensor,
    observers: Observers,
    positions: Tensor | None = None,
) -> Tensor:
    """The rows of observers, without checks, where `looks_once`.

    Args:
        encoder: Of one layer.
        embedded: `[B, E, dim]`, as `encoder.embed` gives them.
        observers: Who looks, R a multiple of four, and at whom.
        positions: int64 `[B, E, 2]`, with `relative_position`.

    Returns:
        `[R, out_features]`.

    Empty rows:
        Exactly 0 for an observer that is padding, with gradient exactly 0.
    """
    block = encoder.blocks[0]
    assert isinstance(block, EntityBlock)
    attention = block.attention
    scenes, entities, dim = embedded.shape
    row, slot, sees, there = observers
    sees = sees.scatter(1, slot.unsqueeze(1), True) & there.unsqueeze(1)
    of_pair, entity = sees.nonzero(as_tuple=True)
    own, seen = row * entities + slot, row[of_pair] * entities + entity
    chosen, place = _needed(seen, own, scenes * entities)
    rows = embedded.reshape(-1, dim).index_select(0, chosen)
    normed = block.norm_before(rows)
    own_place = place[own]
    inner = attention.heads * attention.dim_head
    weight = attention.qkv.weight
    counts = sees.sum(1)
    bias = block.position_bias
    views = Views(
        F.pad(torch.bincount(row, minlength=scenes).cumsum(0), (1, 0)),
        F.pad(counts.cumsum(0), (1, 0)),
        place[seen],
        None if bias is None else _offsets(positions, own[of_pair], seen, bias.radius),
    )
    mixed = views_attention(
        F.linear(normed.index_select(0, own_place), weight[:inner]),
        F.linear(normed, weight[inner:]),
        views,
        attention.heads,
        attention.dim_head**-0.5,
        None if bias is None else bias.table.flatten(1),
    )
    x = block.norm_after(rows.index_select(0, own_place) + attention.out(mixed))
    if block.feed_forward is not None:
        x = x + block.feed_forward(x)
    x = torch.where(there.unsqueeze(1), x, 0.0)
    if encoder.count_feature:
        x = torch.cat([x, counts.unsqueeze(1).to(x.dtype).log1p()], 1)
    return x


def _needed(seen: Tensor, own: Tensor, entities: int) -> tuple[Tensor, Tensor]:
    """Which of all entities are read, a multiple of four, and where each of them stands there."""
    read = torch.zeros(entities, dtype=torch.bool, device=seen.device)
    read[seen] = True
    read[own] = True
    chosen = read.nonzero().flatten()
    place = read.cumsum(0) - 1
    more = -len(chosen) % 4
    if more:
        chosen = torch.cat([chosen, chosen[-1:].expand(more)])
    return chosen, place


def _offsets(positions: Tensor | None, own: Tensor, seen: Tensor, radius: int) -> Tensor:
    """Where the offset of each pair stands in a table of biases: int64 `[P]`."""
    assert positions is not None
    cells = positions.reshape(-1, 2).clamp(-FARTHEST, FARTHEST)
    steps = cells.index_select(0, seen) - cells.index_select(0, own)
    steps = steps.clamp_(-radius, radius).add_(radius)
    return (steps[:, 0] * (2 * radius + 1) + steps[:, 1]).contiguous()

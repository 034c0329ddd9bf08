"""From the rows of a scene to one vector per observer, over permitted entities only.

Pooling is one more layer: what it takes, it reveals. So it takes the entities
that the observer may attend to, and nothing else. `keep` [..., Q, E] says which
for each of Q observers. An observer that may take nothing gets exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from maskrl.attention.entity_attention import check_sizes, is_plain, per_head
from maskrl.errors import ConfigError
from maskrl.functional.attention import attend, attend_with_maps, open_empty_rows


def mean_pool(x: Tensor, keep: Tensor) -> Tensor:
    """The mean over the kept entities.

    Args:
        x: [..., E, D], finite.
        keep: bool [..., Q, E], True = observer q takes entity e.

    Returns:
        [..., Q, D].

    Empty rows:
        Exactly 0.
    """
    number = keep.sum(-1, keepdim=True).clamp(min=1)
    return torch.matmul(keep.to(x.dtype) / number.to(x.dtype), x)


def max_pool(x: Tensor, keep: Tensor) -> Tensor:
    """The largest value of each feature over the kept entities.

    Args:
        x: [..., E, D].
        keep: bool [..., Q, E], True = observer q takes entity e.

    Returns:
        [..., Q, D].

    Empty rows:
        Exactly 0.
    """
    kept = torch.where(keep.unsqueeze(-1), x.unsqueeze(-3), -math.inf)
    if not kept.shape[-2]:
        return kept.sum(-2)  # no slots at all have no largest one
    largest = kept.amax(-2)
    return torch.where(keep.any(-1, keepdim=True), largest, 0.0)


class AttentionPool(nn.Module):
    """Each head looks for one thing that it has learned to look for.

    One learned query per head, the same for every observer; what differs between observers is
    what they may look at.

    Args:
        dim: Width of an entity's features, in and out.
        heads: Number of heads; they divide `dim`.

    Raises:
        ConfigError: A size is not positive, or the heads do not divide `dim`.

    Empty rows:
        Output, attention map and gradient exactly 0.

    Reference:
        Lee et al., Set Transformer, section 3.2 (one seed vector),
        https://arxiv.org/abs/1810.00825
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        check_sizes("AttentionPool", dim=dim, heads=heads)
        if dim % heads:
            raise ConfigError(f"AttentionPool: {heads} heads do not divide dim {dim}.")
        self.dim = dim
        self.heads = heads
        self.seeds = nn.Parameter(torch.randn(heads, dim))
        self.values = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.xavier_uniform_(self.values.weight)
        nn.init.xavier_uniform_(self.out.weight)
        self.map_recorder: Callable[[Tensor], None] | None = None

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Pool.

        Args:
            x: [..., E, dim], finite.
            keep: bool [..., Q, E], True = observer q takes entity e.

        Returns:
            [..., Q, dim].
        """
        heads, queries = self.heads, keep.shape[-2]
        opened, kept = open_empty_rows(keep)
        if opened is not None and queries > 1:
            opened = opened.repeat(*(1,) * (opened.ndim - 2), heads, 1)
        seeds = self.seeds.repeat_interleave(queries, 0)  # [heads * Q, dim]
        plain = is_plain(self.values)
        if self.map_recorder is None and plain:
            mixed = attend(seeds, x, x, opened)
        else:
            mixed, maps = attend_with_maps(seeds, x, x, opened)
            maps = maps.unflatten(-2, (heads, queries))
            if kept is not None:
                maps = torch.where(kept.unsqueeze(-3), maps, 0.0)
            if self.map_recorder is not None:
                self.map_recorder(maps)
        if plain:
            mixed = mixed.unflatten(-2, (heads, queries)).transpose(-3, -2)
            to_value = self.values.weight.view(heads, -1, self.dim).transpose(1, 2)
            gathered = per_head(mixed.reshape(-1, heads, self.dim), to_value)
            gathered = gathered.reshape(*mixed.shape[:-2], self.dim)
        else:  # what is called may be anything, so it is asked for each entity
            values = self.values(x).unflatten(-1, (heads, -1)).transpose(-3, -2)
            gathered = torch.matmul(maps, values).transpose(-3, -2).flatten(-2)
        pooled: Tensor = self.out(gathered)
        return pooled if kept is None else torch.where(kept, pooled, 0.0)

"""Multi-head attention between the entities of a scene, under its masks.

The layer has no biases, so an entity that is all zero, as padding is made to
be, has a key, a value and an output of exactly 0. Rows that nobody asks for are
not computed, and for few rows the key and value projections are folded into the
query: they then cost per query instead of per entity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskrl.attention.index import Index, check_index, select_rows
from maskrl.attention.permission import Permission, permission_for
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.functional.attention import attend, attend_with_maps


class EntityAttention(nn.Module):
    """Each entity gathers from the entities that it may attend to.

    Entity i attends to j if `entity_mask_i & entity_mask_j & (visibility_ij | i == j)`.

    Args:
        dim: Width of an entity's features, in and out.
        heads: Number of attention heads.
        dim_head: Width of a head; dim / heads if None.

    Raises:
        ConfigError: A size is not positive, or the heads do not divide `dim`.

    Empty rows:
        Padding has output, attention map and gradient exactly 0.

    Reference:
        Vaswani et al., Attention Is All You Need, section 3.2, https://arxiv.org/abs/1706.03762

    Example:
        >>> layer = EntityAttention(dim=8, heads=2)
        >>> scene = torch.randn(1, 3, 8)
        >>> layer(scene, torch.tensor([[True, True, False]]))[0, 2].abs().sum().item()
        0.0
    """

    def __init__(self, dim: int, heads: int, dim_head: int | None = None) -> None:
        super().__init__()
        check_sizes("EntityAttention", dim=dim, heads=heads)
        if dim_head is None and dim % heads:
            raise ConfigError(
                f"EntityAttention: {heads} heads do not divide dim {dim}; "
                "choose another number, or give dim_head."
            )
        self.dim = dim
        self.heads = heads
        self.dim_head = dim // heads if dim_head is None else dim_head
        check_sizes("EntityAttention", dim_head=self.dim_head)
        inner = self.heads * self.dim_head
        self.qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.out = nn.Linear(inner, dim, bias=False)
        for block in (*self.qkv.weight.chunk(3), self.out.weight):
            nn.init.xavier_uniform_(block)
        self.map_recorder: Callable[[Tensor], None] | None = None

    def forward(
        self,
        x: Tensor,
        entity_mask: Tensor | None = None,
        visibility: Tensor | None = None,
        *,
        queries: Index | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: [..., E, dim]. What padding holds, NaN included, changes nothing.
            entity_mask: bool [..., E], False = padding. None: no padding.
            visibility: bool [..., E, E], True = i may attend to j. None: everybody sees everybody.
                Its leading dimensions broadcast with those of x.
            queries: Entities whose rows are wanted: an index, or int64 [..., Q]. None: all.

        Returns:
            [..., E, dim], or [..., Q, dim] for `queries` (Q = 1 for a single index).

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: A mask or an index does not fit x.

        Empty rows:
            Exactly 0, with gradient exactly 0.
        """
        if x.shape[-1:] != (self.dim,):
            raise MaskShapeError(
                f"EntityAttention: x has shape {tuple(x.shape)}; expected [..., E, {self.dim}]."
            )
        permission, lead = permission_for("EntityAttention", x, entity_mask, visibility)
        rows = None
        if queries is not None:
            rows = check_index("EntityAttention", "queries", queries, x.shape[-2], lead)
        out = self.attend(permission.zero_absent(x), permission, rows)
        return permission.rows(rows).zero_absent(out)

    def attend(
        self,
        x: Tensor,
        permission: Permission,
        rows: Index | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Attend without checks; rows of padding hold what is to be replaced by 0.

        Args:
            x: [..., E, dim], finite everywhere.
            permission: Of all entities.
            rows: Entities whose rows are wanted, all if None.
            chosen: [..., Q, dim], those rows of x, if they are at hand.

        Returns:
            [..., E or Q, dim].
        """
        permission = permission.rows(rows)
        if rows is None:
            query, key, value = self._split(F.linear(x, self.qkv.weight), 3)
            return self._attend_plain(query, key, value, permission)
        chosen = select_rows(x, rows) if chosen is None else chosen
        if self._folding_is_cheaper(x.shape[-2], chosen.shape[-2]):
            return self._attend_folded(chosen, x, permission)
        inner = self.heads * self.dim_head
        (query,) = self._split(F.linear(chosen, self.qkv.weight[:inner]), 1)
        key, value = self._split(F.linear(x, self.qkv.weight[inner:]), 2)
        return self._attend_plain(query, key, value, permission)

    def _folding_is_cheaper(self, entities: int, queries: int) -> bool:
        """Compare the multiplications of both orders; the one place that chooses."""
        inner = self.heads * self.dim_head
        plain = entities * self.dim * inner + queries * entities * inner
        folded = queries * self.dim * inner + self.heads * queries * entities * self.dim
        return folded < plain

    def _attend_plain(
        self, query: Tensor, key: Tensor, value: Tensor, permission: Permission
    ) -> Tensor:
        """Attend with queries, keys and values [..., heads, Q or E, dim_head]."""
        opened = permission.opened
        gathered, maps = self._kernel(
            query, key, value, None if opened is None else opened.unsqueeze(-3)
        )
        self._record(maps, permission)
        projected: Tensor = self.out(gathered.transpose(-2, -3).flatten(-2))
        return projected

    def _attend_folded(self, chosen: Tensor, x: Tensor, permission: Permission) -> Tensor:
        """Attend with few queries: q (W x) = (q W) x, so that no entity has to be projected.

        The heads become further rows of one product, [..., heads * Q, dim], on the entities as
        they are.
        """
        heads, width, queries = self.heads, self.dim_head, chosen.shape[-2]
        to_query, to_key, to_value = self.qkv.weight.view(3, heads, width, self.dim)
        opened = permission.opened
        if opened is not None and opened.shape[-2] > 1:
            opened = opened.repeat(*(1,) * (opened.ndim - 2), heads, 1)
        flat = F.linear(chosen.reshape(-1, self.dim), to_query.reshape(-1, self.dim))
        query = per_head(flat.view(-1, heads, width), to_key)
        query = query.reshape(*chosen.shape[:-1], heads, self.dim)
        mixed, maps = self._kernel(query.transpose(-3, -2).flatten(-3, -2), x, x, opened)
        self._record(None if maps is None else maps.unflatten(-2, (heads, queries)), permission)
        mixed = mixed.unflatten(-2, (heads, queries)).transpose(-3, -2)
        gathered = per_head(mixed.reshape(-1, heads, self.dim), to_value.transpose(1, 2))
        projected: Tensor = self.out(gathered.reshape(*mixed.shape[:-2], heads * width))
        return projected

    def _kernel(
        self, query: Tensor, key: Tensor, value: Tensor, opened: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The mixture of values, and its maps if somebody records them."""
        scale = self.dim_head**-0.5
        if self.map_recorder is None:
            return attend(query, key, value, opened, scale=scale), None
        return attend_with_maps(query, key, value, opened, scale=scale)

    def _record(self, maps: Tensor | None, permission: Permission) -> None:
        """Hand maps [..., heads, Q, E] to the recorder, rows of padding 0."""
        if maps is not None and self.map_recorder is not None:
            if permission.present is not None:
                maps = torch.where(permission.present[..., None, :, None], maps, 0.0)
            self.map_recorder(maps)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[..., E, parts * inner] to as many views [..., heads, E, dim_head]."""
        split = x.view(*x.shape[:-1], parts, self.heads, self.dim_head)
        return tuple(part.transpose(-2, -3) for part in split.unbind(-3))


def per_head(x: Tensor, weight: Tensor) -> Tensor:
    """Product of x [N, heads, A] and weight [heads, A, B], head by head: [N, heads, B]."""
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1)


def check_sizes(operation: str, **sizes: int) -> None:
    """Refuse sizes that are not positive whole numbers.

    Raises:
        ConfigError: Names the first such size.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"{operation}: {name} is {size!r}; expected a positive whole number.")

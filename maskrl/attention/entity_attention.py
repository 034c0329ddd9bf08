"""Multi-head attention between the entities of a scene, under its masks.

The projections have no biases, so an entity that is all zero, as padding is made
to be, has a key, a value and an output of exactly 0. Rows that nobody asks for
are not computed, and for few rows the key and value projections are folded into
the query: they then cost per query instead of per entity. Float32 scenes on the
CPU are served by `maskrl.kernels.scenes`, everything else by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from maskrl.attention.index import Index, check_index, select_rows
from maskrl.attention.permission import Permission, permission_for
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.functional.attention import attend, attend_with_maps
from maskrl.kernels.dispatch import is_traced
from maskrl.kernels.scenes.definition import Sight
from maskrl.kernels.scenes.function import fits, scene_attention, takes
from maskrl.kernels.scenes.layer import scene_layer


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
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: [..., E, dim]. What padding holds, NaN included, changes nothing.
            entity_mask: bool [..., E], False = padding. None: no padding.
            visibility: bool [..., E, E], True = i may attend to j. None: everybody sees everybody.
                Its leading dimensions broadcast with those of x.
            queries: Entities whose rows are wanted: an index, or int64 [..., Q]. None: all.
            bias: [..., heads, Q or E, E], added to the scaled scores of those rows, with gradients
                of its own. What it holds for a pair that is not permitted changes nothing.

        Returns:
            [..., E, dim], or [..., Q, dim] for `queries` (Q = 1 for a single index).

        Raises:
            MaskDtypeError: A mask is not boolean, or the bias no floating point tensor.
            MaskShapeError: A mask, an index or the bias does not fit x.

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
        if bias is not None:
            looking = x.shape[-2] if rows is None else count_of(rows)
            bias = self._check_bias(bias, (*lead, self.heads, looking, x.shape[-2]))
        elif rows is None and lead == x.shape[:-2] and self._is_one_operation(x):
            return self._layer(x, permission)
        out = self.attend(permission.zero_absent(x), permission, rows, bias=bias)
        return permission.rows(rows).zero_absent(out)

    def attend(
        self,
        x: Tensor,
        permission: Permission,
        rows: Index | None = None,
        chosen: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend without checks; rows of padding hold what is to be replaced by 0.

        Args:
            x: [..., E, dim], finite everywhere.
            permission: Of all entities.
            rows: Entities whose rows are wanted, all if None.
            chosen: [..., Q, dim], those rows of x, if they are at hand.
            bias: [..., heads, E or Q, E], as in `forward`.

        Returns:
            [..., E or Q, dim].
        """
        whole, permission = permission, permission.rows(rows)
        if bias is not None:
            bias = _permitted_bias(bias, permission)
        if rows is None:
            wide = lead_of(x, permission) != x.shape[:-2]
            if bias is None and not wide and self._is_one_operation(x):
                return self._layer(x, permission)
            joint = self.qkv(x)
            if bias is None and self._is_compiled(joint):
                return self._attend_compiled(joint, None, permission, whole.present)
            query, key, value = self._split(joint, 3)
            return self._attend_plain(query, key, value, permission, bias)
        inner = self.heads * self.dim_head
        if is_plain(self.qkv):
            chosen = select_rows(x, rows) if chosen is None else chosen
            weight = self.qkv.weight
            if self._folding_is_cheaper(x.shape[-2], chosen.shape[-2]):
                compiled = bias is None and self._is_compiled(x, chosen, weight)
                return self._attend_folded(chosen, x, permission, bias, compiled)
            queries, memory = F.linear(chosen, weight[:inner]), F.linear(x, weight[inner:])
        else:
            joint = self.qkv(x)
            queries, memory = select_rows(joint[..., :inner], rows), joint[..., inner:]
        if bias is None and self._is_compiled(memory, queries):
            return self._attend_compiled(queries, memory, permission, whole.present)
        (query,) = self._split(queries, 1)
        key, value = self._split(memory, 2)
        return self._attend_plain(query, key, value, permission, bias)

    def _is_one_operation(self, x: Tensor) -> bool:
        """Whether kernels serve the whole layer, from the entities to the output."""
        return (
            is_plain(self.qkv)
            and is_plain(self.out)
            and self._is_compiled(x, self.qkv.weight, self.out.weight)
        )

    def _is_compiled(self, memory: Tensor, *others: Tensor) -> bool:
        """Whether the compiled kernels serve what is read: the one place that decides."""
        return (
            self.map_recorder is None
            and not is_traced(memory)
            and fits(memory.shape[-2], self.dim_head)
            and takes(memory, *others)
        )

    def _layer(self, x: Tensor, permission: Permission) -> Tensor:
        """All rows, from the entities to the output; whatever padding holds."""
        lead = x.shape[:-2]
        present = flat(permission.present, lead, 1)
        mask = flat(permission.opened, lead, 2)
        sight = Sight(self.heads, self.dim_head**-0.5, mask, present, present)
        out = scene_layer(x.reshape(-1, *x.shape[-2:]), self.qkv.weight, self.out.weight, sight)
        return out.view(*lead, *out.shape[-2:])

    def _attend_compiled(
        self, rows: Tensor, memory: Tensor | None, permission: Permission, there: Tensor | None
    ) -> Tensor:
        """Attend with rows [..., E, 3 * inner], or [..., Q, inner] and [..., E, 2 * inner]."""
        lead = lead_of(rows, permission)
        if memory is not None:
            lead = tuple(torch.broadcast_shapes(lead, memory.shape[:-2]))
            memory = memory.expand(*lead, *memory.shape[-2:]).reshape(-1, *memory.shape[-2:])
        rows = rows.expand(*lead, *rows.shape[-2:]).reshape(-1, *rows.shape[-2:])
        sight = Sight(
            self.heads,
            self.dim_head**-0.5,
            flat(permission.opened, lead, 2),
            flat(permission.present, lead, 1),
            flat(there, lead, 1),
        )
        mixed = scene_attention(rows, memory, sight)
        projected: Tensor = self.out(mixed.view(*lead, *mixed.shape[-2:]))
        return projected

    def _folding_is_cheaper(self, entities: int, queries: int) -> bool:
        """Compare the multiplications of both orders; the one place that chooses."""
        inner = self.heads * self.dim_head
        plain = entities * self.dim * inner + queries * entities * inner
        folded = queries * self.dim * inner + self.heads * queries * entities * self.dim
        return folded < plain

    def _attend_plain(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        permission: Permission,
        bias: Tensor | None,
    ) -> Tensor:
        """Attend with queries, keys and values [..., heads, Q or E, dim_head]."""
        opened = permission.opened
        gathered, maps = self._kernel(
            query, key, value, None if opened is None else opened.unsqueeze(-3), bias
        )
        self._record(maps, permission)
        projected: Tensor = self.out(gathered.transpose(-2, -3).flatten(-2))
        return projected

    def _attend_folded(
        self,
        chosen: Tensor,
        x: Tensor,
        permission: Permission,
        bias: Tensor | None,
        compiled: bool,
    ) -> Tensor:
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
        bias = None if bias is None else bias.flatten(-3, -2)
        query = query.transpose(-3, -2).flatten(-3, -2)
        if compiled:
            mixed, maps = self._mix_compiled(query, x, opened), None
        else:
            mixed, maps = self._kernel(query, x, x, opened, bias)
        self._record(None if maps is None else maps.unflatten(-2, (heads, queries)), permission)
        mixed = mixed.unflatten(-2, (heads, queries)).transpose(-3, -2)
        gathered = per_head(mixed.reshape(-1, heads, self.dim), to_value.transpose(1, 2))
        projected: Tensor = self.out(gathered.reshape(*mixed.shape[:-2], heads * width))
        return projected

    def _mix_compiled(self, query: Tensor, x: Tensor, opened: Tensor | None) -> Tensor:
        """The mixture of entities [..., heads * Q, dim] that are keys and values as they are."""
        lead = torch.broadcast_shapes(query.shape[:-2], x.shape[:-2])
        if opened is not None:
            lead = torch.broadcast_shapes(lead, opened.shape[:-2])
        rows, memory = (
            t.expand(*lead, *t.shape[-2:]).reshape(-1, *t.shape[-2:]) for t in (query, x)
        )
        mixed = scene_attention(rows, memory, Sight(1, self.dim_head**-0.5, flat(opened, lead, 2)))
        return mixed.view(*lead, *mixed.shape[-2:])

    def _kernel(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        opened: Tensor | None,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """The mixture of values, and its maps if somebody records them."""
        scale = self.dim_head**-0.5
        if self.map_recorder is None:
            return attend(query, key, value, opened, scale=scale, bias=bias), None
        return attend_with_maps(query, key, value, opened, scale=scale, bias=bias)

    def _check_bias(self, bias: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The bias, if it is floating point and broadcasts to [..., heads, Q, E]."""
        if not isinstance(bias, Tensor) or not bias.is_floating_point():
            got = f"dtype {bias.dtype}" if isinstance(bias, Tensor) else type(bias).__name__
            raise MaskDtypeError(
                f"EntityAttention: bias has {got}; expected a floating point tensor "
                "[..., heads, Q or E, E]."
            )
        got_lead = tuple(bias.shape[:-3])
        pairs = zip(reversed(got_lead), reversed(shape[:-3]), strict=False)
        fits_lead = len(got_lead) <= len(shape) - 3 and all(a in (1, b) for a, b in pairs)
        if tuple(bias.shape[-3:]) != shape[-3:] or not fits_lead:
            raise MaskShapeError(
                f"EntityAttention: bias has shape {tuple(bias.shape)}; expected "
                f"[..., {', '.join(map(str, shape[-3:]))}], a number for each head, each row that "
                f"is wanted and each entity, for leading dimensions {shape[:-3]}."
            )
        return bias

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


def count_of(rows: Index) -> int:
    """How many rows an index asks for."""
    return rows.shape[-1] if isinstance(rows, Tensor) else 1


def lead_of(x: Tensor, permission: Permission) -> tuple[int, ...]:
    """The leading dimensions of a scene under its permission."""
    shapes = [x.shape[:-2]]
    if permission.opened is not None:
        shapes.append(permission.opened.shape[:-2])
    return tuple(torch.broadcast_shapes(*shapes))


def flat(flags: Tensor | None, lead: Sequence[int], own: int) -> Tensor | None:
    """Flags [..., own dimensions] as [N, ...], or [1, ...] where all scenes share it."""
    if flags is None:
        return None
    shape = flags.shape[flags.ndim - own :]
    if flags.ndim == own or flags.shape[:-own].numel() == 1:
        return flags.reshape(1, *shape)
    return flags.expand(*lead, *shape).reshape(-1, *shape)


def _permitted_bias(bias: Tensor, permission: Permission) -> Tensor:
    """The bias with 0 for pairs that are not permitted, rows of padding included."""
    permitted = permission.opened
    if permission.present is not None and permitted is not None:
        permitted = permitted & permission.present.unsqueeze(-1)
    return bias if permitted is None else torch.where(permitted.unsqueeze(-3), bias, 0.0)


def is_plain(layer: nn.Module) -> bool:
    """Whether a projection is its weight and nothing else: no wrapper, subclass, bias or hook.

    Only then may its weight be used in its place. Adapters, parametrisations, pruning and
    quantisation all show in one of these.
    """
    return (
        type(layer) is nn.Linear
        and layer.bias is None
        and "forward" not in layer.__dict__
        and not (layer._forward_pre_hooks or layer._forward_hooks)
        and not (layer._backward_pre_hooks or layer._backward_hooks)
        and (torch.compiler.is_compiling() or not _has_any_global_hook())
    )


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

"""A scene of entities to one row per entity, or to one vector per observer.

An embedding (of each type, where there are several), then residual attention
blocks with layer norms before and after, then a pooling that takes only what its
observer may see. With `observer_view` or `depth_safe`, what an observer may not
see cannot move its output by a single bit, through any number of layers. Only
rows that are asked for are computed in the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from maskrl.attention.entity_attention import EntityAttention, check_sizes
from maskrl.attention.index import Index, check_index, select_rows
from maskrl.attention.leak_warning import warn_of_leaks
from maskrl.attention.permission import Permission, permission_of_shape
from maskrl.attention.pooling import AttentionPool, max_pool, mean_pool
from maskrl.attention.relative_position import (
    RelativePositionBias,
    check_positions,
    offset_index,
)
from maskrl.attention.typed_embedding import TypedEmbedding
from maskrl.errors import ConfigError, MaskError, MaskShapeError

Pool = Literal["mean", "max", "attention", "self"]

FEATURE_LIMIT = 1e12
"""Features are clamped to this size, so that no square overflows in float32: a hidden entity with
a feature of 1e30 would otherwise become NaN inside, and 0 * NaN is not 0."""

HALF_LIMIT = 1e4
"""The same for float16, whose largest number is 65504, also under autocast. It holds within the
embedding too: the gradient of a weight multiplies by 0 what a hidden entity's features became."""


class LimitedReLU(nn.ReLU):
    """A ReLU that keeps float16 finite."""

    def forward(self, x: Tensor) -> Tensor:
        """The positive part, at most `HALF_LIMIT` in float16."""
        if x.dtype is torch.float16:
            return x.clamp(0.0, HALF_LIMIT)
        return super().forward(x)


class EntityBlock(nn.Module):
    """One residual layer: x becomes norm(x + attention(norm(x))), then x + feed_forward(x).

    Args:
        dim: Width.
        heads: Attention heads.
        dim_head: Width of a head; dim / heads if None.
        feed_forward: Hidden width of the feed-forward part; 0 for none.
        norm_before: Whether there is a layer norm before. It has nothing to do behind a block
            that ends in one.
        relative_position: Radius of a learned bias per offset on the grid; None for none.

    Reference:
        Baker et al., Emergent Tool Use From Multi-Agent Autocurricula, appendix on the policy
        architecture, https://arxiv.org/abs/1909.07528
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        dim_head: int | None = None,
        feed_forward: int = 0,
        norm_before: bool = True,
        relative_position: int | None = None,
    ) -> None:
        super().__init__()
        self.norm_before = nn.LayerNorm(dim) if norm_before else nn.Identity()
        self.attention = EntityAttention(dim, heads, dim_head)
        self.norm_after = nn.LayerNorm(dim)
        self.feed_forward: nn.Sequential | None = None
        if feed_forward:
            self.feed_forward = nn.Sequential(
                nn.Linear(dim, feed_forward), nn.ReLU(), nn.Linear(feed_forward, dim)
            )

        self.position_bias: RelativePositionBias | None = None
        if relative_position is not None:
            self.position_bias = RelativePositionBias(heads, relative_position)

    def forward(
        self,
        x: Tensor,
        permission: Permission,
        rows: Index | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """One layer.

        Args:
            x: [..., E, dim], finite everywhere.
            permission: Of all entities.
            rows: Entities whose rows are wanted, all if None.
            offsets: int64 [..., E, E], of `offset_index`, for a block with `relative_position`.

        Returns:
            [..., E or Q, dim]; rows of padding hold anything finite.
        """
        chosen = select_rows(x, rows)
        normed = self.norm_before(x)
        normed_chosen = normed if rows is None else self.norm_before(chosen)
        bias = None
        if self.position_bias is not None and offsets is not None:
            bias = self.position_bias(select_rows(offsets, rows))
        attended = self.attention.attend(normed, permission, rows, normed_chosen, bias=bias)
        x = self.norm_after(chosen + attended)
        return x if self.feed_forward is None else x + self.feed_forward(x)


class EntityEncoder(nn.Module):
    """Attention between the entities of a scene, and pooling for whoever observes it.

    Args:
        in_features: Features of an entity; or of each type of entity, such as
            `{"agent": 5, "box": 3}`: each type gets an embedding of its own, and scenes are
            mappings from type to entities, joined in this order.
        dim: Width of the layers and of the output.
        depth: Number of attention layers.
        heads: Attention heads; they divide `dim` unless `dim_head` is given.
        pool: What comes out. None: one row per entity. "self": the observer's own row. "mean",
            "max", "attention": a pooling of what the observer sees.
        depth_safe: From the second layer on, attend only along edges that leak nothing (see
            `maskrl.attention.depth_safe`); the pooling follows them too. It changes nothing under
            an `observer_view` and without visibility. Without it, the first call of a process in
            which somebody hidden reaches a row that is asked for gives a `LeakWarning`.
        dim_head: Width of a head.
        feed_forward: Hidden width of a feed-forward part in each layer; 0 for none.
        embedding: "mlp" embeds an entity with two layers, so that a position can become something
            else than a linear function of itself; "linear" with one.
        count_feature: With pooling: append log(1 + n) to the vector, where n is the number of
            entities that the observer sees, itself included. A mean does not tell how many.
        relative_position: Add a learned bias for the offset between two entities on a grid to
            each head's scores, in every layer; offsets are clipped at this radius. `forward` then
            wants `positions`.

    Attributes:
        out_features: Width of the output: `dim`, and 1 more with `count_feature`.

    Raises:
        ConfigError: A size is not positive, or an option is unknown.

    Empty rows:
        Rows of padding, and pooling for an observer that is padding, are exactly 0, with gradient
        exactly 0.

    Reference:
        Baker et al., https://arxiv.org/abs/1909.07528 (types, blocks and masked pooling).

    Example:
        >>> encoder = EntityEncoder(3, dim=8, depth=2, heads=2, pool="mean")
        >>> scene, sees = torch.randn(1, 4, 3), torch.eye(4, dtype=torch.bool)
        >>> encoder(scene, visibility=sees, observer=0).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        in_features: int | Mapping[str, int],
        dim: int,
        depth: int,
        heads: int,
        *,
        pool: Pool | None = None,
        depth_safe: bool = True,
        dim_head: int | None = None,
        feed_forward: int = 0,
        embedding: Literal["mlp", "linear"] = "mlp",
        count_feature: bool = False,
        relative_position: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(in_features, Mapping):
            check_sizes("EntityEncoder", in_features=in_features)
        check_sizes("EntityEncoder", dim=dim, depth=depth, heads=heads)
        if feed_forward:
            check_sizes("EntityEncoder", feed_forward=feed_forward)
        if relative_position is not None:
            check_sizes("EntityEncoder", relative_position=relative_position)
        for name, value, known in (
            ("pool", pool, (None, *get_args(Pool))),
            ("embedding", embedding, ("mlp", "linear")),
        ):
            if value not in known:
                raise ConfigError(f"EntityEncoder: {name} is {value!r}; expected one of {known}.")
        if count_feature and pool is None:
            raise ConfigError(
                "EntityEncoder: count_feature is given and pool is None; expected a pool, whose "
                "vector the count is appended to."
            )
        self.out_features = dim + bool(count_feature)
        self.pool = pool
        self.depth_safe = depth_safe
        self.count_feature = bool(count_feature)
        self.relative_position = relative_position

        def make_embedding(features: int) -> nn.Sequential:
            layers: list[nn.Module] = [nn.Linear(features, dim)]
            if embedding == "mlp":
                layers += [LimitedReLU(inplace=True), nn.Linear(dim, dim)]
            return nn.Sequential(*layers)

        self.in_features: int | dict[str, int]
        self.embedding: nn.Sequential | TypedEmbedding
        if isinstance(in_features, Mapping):
            self.in_features = dict(in_features)
            self.embedding = TypedEmbedding(in_features, make_embedding)
        else:
            self.in_features = in_features
            self.embedding = make_embedding(in_features)
        self.blocks = nn.ModuleList(
            EntityBlock(
                dim,
                heads,
                dim_head=dim_head,
                feed_forward=feed_forward,
                norm_before=layer == 0 or feed_forward > 0,
                relative_position=relative_position,
            )
            for layer in range(depth)
        )
        self.attention_pool = AttentionPool(dim, heads) if pool == "attention" else None

    def forward(
        self,
        x: Tensor | Mapping[str, Tensor],
        entity_mask: Tensor | Mapping[str, Tensor] | None = None,
        visibility: Tensor | None = None,
        *,
        queries: Index | None = None,
        observer: Index | None = None,
        positions: Tensor | Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            x: [..., E, in_features]; with several types a mapping from each to its entities
                [..., E_t, F_t], E_t = 0 where there are none, leading dimensions broadcasting.
                They are joined in the order of `in_features` (see `slots`), and E is their sum.
                What padding holds, NaN included, changes nothing.
            entity_mask: bool [..., E], False = padding. None: no padding. With several types also
                a mapping to bool [..., E_t], types without padding left out.
            visibility: bool [..., E, E], True = i may attend to j. None: everybody sees everybody.
                Its leading dimensions broadcast with those of x: x [B, 1, E, F] with the
                `observer_view` of N observers [B, N, E, E] encodes N views of each scene.
            queries: Without pooling: the entities whose rows are wanted, an index, or int64
                [..., Q]. None: all.
            observer: With pooling: for whom, an index, or int64 [..., Q] for several. None pools
                over everything that is there, and is refused where `visibility` is given.
                Tensors of `queries` and `observer` have a dimension for each leading one of the
                scene: [B, 1] is one entity of each scene, [1, Q] the same Q of every one.
            positions: With `relative_position`: integers [..., E, 2], the cell of each entity, or
                a mapping to [..., E_t, 2]. Those of padding and of whom one may not see are not
                read, whatever they hold.

        Returns:
            Without pooling [..., E, dim], or [..., Q, dim] for `queries` (Q = 1 for an index).
            With pooling [..., out_features] for one observer or none, [..., Q, out_features] for
            a tensor of them.

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: x, a mask, an index or the positions do not fit.
            MaskError: Pooling has no observer although it needs one, or an argument is for
                the other kind of output or network.
        """
        parts = self._parts(x)
        if isinstance(self.embedding, TypedEmbedding):
            entity_mask = self.embedding.joined_mask(entity_mask, parts)
        slots = self._slots(parts)
        permission, lead = permission_of_shape(
            "EntityEncoder", slots, parts[0].device, entity_mask, visibility
        )
        self._check_purpose(visibility, queries, observer)
        name, index = ("queries", queries) if self.pool is None else ("observer", observer)
        if index is not None:
            index = check_index("EntityEncoder", name, index, slots[-1], lead)
        if not self.depth_safe and visibility is not None:
            warn_of_leaks(permission, len(self.blocks), self.pool, index)
        embedded = self.embed(parts, permission.present)
        offsets = self._offsets(positions, parts, embedded, permission, lead)
        return self.encode(embedded, permission, index, offsets)

    def slots(self, x: Mapping[str, Tensor]) -> dict[str, range]:
        """Which rows of the joined scene belong to each type.

        Args:
            x: A scene of several types, as for `forward`.

        Returns:
            For each type its indices: of rows, columns of visibility, queries and observers.

        Raises:
            ConfigError: The encoder has one type, whose entities stand where x has them.
            MaskShapeError: x does not fit.

        Example:
            >>> encoder = EntityEncoder({"agent": 5, "box": 3}, dim=8, depth=1, heads=2)
            >>> encoder.slots({"box": torch.zeros(4, 3), "agent": torch.zeros(2, 5)})
            {'agent': range(0, 2), 'box': range(2, 6)}
        """
        if not isinstance(self.embedding, TypedEmbedding):
            raise ConfigError(
                f"EntityEncoder: slots are for several types of entities; in_features is "
                f"{self.in_features}. Expected a mapping such as {{'agent': 5, 'box': 3}}."
            )
        return self.embedding.slots(x)

    def embed(self, parts: Sequence[Tensor], present: Tensor | None = None) -> Tensor:
        """Embed without checks.

        Args:
            parts: The entities [..., E, F]; of each type, where there are several.
            present: bool [..., E], False = padding, which is read as 0.

        Returns:
            [..., E, dim], finite whatever finite values the entities hold.
        """
        dtype = next(self.embedding.parameters()).dtype
        limit = HALF_LIMIT if torch.float16 in (dtype, _autocast_dtype(parts[0])) else FEATURE_LIMIT
        here: Sequence[Tensor | None] = [present] * len(parts)
        if present is not None and len(parts) > 1:
            here = present.split([part.shape[-2] for part in parts], -1)
        parts = [
            Permission(None, own).zero_absent(part.to(dtype)).clamp(-limit, limit)
            for part, own in zip(parts, here, strict=True)
        ]
        typed = isinstance(self.embedding, TypedEmbedding)
        embedded: Tensor = self.embedding(parts if typed else parts[0])
        if embedded.dtype is torch.float16:  # also under autocast
            embedded = embedded.nan_to_num(0.0, HALF_LIMIT, -HALF_LIMIT)
            embedded = embedded.clamp(-HALF_LIMIT, HALF_LIMIT)
        return embedded

    def encode(
        self,
        x: Tensor,
        permission: Permission,
        index: Index | None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """Encode what is embedded, without checks.

        Args:
            x: [..., E, dim], embedded entities; padding holds anything finite.
            permission: Of the scene.
            index: The queries, or with pooling the observers.
            offsets: int64 [..., E, E], of `offset_index`, with `relative_position`.

        Returns:
            As `forward`.
        """
        seen = self._taken(x, permission, index) if self.count_feature else None
        later = permission.depth_safe() if self.depth_safe else permission
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            rows = index if layer == last and self.pool in (None, "self") else None
            x = block(x, later if layer else permission, rows, offsets)
        if self.pool is None:
            return permission.rows(index).zero_absent(x)
        if self.pool == "self":
            x = permission.rows(index).zero_absent(x)
        else:
            keep = self._taken(x, later, index)
            if self.attention_pool is not None:
                x = self.attention_pool(x, keep)
            else:
                x = mean_pool(x, keep) if self.pool == "mean" else max_pool(x, keep)
        if seen is not None:
            count = seen.sum(-1, keepdim=True).to(x.dtype)
            x = torch.cat([x, count.log1p().expand(*x.shape[:-1], 1)], -1)
        return x if isinstance(index, Tensor) else x.squeeze(-2)

    def _parts(self, x: Tensor | Mapping[str, Tensor]) -> list[Tensor]:
        """The entities of each type, checked; of the only one where there is one."""
        if isinstance(self.embedding, TypedEmbedding):
            return self.embedding.parts(x)
        if isinstance(x, Mapping):
            raise MaskShapeError(
                f"EntityEncoder: x is a mapping of {', '.join(map(repr, x))}; expected a tensor "
                f"[..., E, {self.in_features}]. For several types of entities build it with "
                "in_features={'agent': 5, ...}."
            )
        if x.ndim < 2 or x.shape[-1] != self.in_features:
            raise MaskShapeError(
                f"EntityEncoder: x has shape {tuple(x.shape)}; "
                f"expected [..., E, {self.in_features}]."
            )
        return [x]

    @staticmethod
    def _slots(parts: Sequence[Tensor]) -> tuple[int, ...]:
        """Shape [..., E] of the joined scene."""
        if len(parts) == 1:
            return tuple(parts[0].shape[:-1])
        lead = torch.broadcast_shapes(*(part.shape[:-2] for part in parts))
        return (*lead, sum(part.shape[-2] for part in parts))

    def _offsets(
        self,
        positions: Tensor | Mapping[str, Tensor] | None,
        parts: Sequence[Tensor],
        x: Tensor,
        permission: Permission,
        lead: tuple[int, ...],
    ) -> Tensor | None:
        """Where each permitted pair's offset stands in the tables of biases: int64 [..., E, E]."""
        if self.relative_position is None:
            if positions is not None:
                raise MaskError(
                    "EntityEncoder: positions are given and relative_position is None; they would "
                    "be ignored. Build it with relative_position=radius."
                )
            return None
        if positions is None:
            raise MaskError(
                f"EntityEncoder: relative_position is {self.relative_position}; expected "
                f"positions, integers [..., {x.shape[-2]}, 2], got None."
            )
        if isinstance(self.embedding, TypedEmbedding) and isinstance(positions, Mapping):
            counts = [part.shape[-2] for part in parts]
            positions = self.embedding.joined_positions(positions, counts, lead)
        positions = check_positions("EntityEncoder", positions, x.shape[-2], lead, x.device)
        return offset_index(positions, permission.effective(x), self.relative_position)

    @staticmethod
    def _taken(x: Tensor, permission: Permission, observer: Index | None) -> Tensor:
        """Whom each observer attends to: bool [..., Q, E]; without observers, who is there."""
        if observer is not None:
            return permission.effective(x, observer)
        if permission.present is not None:
            return permission.present.unsqueeze(-2)
        return torch.ones(1, x.shape[-2], dtype=torch.bool, device=x.device)

    def _check_purpose(
        self, visibility: Tensor | None, queries: Index | None, observer: Index | None
    ) -> None:
        """Refuse arguments that would be ignored, and pooling that would leak."""
        if self.pool is None:
            if observer is not None:
                raise MaskError(
                    "EntityEncoder: observer is given and pool is None; expected queries, which "
                    "choose rows. For one vector per observer build it with pool='self'."
                )
            return
        if queries is not None:
            raise MaskError(
                f"EntityEncoder: queries are given and pool is {self.pool!r}; expected observer, "
                "which says for whom is pooled."
            )
        if observer is None and self.pool == "self":
            raise MaskError(
                "EntityEncoder: pool='self' returns the observer's own row; expected observer, got "
                "None."
            )
        if observer is None and visibility is not None:
            raise MaskError(
                "EntityEncoder: visibility is given and observer is None; pooling over everybody "
                "would reveal to everybody what each sees. Expected observer: for whom is pooled."
            )


def _autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What products on the device of x are cast to, None where they are not."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)

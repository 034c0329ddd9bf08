"""A scene of entities to one row per entity, or to one vector per observer.

An embedding, then residual attention blocks with layer norms before and after,
then a pooling that takes only what its observer may see. With `observer_view`
or `depth_safe`, what an observer may not see cannot move its output by a single
bit, through any number of layers. Only rows that are asked for are computed in
the last layer.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from maskrl.attention.entity_attention import EntityAttention, check_sizes
from maskrl.attention.index import Index, check_index, select_rows
from maskrl.attention.permission import Permission, permission_for
from maskrl.attention.pooling import AttentionPool, max_pool, mean_pool
from maskrl.errors import ConfigError, MaskError, MaskShapeError

Pool = Literal["mean", "max", "attention", "self"]

FEATURE_LIMIT = 1e12
"""Features are clamped to this size, so that no square overflows in float32: a hidden entity with
a feature of 1e30 would otherwise become NaN inside, and 0 * NaN is not 0."""


class EntityBlock(nn.Module):
    """One residual layer: x becomes norm(x + attention(norm(x))), then x + feed_forward(x).

    Args:
        dim: Width.
        heads: Attention heads.
        dim_head: Width of a head; dim / heads if None.
        feed_forward: Hidden width of the feed-forward part; 0 for none.
        norm_before: Whether there is a layer norm before. It has nothing to do behind a block
            that ends in one.

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

    def forward(self, x: Tensor, permission: Permission, rows: Index | None = None) -> Tensor:
        """From x [..., E, dim] to [..., E or Q, dim]; rows of padding hold anything finite."""
        chosen = select_rows(x, rows)
        normed = self.norm_before(x)
        normed_chosen = normed if rows is None else self.norm_before(chosen)
        x = self.norm_after(chosen + self.attention.attend(normed, permission, rows, normed_chosen))
        return x if self.feed_forward is None else x + self.feed_forward(x)


class EntityEncoder(nn.Module):
    """Attention between the entities of a scene, and pooling for whoever observes it.

    Args:
        in_features: Features of an entity.
        dim: Width of the layers and of the output.
        depth: Number of attention layers.
        heads: Attention heads; they divide `dim` unless `dim_head` is given.
        pool: What comes out. None: one row per entity. "self": the observer's own row. "mean",
            "max", "attention": a pooling of what the observer sees.
        depth_safe: From the second layer on, attend only along edges that leak nothing (see
            `maskrl.attention.depth_safe`); the pooling follows them too. It changes nothing under
            an `observer_view` and without visibility.
        dim_head: Width of a head.
        feed_forward: Hidden width of a feed-forward part in each layer; 0 for none.
        embedding: "mlp" embeds an entity with two layers, so that a position can become something
            else than a linear function of itself; "linear" with one.

    Attributes:
        out_features: Width of the output, `dim`.

    Raises:
        ConfigError: A size is not positive, or an option is unknown.

    Empty rows:
        Rows of padding, and pooling for an observer that is padding, are exactly 0, with gradient
        exactly 0.

    Reference:
        Baker et al., https://arxiv.org/abs/1909.07528 (the blocks and masked pooling).

    Example:
        >>> encoder = EntityEncoder(3, dim=8, depth=2, heads=2, pool="mean")
        >>> scene, sees = torch.randn(1, 4, 3), torch.eye(4, dtype=torch.bool)
        >>> encoder(scene, visibility=sees, observer=0).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        in_features: int,
        dim: int,
        depth: int,
        heads: int,
        *,
        pool: Pool | None = None,
        depth_safe: bool = True,
        dim_head: int | None = None,
        feed_forward: int = 0,
        embedding: Literal["mlp", "linear"] = "mlp",
    ) -> None:
        super().__init__()
        check_sizes("EntityEncoder", in_features=in_features, dim=dim, depth=depth, heads=heads)
        if feed_forward:
            check_sizes("EntityEncoder", feed_forward=feed_forward)
        for name, value, known in (
            ("pool", pool, (None, *get_args(Pool))),
            ("embedding", embedding, ("mlp", "linear")),
        ):
            if value not in known:
                raise ConfigError(f"EntityEncoder: {name} is {value!r}; expected one of {known}.")
        self.in_features = in_features
        self.out_features = dim
        self.pool = pool
        self.depth_safe = depth_safe
        self.embedding = nn.Sequential(nn.Linear(in_features, dim))
        if embedding == "mlp":
            self.embedding.extend([nn.ReLU(inplace=True), nn.Linear(dim, dim)])
        self.blocks = nn.ModuleList(
            EntityBlock(
                dim,
                heads,
                dim_head=dim_head,
                feed_forward=feed_forward,
                norm_before=layer == 0 or feed_forward > 0,
            )
            for layer in range(depth)
        )
        self.attention_pool = AttentionPool(dim, heads) if pool == "attention" else None

    def forward(
        self,
        x: Tensor,
        entity_mask: Tensor | None = None,
        visibility: Tensor | None = None,
        *,
        queries: Index | None = None,
        observer: Index | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            x: [..., E, in_features]. What padding holds, NaN included, changes nothing.
            entity_mask: bool [..., E], False = padding. None: no padding.
            visibility: bool [..., E, E], True = i may attend to j. None: everybody sees everybody.
                Its leading dimensions broadcast with those of x: x [B, 1, E, F] with the
                `observer_view` of N observers [B, N, E, E] encodes N views of each scene.
            queries: Without pooling: the entities whose rows are wanted, an index, or int64
                [..., Q]. None: all.
            observer: With pooling: for whom, an index, or int64 [..., Q] for several. None pools
                over everything that is there, and is refused where `visibility` is given.

        Returns:
            Without pooling [..., E, dim], or [..., Q, dim] for `queries` (Q = 1 for an index).
            With pooling [..., dim] for one observer or none, [..., Q, dim] for a tensor of them.

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: x, a mask or an index does not fit.
            MaskError: Pooling has no observer although it needs one, or an argument is for
                the other kind of output.
        """
        if x.shape[-1:] != (self.in_features,):
            raise MaskShapeError(
                f"EntityEncoder: x has shape {tuple(x.shape)}; "
                f"expected [..., E, {self.in_features}]."
            )
        permission, lead = permission_for("EntityEncoder", x, entity_mask, visibility)
        self._check_purpose(visibility, queries, observer)
        name, index = ("queries", queries) if self.pool is None else ("observer", observer)
        if index is not None:
            index = check_index("EntityEncoder", name, index, x.shape[-2], lead)
        x = permission.zero_absent(x.to(next(self.embedding.parameters()).dtype))
        return self.encode(x.clamp(-FEATURE_LIMIT, FEATURE_LIMIT), permission, index)

    def encode(self, x: Tensor, permission: Permission, index: Index | None) -> Tensor:
        """Encode without checks.

        Args:
            x: [..., E, in_features] with padding replaced by 0.
            permission: Of the scene.
            index: The queries, or with pooling the observers.

        Returns:
            As `forward`.
        """
        x = self.embedding(x)
        later = permission.depth_safe() if self.depth_safe else permission
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            rows = index if layer == last and self.pool in (None, "self") else None
            x = block(x, later if layer else permission, rows)
        if self.pool in (None, "self"):
            x = permission.rows(index).zero_absent(x)
            return x.squeeze(-2) if self.pool and isinstance(index, int) else x
        keep = self._taken(x, later, index)
        if self.attention_pool is not None:
            x = self.attention_pool(x, keep)
        else:
            x = mean_pool(x, keep) if self.pool == "mean" else max_pool(x, keep)
        return x if isinstance(index, Tensor) else x.squeeze(-2)

    @staticmethod
    def _taken(x: Tensor, permission: Permission, observer: Index | None) -> Tensor:
        """What the pooling takes for each observer: bool [..., Q, E]."""
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

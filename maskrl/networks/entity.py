"""A scene of entities to features, for a policy or a value network.

The acting policy sees the scene through its observer's own row of visibility
and nothing else. For one observer that is the same as treating what it does not
see as padding, which is how it is computed: the attention then needs no mask
over pairs. A value network may see everything that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from maskrl.attention.entity_encoder import EntityEncoder, Pool
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.check import check_mask

See = Literal["observer", "everything"]


class EntityNetwork(nn.Module):
    """An `EntityEncoder` for one observer, fed from a Dict observation.

    Args:
        entity_features: Features of an entity.
        dim: Width of the layers and of the output.
        depth: Number of attention layers.
        heads: Attention heads; they divide `dim`.
        pool: "self" returns the observer's own row; "mean", "max" and "attention" pool what the
            observer sees.
        see: "observer" attends under the `observer_view` of the observer, for acting; "everything"
            takes every entity that is there, for a value network.
        observer: The entity slot that acts.
        feed_forward: Hidden width of a feed-forward part in each layer; 0 for none.
        count_feature: Append log(1 + how many entities the observer sees, itself included).
        relative_position: Radius of a learned bias for the offset between two entities, whose
            cells are then read from "positions"; None for none.

    Attributes:
        out_features: Width of the output: `dim`, and 1 more with `count_feature`.

    Raises:
        ConfigError: A size is not positive, or an option is unknown.

    Empty rows:
        An observer that is padding gets features of exactly 0.

    Example:
        >>> network = EntityNetwork(3, dim=8, depth=2, heads=2)
        >>> scene = {
        ...     "entities": torch.randn(1, 4, 3),
        ...     "entity_mask": torch.ones(1, 4, dtype=torch.bool),
        ... }
        >>> network(scene).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        entity_features: int,
        dim: int,
        depth: int,
        heads: int,
        *,
        pool: Pool = "self",
        see: See = "observer",
        observer: int = 0,
        feed_forward: int = 0,
        count_feature: bool = False,
        relative_position: int | None = None,
    ) -> None:
        super().__init__()
        if see not in get_args(See):
            raise ConfigError(
                f"EntityNetwork: see is {see!r}; expected one of {', '.join(get_args(See))}."
            )
        if pool not in get_args(Pool):
            raise ConfigError(
                f"EntityNetwork: pool is {pool!r}; expected one of {', '.join(get_args(Pool))}."
            )
        if isinstance(observer, bool) or not isinstance(observer, int) or observer < 0:
            raise ConfigError(
                f"EntityNetwork: observer is {observer!r}; expected the index of an entity slot."
            )
        self.see = see
        self.observer = observer
        self.encoder = EntityEncoder(
            entity_features,
            dim,
            depth,
            heads,
            pool=pool,
            feed_forward=feed_forward,
            count_feature=count_feature,
            relative_position=relative_position,
        )
        self.out_features = self.encoder.out_features

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Features of a batch of scenes.

        Args:
            obs: "entities" [..., E, F]; "entity_mask" bool [..., E], False = padding; and, where
                there is one, "visibility" bool [..., E, E], True = entity i sees j, or [..., E]
                for the observer's row alone, with the leading dimensions of the entities. With
                `relative_position` also "positions", integers [..., E, 2]. Other entries are not
                read.

        Returns:
            [..., out_features].

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: A mask or the positions do not fit the entities.
            MaskError: There are no "positions" and the network wants them.
        """
        entities = obs["entities"]
        # Checked before it is joined: `&` would spread a mask of one slot over all of them.
        seen = check_mask(
            "EntityNetwork",
            "entity_mask",
            obs["entity_mask"],
            entities.shape[:-1],
            device=entities.device,
            data="entities",
        )
        visibility = obs.get("visibility") if self.see == "observer" else None
        if visibility is not None:
            seen = seen & self._own_row(entities, visibility)
        positions = obs.get("positions") if self.encoder.relative_position is not None else None
        features: Tensor = self.encoder(entities, seen, observer=self.observer, positions=positions)
        return features

    def _own_row(self, entities: Tensor, visibility: Tensor) -> Tensor:
        """What the observer sees, itself included: bool [..., E]."""
        size = entities.shape[-2]
        one_row = visibility.ndim == entities.ndim - 1
        shape = tuple(entities.shape[:-1]) if one_row else (*entities.shape[:-1], size)
        visibility = check_mask(
            "EntityNetwork", "visibility", visibility, shape, data="pairs of entities"
        )
        if visibility.shape != shape:
            raise MaskShapeError(
                f"EntityNetwork: visibility has shape {tuple(visibility.shape)}; expected {shape}."
            )
        if self.observer >= size:
            raise MaskShapeError(
                f"EntityNetwork: observer is {self.observer}; expected an index from 0 to "
                f"{size - 1} for {size} entities."
            )
        row = visibility if one_row else visibility[..., self.observer, :]
        itself = torch.arange(size, device=row.device) == self.observer
        return row | itself

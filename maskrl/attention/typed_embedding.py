"""Entities of several types, each with its own features and its own embedding.

A scene is then a mapping from type to entities, such as agents [..., 2, 5] and boxes
[..., 9, 3]. They are joined in the order in which the encoder names its types, and that
order counts everywhere: in the rows of the output, in visibility, positions and indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maskrl.attention.entity_attention import check_sizes
from maskrl.attention.relative_position import check_positions
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.check import check_mask


class TypedEmbedding(nn.Module):
    """One embedding per type of entity.

    Args:
        in_features: Features of an entity of each type; its order is that of the joined scene.
        make: Builds the embedding of a type from its number of features.

    Attributes:
        in_features: A copy of the mapping.
        types: Its names in order.

    Raises:
        ConfigError: No type, a name that is no text or holds a full stop, or a size that is not
            positive.
    """

    def __init__(self, in_features: Mapping[str, int], make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        if not in_features:
            raise ConfigError(
                "EntityEncoder: in_features names no type; expected at least one, such as "
                "{'agent': 5}."
            )
        for name in in_features:
            if not isinstance(name, str) or not name or "." in name:
                raise ConfigError(
                    f"EntityEncoder: in_features names a type {name!r}; expected text without a "
                    "full stop, which parts the names of parameters."
                )
        for name, size in in_features.items():
            check_sizes("EntityEncoder", **{f"in_features[{name!r}]": size})
        self.in_features = dict(in_features)
        self.types = tuple(in_features)
        # Under a name of its own: a type may be called as an attribute of modules is, "type".
        self.of = nn.ModuleDict({f"{name}_entity": make(n) for name, n in in_features.items()})

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """The parts [..., E_t, F_t] in the order of the types, as one scene [..., E, dim]."""
        embedded = [module(part) for module, part in zip(self.of.values(), parts, strict=True)]
        lead = torch.broadcast_shapes(*(part.shape[:-2] for part in embedded))
        return torch.cat([part.expand(*lead, *part.shape[-2:]) for part in embedded], -2)

    def parts(self, x: Any) -> list[Tensor]:
        """The entities of each type [..., E_t, F_t] in order, checked.

        Raises:
            MaskShapeError: x is no mapping with exactly these types, or an entry does not fit.
        """
        found = self.in_order("x", x)
        for name, part in zip(self.types, found, strict=True):
            if part.ndim < 2 or part.shape[-1] != self.in_features[name]:
                raise MaskShapeError(
                    f"EntityEncoder: x[{name!r}] has shape {tuple(part.shape)}; expected "
                    f"[..., entities, {self.in_features[name]}]."
                )
        try:
            torch.broadcast_shapes(*(part.shape[:-2] for part in found))
        except RuntimeError:
            shapes = {name: tuple(p.shape) for name, p in zip(self.types, found, strict=True)}
            raise MaskShapeError(
                f"EntityEncoder: x has shapes {shapes}; expected leading dimensions that broadcast."
            ) from None
        return found

    def in_order(self, name: str, values: Any) -> list[Tensor]:
        """The tensors of a mapping in the order of the types.

        Raises:
            MaskShapeError: It is no mapping, or has other types.
        """
        if not isinstance(values, Mapping):
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
            raise MaskShapeError(
                f"EntityEncoder: {name} is no mapping ({got:.60}); expected one tensor for each "
                f"type: {', '.join(map(repr, self.types))}."
            )
        self._refuse_strangers(name, values)
        for of_type in self.types:
            if not isinstance(values.get(of_type), Tensor):
                raise MaskShapeError(
                    f"EntityEncoder: {name}[{of_type!r}] is {values.get(of_type)!r:.60}; expected "
                    "a tensor. A scene without such entities has 0 of them: [..., 0, features]."
                )
        return [values[of_type] for of_type in self.types]

    def joined_mask(self, entity_mask: Any, parts: Sequence[Tensor]) -> Any:
        """The entity mask of the joined scene: bool [..., E], or None.

        Args:
            entity_mask: A mapping from types to bool [..., E_t], types without padding left out;
                or what is joined already, which is passed on.
            parts: Of the scene.

        Raises:
            MaskDtypeError: A mask is not boolean.
            MaskShapeError: A mask does not fit its entities, or is of another type.
        """
        if not isinstance(entity_mask, Mapping):
            return entity_mask
        self._refuse_strangers("entity_mask", entity_mask)
        masks = []
        for name, part in zip(self.types, parts, strict=True):
            present = entity_mask.get(name)
            if present is None:
                present = torch.ones(part.shape[-2], dtype=torch.bool, device=part.device)
            masks.append(
                check_mask(
                    "EntityEncoder",
                    f"entity_mask[{name!r}]",
                    present,
                    part.shape[:-1],
                    device=part.device,
                    data=f"x[{name!r}]",
                )
            )
        lead = torch.broadcast_shapes(*(present.shape[:-1] for present in masks))
        return torch.cat([present.expand(*lead, present.shape[-1]) for present in masks], -1)

    def joined_positions(
        self, positions: Mapping[str, Tensor], entities: Sequence[int], lead: tuple[int, ...]
    ) -> Tensor:
        """The cells of the joined scene: int64 [..., E, 2].

        Args:
            positions: For each type integers [..., E_t, 2].
            entities: How many there are of each type.
            lead: Leading dimensions of the scene, to which theirs broadcast.

        Raises:
            MaskShapeError: They are not whole numbers, or do not fit the entities of their type:
                joined, they would be those of others.
        """
        cells = [
            check_positions("EntityEncoder", part, count, lead, part.device, f"positions[{name!r}]")
            for name, part, count in zip(
                self.types, self.in_order("positions", positions), entities, strict=True
            )
        ]
        joint = torch.broadcast_shapes(*(part.shape[:-2] for part in cells))
        return torch.cat([part.expand(*joint, *part.shape[-2:]) for part in cells], -2)

    def slots(self, x: Mapping[str, Tensor]) -> dict[str, range]:
        """Which rows of the joined scene belong to each type."""
        found, start = {}, 0
        for name, part in zip(self.types, self.parts(x), strict=True):
            found[name] = range(start, start + part.shape[-2])
            start += part.shape[-2]
        return found

    def _refuse_strangers(self, name: str, values: Mapping[str, Any]) -> None:
        for of_type in values:
            if of_type not in self.in_features:
                raise MaskShapeError(
                    f"EntityEncoder: {name} has entities of type {of_type!r}; expected "
                    f"{', '.join(map(repr, self.types))}."
                )

"""Look at attention maps without changing any signature.

Inside `with record_attention(module) as maps:` every attention layer of the
module also returns its weights, on the path that is equal to the fast one by
test, and they are collected layer by layer. Outside nothing is computed for it.
The collected maps draw themselves, as heat maps or as arrows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from maskrl.attention import drawn_maps
from maskrl.attention.entity_attention import EntityAttention
from maskrl.attention.pooling import AttentionPool
from maskrl.errors import ConfigError


class AttentionMaps(list[Tensor]):
    """The recorded maps [..., heads, Q, E] in the order in which they were computed.

    Each row is the distribution of a query over the entities: it sums to 1, or is all 0 for
    padding. The maps are detached.

    Attributes:
        names: The layer of each map, as `module.named_modules()` calls it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def add(self, name: str, maps: Tensor) -> None:
        """Append the maps of one call of one layer."""
        self.append(maps.detach())
        self.names.append(name)

    def of(self, prefix: str) -> AttentionMaps:
        """The maps of the layers inside one part of the module, such as "policy"."""
        part = AttentionMaps()
        for name, maps in zip(self.names, self, strict=True):
            if name == prefix or name.startswith(f"{prefix}."):
                part.add(name, maps)
        return part

    def clear(self) -> None:
        """Forget what was recorded."""
        super().clear()
        self.names.clear()

    def plot(
        self,
        names: Sequence[str | None] | None = None,
        *,
        sample: int | tuple[int, ...] = 0,
        call: int = -1,
        queries: int | Sequence[int] | Tensor | None = None,
        visibility: Any = None,
        entity_mask: Any = None,
        height: int | None = None,
    ) -> Any:
        """One scene's maps as heat maps: rows look, columns are looked at.

        Args:
            names: E names of the entity slots, None for slots that hold nothing, as an
                environment's `entity_names` has them; "entity 0", "entity 1", ... if absent.
            sample: Which scene of the batch: an index, or one per leading dimension.
            call: Which call of a layer that was called several times; the last if absent.
            queries: Whose rows the layers compute that compute fewer than all, such as 0 where
                the last layer acts for entity 0.
            visibility: bool [..., E, E], who sees whom, to be drawn beside the maps.
            entity_mask: bool [..., E], False = padding, which is left out.
            height: Pixels; by the number of entities if absent.

        Returns:
            A `plotly.graph_objects.Figure`, with a menu of layers and heads. A weight of exactly
            0 is a cross on an empty cell.

        Raises:
            ConfigError: Nothing was recorded, or an argument does not fit the maps.
            MaskShapeError: A mask does not fit the maps.
            MaskDtypeError: A mask holds something else than 0 and 1.
            MaskError: An entity attends to one that `visibility` hides from it.
        """
        return drawn_maps.plot(
            self,
            names,
            height,
            sample=sample,
            call=call,
            queries=queries,
            visibility=visibility,
            entity_mask=entity_mask,
        )

    def arrows(
        self,
        positions: Any,
        names: Sequence[str | None] | None = None,
        *,
        observer: int | None = 0,
        picture: Any = None,
        at_least: float | None = None,
        sample: int | tuple[int, ...] = 0,
        call: int = -1,
        queries: int | Sequence[int] | Tensor | None = None,
        visibility: Any = None,
        entity_mask: Any = None,
        height: int = 480,
    ) -> Any:
        """One scene's maps as arrows between the places where the entities stand.

        Args:
            positions: [..., E, 2], x to the right and y downwards; None for slots that hold
                nothing. On a picture in widths of the picture from its top left corner, as an
                environment's `entity_places` has them; otherwise in any unit.
            names: As in `plot`.
            observer: Whose arrows; None: everybody's.
            picture: uint8 [height, width, 3], drawn beneath, such as `env.render()`.
            at_least: Arrows of less attention are left out; if absent none of one observer's,
                and of everybody's those below 0.1.
            sample: As in `plot`.
            call: As in `plot`.
            queries: As in `plot`.
            visibility: bool [..., E, E]; checked against the maps.
            entity_mask: As in `plot`.
            height: Pixels.

        Returns:
            A `plotly.graph_objects.Figure`, with a menu of layers and heads. A weight of exactly
            0 has no arrow.

        Raises:
            ConfigError: As in `plot`; or the observer's slot holds nothing.
            MaskShapeError: A mask does not fit the maps.
            MaskDtypeError: A mask holds something else than 0 and 1.
            MaskError: An entity attends to one that `visibility` hides from it.
            ValueError: The picture is none, or a position lies outside it.
        """
        return drawn_maps.arrows(
            self,
            positions,
            names,
            observer=observer,
            picture=picture,
            at_least=at_least,
            height=height,
            sample=sample,
            call=call,
            queries=queries,
            visibility=visibility,
            entity_mask=entity_mask,
        )


@contextmanager
def record_attention(module: nn.Module) -> Iterator[AttentionMaps]:
    """Record the attention maps of every layer inside a module.

    Args:
        module: Any module with `EntityAttention` or attention pooling somewhere inside.

    Yields:
        A list of maps [..., heads, Q, E] that grows with each forward call: one entry per layer,
        the pooling's last where it attends.

    Raises:
        ConfigError: The module has no attention layer, or is being recorded already.

    Example:
        >>> import torch
        >>> layer = EntityAttention(dim=8, heads=2)
        >>> with record_attention(layer) as maps:
        ...     _ = layer(torch.randn(1, 3, 8))
        >>> maps[0].shape
        torch.Size([1, 2, 3, 3])
    """
    layers = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, (EntityAttention, AttentionPool))
    ]
    if not layers:
        raise ConfigError(
            f"record_attention: {type(module).__name__} has no attention layer inside; "
            "expected a module with EntityAttention or an EntityEncoder in it."
        )
    if any(layer.map_recorder is not None for _, layer in layers):
        raise ConfigError(
            f"record_attention: {type(module).__name__} is being recorded already; "
            "use the maps of the outer `with`."
        )
    maps = AttentionMaps()
    try:
        for name, layer in layers:
            layer.map_recorder = lambda m, name=name: maps.add(name, m)
        yield maps
    finally:
        for _, layer in layers:
            layer.map_recorder = None

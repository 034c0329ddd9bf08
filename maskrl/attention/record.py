"""Look at attention maps without changing any signature.

Inside `with record_attention(module) as maps:` every attention layer of the
module also returns its weights, on the path that is equal to the fast one by
test, and they are collected layer by layer. Outside nothing is computed for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

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

    def of(self, prefix: str) -> list[Tensor]:
        """The maps of the layers inside one part of the module, such as "policy"."""
        return [
            maps
            for name, maps in zip(self.names, self, strict=True)
            if name == prefix or name.startswith(f"{prefix}.")
        ]

    def clear(self) -> None:
        """Forget what was recorded."""
        super().clear()
        self.names.clear()


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

"""Attention between the entities of a scene, under padding and visibility.

`EntityAttention` is a layer, `EntityEncoder` a stack of them with pooling. The
builders make visibilities; `record_attention` shows the maps.
"""

from __future__ import annotations

from maskrl.attention.entity_attention import EntityAttention
from maskrl.attention.entity_encoder import EntityBlock, EntityEncoder
from maskrl.attention.leak_warning import LeakWarning
from maskrl.attention.pooling import AttentionPool
from maskrl.attention.ragged import from_padded, to_padded
from maskrl.attention.record import AttentionMaps, record_attention
from maskrl.attention.relative_position import RelativePositionBias
from maskrl.attention.visibility import (
    Leak,
    depth_safe,
    explain_leak,
    from_padding,
    hidden,
    observer_view,
    self_visible,
)

__all__ = [
    "AttentionMaps",
    "AttentionPool",
    "EntityAttention",
    "EntityBlock",
    "EntityEncoder",
    "Leak",
    "LeakWarning",
    "RelativePositionBias",
    "depth_safe",
    "explain_leak",
    "from_padded",
    "from_padding",
    "hidden",
    "observer_view",
    "record_attention",
    "self_visible",
    "to_padded",
]

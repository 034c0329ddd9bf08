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
    causal,
    depth_safe,
    explain_leak,
    field_of_view,
    from_padding,
    hidden,
    line_of_sight,
    observer_view,
    radius,
    self_visible,
    team,
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
    "causal",
    "depth_safe",
    "explain_leak",
    "field_of_view",
    "from_padded",
    "from_padding",
    "hidden",
    "line_of_sight",
    "observer_view",
    "radius",
    "record_attention",
    "self_visible",
    "team",
    "to_padded",
]

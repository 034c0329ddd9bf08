"""Who may attend to whom: builders of `visibility` [..., E, E], True = i sees j.

Visibility is directed: an ambusher sees whom it hides from. Attention layers
add by themselves that every entity sees itself and that padding neither sees
nor is seen. Stacked layers leak along paths; `observer_view` and `depth_safe`
are the two cures, `explain_leak` names the paths. Builders join by `&` and `|`;
`& from_padding(entity_mask)` closes what is padding.
"""

from __future__ import annotations

from maskrl.attention.leaks import Leak, explain_leak, leaks
from maskrl.attention.visibility.facts import causal, from_padding, hidden, self_visible, team
from maskrl.attention.visibility.places import field_of_view, radius
from maskrl.attention.visibility.sight_lines import line_of_sight
from maskrl.attention.visibility.views import depth_safe, depth_safe_edges, observer_view

__all__ = [
    "Leak",
    "causal",
    "depth_safe",
    "depth_safe_edges",
    "explain_leak",
    "field_of_view",
    "from_padding",
    "hidden",
    "leaks",
    "line_of_sight",
    "observer_view",
    "radius",
    "self_visible",
    "team",
]

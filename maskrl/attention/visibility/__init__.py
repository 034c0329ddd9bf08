"""Who may attend to whom: builders of `visibility` [..., E, E], True = i sees j.

Visibility is directed: an ambusher sees whom it hides from. Attention layers
add by themselves that every entity sees itself and that padding neither sees
nor is seen. Stacked layers leak along paths; `observer_view` and `depth_safe`
are the two cures, `explain_leak` names the paths.
"""

from __future__ import annotations

from maskrl.attention.leaks import Leak, explain_leak, leaks
from maskrl.attention.visibility.facts import from_padding, hidden, self_visible
from maskrl.attention.visibility.views import depth_safe, depth_safe_edges, observer_view

__all__ = [
    "Leak",
    "depth_safe",
    "depth_safe_edges",
    "explain_leak",
    "from_padding",
    "hidden",
    "leaks",
    "observer_view",
    "self_visible",
]

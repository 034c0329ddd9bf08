"""Interactive figures: arrays in, plotly figures out.

`theme` holds the colours and the light and dark templates, each other file
one kind of figure. Nothing here reads a file or knows a policy: a notebook
can call these functions with arrays of its own, and `maskrl.reports` puts
them on a page.
"""

from __future__ import annotations

from maskrl.figures.action_bits import action_bits_figure
from maskrl.figures.action_head import action_head_figure
from maskrl.figures.attention_arrows import attention_arrows_figure
from maskrl.figures.attention_map import attention_map_figure
from maskrl.figures.bench_ratios import bench_ratio_figure
from maskrl.figures.learning_curves import ReferenceLine, learning_curve
from maskrl.figures.mask_statistics import disallowed_mass_figure, share_figure
from maskrl.figures.q_values import q_values_figure
from maskrl.figures.team_actions import action_map
from maskrl.figures.theme import DARK, LIGHT, PALETTE, figure_template
from maskrl.figures.visibility_map import visibility_figure

__all__ = [
    "DARK",
    "LIGHT",
    "PALETTE",
    "ReferenceLine",
    "action_bits_figure",
    "action_head_figure",
    "action_map",
    "attention_arrows_figure",
    "attention_map_figure",
    "bench_ratio_figure",
    "disallowed_mass_figure",
    "figure_template",
    "learning_curve",
    "q_values_figure",
    "share_figure",
    "visibility_figure",
]

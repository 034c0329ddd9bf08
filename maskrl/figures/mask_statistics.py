"""What masks did during training: shares of steps, and the mass they took away.

`share_figure` draws how much was allowed, how often only one action was
(a forced move) or none (an idle row). `disallowed_mass_figure` draws the
probability that the network would have put on disallowed actions had nobody
masked it.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.theme import PALETTE, figure_layout, padded_range, step_axis

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def share_figure(
    step: np.ndarray, shares: Mapping[str, np.ndarray], *, height: int = 260
) -> go.Figure:
    """Several shares in [0, 1] over training, told apart by colour and dash.

    Args:
        step: [T] environment steps.
        shares: name -> [T] share; NaN where not measured.
        height: pixels.

    Returns:
        A figure with a percent axis from 0 to 100 and a legend above.
    """
    step = np.asarray(step, dtype=np.float64).reshape(-1)
    figure = go.Figure()
    colours = PALETTE.colours()
    for k, (name, share) in enumerate(shares.items()):
        share = np.asarray(share, dtype=np.float64).reshape(-1)
        if share.shape != step.shape:
            raise ValueError(
                f"share_figure: {name!r} has {share.size} entries, step {step.size}; "
                "pass columns of one table"
            )
        keep = np.isfinite(share)
        figure.add_trace(
            go.Scatter(
                x=step[keep].tolist(),
                y=share[keep].tolist(),
                mode="lines+markers" if keep.sum() == 1 else "lines",
                name=escape(name),
                line={
                    "color": colours[k % len(colours)],
                    "width": 2,
                    "dash": _DASHES[k % len(_DASHES)],
                },
                hovertemplate=f"{escape(name)} <b>%{{y:.1%}}</b><extra></extra>",
            )
        )
    figure.update_layout(
        **figure_layout(
            height=height,
            hovermode="x unified",
            showlegend=True,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
            xaxis={**step_axis(), "rangemode": "tozero"},
            yaxis={"range": [-0.02, 1.02], "tickformat": ".0%", "nticks": 6, "fixedrange": True},
        )
    )
    return figure


def disallowed_mass_figure(step: np.ndarray, mass: np.ndarray, *, height: int = 260) -> go.Figure:
    """The probability mass on disallowed actions without the mask, over training.

    Args:
        step: [T] environment steps.
        mass: [T] mean mass in [0, 1]; NaN where not measured.
        height: pixels.

    Returns:
        An area figure with a percent axis that starts at 0.
    """
    step = np.asarray(step, dtype=np.float64).reshape(-1)
    mass = np.asarray(mass, dtype=np.float64).reshape(-1)
    if step.shape != mass.shape:
        raise ValueError(
            f"disallowed_mass_figure: step has {step.size} entries, mass {mass.size}; "
            "pass two columns of one table"
        )
    keep = np.isfinite(mass)
    _, high = padded_range([0.0, *mass[keep].tolist()], share=0.12)
    figure = go.Figure(
        go.Scatter(
            x=step[keep].tolist(),
            y=mass[keep].tolist(),
            mode="lines+markers" if keep.sum() == 1 else "lines",
            line={"color": PALETTE.disallowed, "width": 2},
            fill="tozeroy",
            fillpattern={
                "shape": "/",
                "size": 7,
                "solidity": 0.2,
                "fgcolor": PALETTE.disallowed,
                "fgopacity": 0.5,
                "bgcolor": "rgba(0,0,0,0)",
            },
            hovertemplate="<b>%{y:.1%}</b> on disallowed actions<extra></extra>",
        )
    )
    figure.update_layout(
        **figure_layout(
            height=height,
            hovermode="x",
            xaxis={**step_axis(), "rangemode": "tozero"},
            yaxis={
                "range": [0, min(1.02, max(high, 0.02))],
                "tickformat": ".0%" if high > 0.05 else ".1%",
                "nticks": 6,
                "fixedrange": True,
            },
        )
    )
    return figure

"""Who attends to whom in the scenes `open` and `trees`, with and without mask.

In `open` everybody sees everybody, so that a mask has nothing to remove and the
two maps are equal; in `trees` three trees hide the scorpion. Captions say what
the mask changed in the numbers of this network.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import attention_map_figure
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.reports import wording
from maskrl.reports.attention_scenes import AttentionView, SceneMaps
from maskrl.reports.section import Section, figure_place, paragraph

_VIEWS = (("sight", "each one's own sight"), ("observer", "the panda's view"))


def attention_section(scenes: Sequence[SceneMaps]) -> Section | None:
    """Attention maps of the fixed scenes.

    Args:
        scenes: maps from live weights.

    Returns:
        The section, or None without scenes.
    """
    if not scenes:
        return None
    figures: dict[str, go.Figure] = {}
    parts = [
        paragraph(
            "Two fixed scenes, read by the trained network. Rows look, columns are looked at; "
            "more ink is more attention, and a cross marks what the mask forbids, where the "
            "weight is exactly 0. Hover or tap a cell to read it.",
            kind="intro",
        ),
        paragraph(
            "The mask is either each one's own sight, or the panda's view: only what the panda "
            "sees, which is what its policy acts on. Under their own sight, entities are cut off "
            "from the second layer on from everybody who sees what they do not, so that nothing "
            "leaks through a third.",
            kind="intro",
        ),
        _choices(scenes[0].unmasked.weights.shape),
    ]
    for scene in scenes:
        without, under = f"map-{scene.scene}-without", f"map-{scene.scene}-with"
        figures[without] = _map(scene, {"none": scene.unmasked})
        figures[under] = _map(scene, {"sight": scene.sight, "observer": scene.observer})
        uri = png_data_uri(with_few_colours(scene.picture))
        parts.append(
            '<div class="scene card"><div class="scene-head">'
            f'<img src="{uri}" alt="The scene {escape(scene.scene)}">'
            f"<div><h3>Scene {escape(scene.scene)}</h3>{paragraph(_caption(scene))}</div></div>"
            f'<div class="maps">{_place(without, figures[without], "Without mask")}'
            f"{_place(under, figures[under], 'With mask')}</div></div>"
        )
    html = "".join(parts)
    return Section("attention", "Who attends to whom", html, figures, {"maps": list(figures)})


def _map(scene: SceneMaps, views: dict[str, AttentionView]) -> go.Figure:
    """One figure whose traces are the choices of mask, layer and head."""
    size = len(scene.names)
    joined: go.Figure | None = None
    for name, view in views.items():
        figure = attention_map_figure(
            view.weights, scene.names, permitted=view.permitted, height=130 + 36 * size
        )
        for trace in figure.data:
            trace.meta = {**trace.meta, "mask": name}
            trace.visible = bool(trace.visible) and joined is None
        if joined is None:
            joined = figure
        else:
            joined.add_traces(figure.data)
    if joined is None:
        raise ValueError("_map: views is empty, expected at least one")
    return joined


def _place(identity: str, figure: go.Figure, title: str) -> str:
    """A map inside its scene's card, without a frame of its own."""
    return figure_place(identity, figure, title=title).replace('class="plot"', 'class="map"', 1)


def _choices(shape: tuple[int, ...]) -> str:
    """Buttons for mask, layer and head."""
    layers, heads = shape[:2]
    rows = (
        _choice("mask", "Mask", _VIEWS, "sight"),
        _choice("layer", "Layer", [(str(k), str(k + 1)) for k in range(layers)], "0"),
        _choice(
            "head", "Head", [("-1", "mean"), *((str(k), str(k + 1)) for k in range(heads))], "-1"
        ),
    )
    return f'<div class="choices" data-choices="map">{"".join(rows)}</div>'


def _choice(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    """One row of buttons of which one is pressed."""
    buttons = "".join(
        f'<button type="button" data-name="{name}" data-value="{escape(value)}" '
        f'aria-pressed="{str(value == chosen).lower()}">{escape(text)}</button>'
        for value, text in options
    )
    return (
        f'<div class="choice" role="group" aria-label="{escape(label)}">'
        f'<span class="label">{escape(label)}</span>{buttons}</div>'
    )


def _caption(scene: SceneMaps) -> str:
    """What the mask changes in this scene, in numbers of this network."""
    hidden = [
        name
        for name, seen in zip(scene.names, scene.sight.permitted[0, 0], strict=True)
        if not seen
    ]
    if scene.sight.permitted.all():
        change = float(np.abs(scene.unmasked.weights - scene.sight.weights).max())
        equal = "exactly equal" if change == 0 else f"equal within {change:.0e}"
        return f"Everybody sees everybody: the mask removes nothing, and the maps are {equal}."
    if not hidden:
        return "The panda sees everybody here, although not everybody sees everybody."
    columns = [scene.names.index(name) for name in hidden]
    mass = scene.unmasked.weights[0].mean(axis=0)[0, columns].sum()
    names = wording.listing([f"the {name}" for name in hidden])
    verb = "is" if len(hidden) == 1 else "are"
    return (
        f"Trees stand in the way: {names} {verb} hidden from the panda. Without the mask "
        f"{wording.percent(float(mass))} of the panda's attention in the first layer (mean of "
        "heads) would go there; with it, exactly none does."
    )

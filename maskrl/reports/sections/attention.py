"""Who attends to whom, as heat maps and as arrows in the picture, with and without mask.

The panda's runs show the founding article's two scenes: in `open` everybody sees
everybody, so that a mask has nothing to remove and the two maps are equal; in
`trees` three trees hide the scorpion. Elsewhere, and where a panda never met their
creatures, moments of the episodes are shown.
Python prepares numbers and frames; `templates/attention.js` draws the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import attention_map_figure, visibility_figure
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.reports import wording
from maskrl.reports.attention_scenes import AttentionView, SceneMaps
from maskrl.reports.section import Section, paragraph

DIGITS = 4
"""Of the weights on the page; what is less is rounded up to the last of them, never to 0."""
MOST_NAMED = 4
"""Hidden entities that a caption names; more are counted."""


def attention_section(scenes: Sequence[SceneMaps]) -> Section | None:
    """Attention maps of scenes.

    Args:
        scenes: maps from live weights.

    Returns:
        The section, or None without scenes.
    """
    if not scenes:
        return None
    figures: dict[str, go.Figure] = {}
    parts = [paragraph(text, kind="intro") for text in _intro(scenes)]
    parts.append(_choices(scenes))
    for scene in scenes:
        of_scene = _figures(scene)
        figures |= of_scene
        parts.append(_card(scene, of_scene))
    data = {"attention": [scene_data(scene) for scene in scenes]}
    return Section("attention", "Who attends to whom", "".join(parts), figures, data)


def scene_data(scene: SceneMaps) -> dict[str, Any]:
    """A scene as the script reads it.

    Returns:
        JSON-able: `id`, `names`, `places` in the drawing, whose width is 1 and height `ratio`,
        `pictured`, and for each mask of `views` the `weights` [L][K][E][E] and, as rows of 0 and
        1, what is `open` [L][E].
    """
    places, ratio = layout(scene)
    views = {"none": scene.unmasked, "sight": scene.sight, "observer": scene.observer}
    return {
        "id": scene.scene,
        "names": list(scene.names),
        "places": np.round(places, DIGITS).tolist(),
        "ratio": round(ratio, DIGITS),
        "pictured": scene.picture is not None and scene.places is not None,
        "views": {
            name: {"weights": rounded_up(view.weights), "open": _rows(view.permitted)}
            for name, view in views.items()
            if view is not None
        },
    }


def rounded_up(weights: np.ndarray) -> list[Any]:
    """Weights with few digits, of which none becomes 0 that is not."""
    short = np.round(weights, DIGITS)
    few: list[Any] = np.where((weights > 0) & (short == 0), 10.0**-DIGITS, short).tolist()
    return few


def layout(scene: SceneMaps) -> tuple[np.ndarray, float]:
    """Where the entities are drawn, and the drawing's height in its widths.

    On the picture where they stand; without a picture where they stand relative to each other;
    and on a circle, the observer at the top, where nobody tells.

    Returns:
        float64 [E, 2], and the height.
    """
    if scene.places is not None and scene.picture is not None:
        return scene.places, scene.picture.shape[0] / scene.picture.shape[1]
    if scene.places is not None:
        low, high = scene.places.min(axis=0), scene.places.max(axis=0)
        scale = 0.72 / max(float((high - low).max()), 1e-9)
        size = (high - low) * scale
        at = (scene.places - low) * scale + [0.5 - size[0] / 2, 0.19]
        return at, float(size[1]) + 0.38
    angles = 2 * np.pi * np.arange(len(scene.names)) / len(scene.names) - np.pi / 2
    return np.stack([0.5 + 0.36 * np.cos(angles), 0.53 + 0.36 * np.sin(angles)], axis=1), 1.06


def _rows(permitted: np.ndarray) -> list[list[str]]:
    """Permission bool [L, E, E] as rows of 0 and 1."""
    return [["".join("01"[int(ok)] for ok in row) for row in layer] for layer in permitted]


def _figures(scene: SceneMaps) -> dict[str, go.Figure]:
    """The matrix of visibility, and a heat map without and one with mask, as it begins."""
    figures = {f"map-{scene.scene}-without": _map(scene, scene.unmasked)}
    if scene.sight is not None:
        sees = visibility_figure(scene.sight.permitted[0], scene.names)
        figures = {f"sees-{scene.scene}": sees} | figures
        figures[f"map-{scene.scene}-with"] = _map(scene, scene.sight)
    return figures


def _map(scene: SceneMaps, view: AttentionView) -> go.Figure:
    """The mean over heads of the first layer; the script changes it to what is chosen."""
    mean = view.weights[:1].mean(axis=1, keepdims=True)
    figure = attention_map_figure(mean, scene.names, permitted=view.permitted[:1])
    return go.Figure(data=figure.data[:1], layout=figure.layout)


def _card(scene: SceneMaps, figures: dict[str, go.Figure]) -> str:
    """A scene's card: the picture and who sees whom, then arrows and map for each mask."""
    identity = escape(scene.scene)
    picture = "Who sees whom"
    columns = []
    uri = ""
    if scene.picture is not None:
        uri = png_data_uri(with_few_colours(scene.picture))
    if scene.sight is not None:
        shown = (
            f'<div class="stage"><img src="{uri}" alt="{escape(scene.title)}"></div>'
            if uri
            else f'<div class="stage arrows" data-scene="{identity}" data-view="sees">'
            '<svg role="img"></svg></div>'
        )
        columns += [_cell(picture, shown), _cell("", _canvas(f"sees-{scene.scene}", figures))]
    masks = [("without", "none", "Attention without mask")]
    if scene.sight is not None:
        masks.append(("with", "chosen", "Attention with mask"))
    for name, view, title in masks:
        stage = (
            f'<div class="stage arrows" data-scene="{identity}" data-view="{view}">'
            f'{_beneath(scene, uri, bool(columns))}<svg role="img"></svg></div>'
            '<p class="readout" data-part="readout"></p>'
        )
        columns += [_cell(title, stage), _cell("", _canvas(f"map-{scene.scene}-{name}", figures))]
    return (
        f'<div class="scene card"><h3>{escape(scene.title)}</h3>'
        f"{paragraph(_caption(scene), kind='caption')}"
        f'<div class="maps">{"".join(columns)}</div></div>'
    )


def _beneath(scene: SceneMaps, uri: str, again: bool) -> str:
    """The picture below arrows; the script copies it where it is on the page already."""
    if not uri or scene.places is None:
        return ""
    if again:
        return f'<img data-copy="{escape(scene.scene)}" alt="">'
    return f'<img src="{uri}" alt="{escape(scene.title)}">'


def _cell(title: str, html: str) -> str:
    heading = f"<h4>{escape(title)}</h4>" if title else ""
    return f'<div class="cell">{heading}{html}</div>'


def _canvas(identity: str, figures: dict[str, go.Figure]) -> str:
    """The place of a figure."""
    height = int(figures[identity].layout.height)
    return f'<div class="canvas" id="{escape(identity)}" style="height:{height}px"></div>'


def _choices(scenes: Sequence[SceneMaps]) -> str:
    """Buttons for mask, layer and head, and a list of whose arrows are drawn."""
    layers, heads = scenes[0].unmasked.weights.shape[:2]
    rows = []
    observer = scenes[0].names[0]
    if scenes[0].sight is not None:
        masks = [("sight", "each one's own sight"), ("observer", f"the {observer}'s view")]
        rows.append(_choice("mask", "Mask", masks, "sight"))
    rows += [
        _choice("layer", "Layer", [(str(k), str(k + 1)) for k in range(layers)], "0"),
        _choice(
            "head", "Head", [("-1", "mean"), *((str(k), str(k + 1)) for k in range(heads))], "-1"
        ),
    ]
    names = dict.fromkeys(name for scene in scenes for name in scene.names)
    options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in names)
    rows.append(
        '<label class="choice"><span class="label">Arrows of</span>'
        f'<select data-name="from">{options}<option value="">everybody</option></select></label>'
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


def _intro(scenes: Sequence[SceneMaps]) -> list[str]:
    """How to read the pictures."""
    observer = scenes[0].names[0]
    fixed = not scenes[0].scene.startswith("moment")
    where = "The founding article's scenes" if fixed else "Moments of the episodes"
    texts = [
        f"{where}, read by the trained network. In the maps rows look and columns are looked at; "
        "more ink is more attention, and an empty cell, crossed where there is room, marks what "
        "is forbidden: its weight is exactly 0. Arrows tell the same: from who looks to who is "
        "looked at, the wider the more; a ring is attention to oneself, and what is forbidden "
        "has no arrow. Hover or tap to read a number; tap an entity to see its arrows."
    ]
    if scenes[0].sight is not None:
        texts.append(
            f"The mask is either each one's own sight, or the {observer}'s view: only what the "
            f"{observer} sees, which is what its policy acts on."
        )
        if any((s.sight.permitted != s.sight.permitted[:1]).any() for s in scenes if s.sight):
            texts[-1] += (
                " Under their own sight, entities are cut off from the second layer on from "
                "everybody who sees what they do not, so that nothing leaks through a third."
            )
    return texts


def _caption(scene: SceneMaps) -> str:
    """What the mask changes in this scene, in numbers of this network."""
    if scene.sight is None:
        return "Nobody is hidden here: the environment tells no visibility."
    observer = scene.names[0]
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
        return f"The {observer} sees everybody here, although not everybody sees everybody."
    columns = [scene.names.index(name) for name in hidden]
    mass = scene.unmasked.weights[0].mean(axis=0)[0, columns].sum()
    names = wording.listing([f"the {name}" for name in hidden])
    if len(hidden) > MOST_NAMED:
        names = f"{len(hidden)} of {len(scene.names)} entities"
    verb = "is" if len(hidden) == 1 else "are"
    return (
        f"{names[0].upper()}{names[1:]} {verb} hidden from the {observer}. Without the mask "
        f"{wording.percent(float(mass))} of the {observer}'s attention in the first layer (mean "
        "of heads) would go there; with it, exactly none does."
    )

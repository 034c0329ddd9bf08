"""Who attends to whom, drawn where they stand: an arrow from who looks to who is looked at.

The wider and the darker an arrow, the more attention; what an entity gives itself is a
ring around it. A pair that is not permitted has no arrow, however the numbers fall, and
neither has a weight of exactly 0. The world's own picture can lie beneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.arrow_shapes import arrow_outline, ring_outline, spread, unit_length
from maskrl.figures.attention_map import percent
from maskrl.figures.layer_choice import choice_menu, layer_choices
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.figures.theme import figure_layout
from maskrl.masks.arrays import check_mask_array

ARROW, CASING = "#163f8f", "#ffffff"
"""Dark on the worlds' bright pictures; the casing keeps arrows apart where they cross."""
SHADES = (0.1, 0.25, 0.5, 1.0)
"""Weights up to which an arrow has the first, second, ... opacity."""
OPACITIES = (0.5, 0.65, 0.8, 0.95)
CROWDED = 0.1
"""Of everybody's arrows, those of less attention than this are left out, for one cannot follow
them; of one observer's none is."""
MENU_HEIGHT = 48


def attention_arrows_figure(
    weights: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str],
    places: np.ndarray,
    *,
    permitted: np.ndarray | None = None,
    observer: int | None = 0,
    picture: np.ndarray | None = None,
    at_least: float | None = None,
    layer_names: Sequence[str] | None = None,
    menu: bool = False,
    height: int = 480,
) -> go.Figure:
    """Arrows of attention, for every choice of layer and head.

    Args:
        weights: [L, K, E, E] attention weights of L layers and K heads, or L arrays [K, E, E];
            NaN in rows that a layer does not compute.
        names: E names.
        places: [E, 2] where the entities stand, x to the right and y downwards. On a picture in
            widths of the picture from its top left corner, as an environment's `entity_places`
            has them; otherwise in any unit.
        permitted: bool [E, E], or [L, E, E] where layers differ; True = may attend. None
            permits everything.
        observer: whose arrows; None: everybody's.
        picture: uint8 [h, w, 3], drawn beneath.
        at_least: arrows of less attention are left out, and the figure says so; None: 0 for one
            observer, 0.1 for everybody.
        layer_names: L names; "layer 1", "layer 2", ... if None.
        menu: whether a menu below the figure chooses the layer and head.
        height: pixels.

    Returns:
        A figure with one group of traces per choice, of which the first is visible: an outline
        of arrows per shade, and invisible points to hover over, whose `customdata` is
        [from, to, weight] for every arrow. `meta` is {"layer": l, "head": k}, head -1 for the
        mean. The last trace has the entities themselves.

    Raises:
        MaskDtypeError: if `permitted` is not boolean.
        MaskShapeError: if it does not fit the names.
        ValueError: if weights, places, picture or observer do not.
    """
    count = len(names)
    layers = _checked_layers(weights, count)
    if permitted is None:
        permitted = np.ones((count, count), np.bool_)
    if permitted.ndim == 2:
        permitted = np.broadcast_to(permitted, (len(layers), *permitted.shape))
    allowed = check_mask_array(
        permitted, (len(layers), count, count), name="permitted", operation=_NAME
    )
    given = _checked_places(places, count)
    if observer is not None and not 0 <= observer < count:
        raise ValueError(f"{_NAME}: observer is {observer}, expected 0 to {count - 1}, or None")
    if at_least is None:
        at_least = CROWDED if observer is None else 0.0
    left, top, right, bottom = _extent(given, picture)
    unit = unit_length(given, right - left)
    where = spread(given, unit)
    looking = range(count) if observer is None else (observer,)
    labels = [escape(str(name)) for name in names]
    choices = layer_choices([len(layer) for layer in layers], layer_names)
    figure = go.Figure()
    for choice in choices:
        z = choice.of(layers[choice.layer])
        drawn = [
            (i, j, float(z[i, j]))
            for i in looking
            for j in range(count)
            if allowed[choice.layer, i, j] and z[i, j] > 0 and z[i, j] >= at_least
        ]
        drawn.sort(key=lambda arrow: arrow[2])
        for trace in (*_outlines(drawn, where, unit), _points(drawn, where, unit, labels)):
            trace.update(
                visible=choice is choices[0],
                name=choice.label,
                meta={"layer": choice.layer, "head": choice.head},
            )
            figure.add_trace(trace)
    unseen = np.zeros(count, np.bool_) if observer is None else ~allowed[0, observer]
    figure.add_trace(_entities(where, labels, unseen, bare=picture is not None))
    axis = {"visible": False, "fixedrange": True}
    figure.update_layout(
        **figure_layout(
            height=height + (MENU_HEIGHT if menu else 0),
            xaxis={**axis, "range": [left, right], "constrain": "domain"},
            yaxis={
                **axis,
                "range": [bottom, top],
                "scaleanchor": "x",
                "constrain": "domain",
                "constraintoward": "top",
            },
            margin={"l": 4, "r": 4, "t": 4, "b": 4 + (MENU_HEIGHT if menu else 0)},
        )
    )
    if picture is not None:
        figure.add_layout_image(
            source=png_data_uri(with_few_colours(picture)),
            xref="x",
            yref="y",
            x=left,
            y=top,
            sizex=right - left,
            sizey=bottom - top,
            sizing="stretch",
            layer="below",
        )
    if at_least > 0:
        figure.add_annotation(
            text=f"arrows of {at_least:.3g} and more",
            x=1,
            y=0,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="top",
            yshift=-4,
            showarrow=False,
        )
        figure.update_layout(height=figure.layout.height + 20)
        figure.layout.margin.b += 20
    if menu:
        of_choice = [t.meta for t in figure.data[:-1]]
        shown = [
            [meta == {"layer": c.layer, "head": c.head} for meta in of_choice] + [True]
            for c in choices
        ]
        figure.update_layout(updatemenus=[choice_menu(choices, shown)])
    return figure


_NAME = "attention_arrows_figure"


def _checked_layers(weights: np.ndarray | Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The weights as float64 [K, E, E], layer by layer."""
    layers = [np.asarray(layer, dtype=np.float64) for layer in weights]
    if layers and all(w.ndim == 3 and len(w) and w.shape[1:] == (count, count) for w in layers):
        return layers
    shapes = ", ".join(str(list(layer.shape)) for layer in layers) or "no layer"
    raise ValueError(
        f"{_NAME}: weights have shape {shapes} by layer, expected [heads, {count}, {count}] for "
        f"the {count} names given"
    )


def _checked_places(places: np.ndarray, count: int) -> np.ndarray:
    """The places as float64 [E, 2]."""
    given = np.asarray(places, dtype=np.float64)
    if given.shape != (count, 2):
        raise ValueError(
            f"{_NAME}: places have shape {list(given.shape)}, expected [{count}, 2], x and y of "
            "each name"
        )
    if not np.isfinite(given).all():
        first = int(np.flatnonzero(~np.isfinite(given).all(axis=1))[0])
        raise ValueError(
            f"{_NAME}: the place of entity {first} is {given[first].tolist()}, expected finite x "
            "and y; leave out entities that are not there"
        )
    return given


def _extent(places: np.ndarray, picture: np.ndarray | None) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the drawing: the picture, or all entities with a margin."""
    if picture is not None:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"{_NAME}: picture is {picture.dtype} {list(picture.shape)}, expected uint8 "
                "[height, width, 3]"
            )
        bottom = picture.shape[0] / picture.shape[1]
        outside = (places < 0).any(axis=1) | (places[:, 0] > 1) | (places[:, 1] > bottom)
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"{_NAME}: entity {first} is at {places[first].tolist()}, outside the picture; "
                "expected widths of the picture from its top left corner, as an environment's "
                f"entity_places has them: x from 0 to 1, y from 0 to {bottom:.4g}"
            )
        return 0.0, 0.0, 1.0, bottom
    low, high = places.min(axis=0), places.max(axis=0)
    size = max(float((high - low).max()), 1e-6)
    room = 0.16 * size
    middle = (low + high) / 2
    half_width = max(size / 2, float(high[0] - low[0]) / 2) + room
    half_height = max(float(high[1] - low[1]) / 2, 0.25 * size) + room
    return (
        float(middle[0] - half_width),
        float(middle[1] - half_height),
        float(middle[0] + half_width),
        float(middle[1] + half_height),
    )


def _shade(weight: float) -> int:
    return next(k for k, limit in enumerate(SHADES) if weight <= limit or k == len(SHADES) - 1)


def _outlines(
    drawn: Sequence[tuple[int, int, float]], places: np.ndarray, unit: float
) -> list[go.Scatter]:
    """The arrows and rings of one choice, one trace per shade, the faint ones first."""
    parts: list[list[np.ndarray]] = [[] for _ in SHADES]
    gap = np.full((1, 2), np.nan)
    for i, j, weight in drawn:
        outline = (
            ring_outline(places[i], weight, unit)
            if i == j
            else arrow_outline(places[i], places[j], weight, unit)
        )
        parts[_shade(weight)] += [outline, gap]
    traces = []
    for part, opacity in zip(parts, OPACITIES, strict=True):
        points = np.concatenate(part[:-1]) if part else np.zeros((0, 2))
        x, y = ([None if v != v else round(v, 5) for v in line] for line in points.T.tolist())
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                fill="toself",
                fillcolor=ARROW,
                line={"color": CASING, "width": 1},
                opacity=opacity,
                hoverinfo="skip",
            )
        )
    return traces


def _points(
    drawn: Sequence[tuple[int, int, float]], places: np.ndarray, unit: float, names: Sequence[str]
) -> go.Scatter:
    """Invisible points along the arrows of one choice, to hover over or to tap."""
    at, words, data = [], [], []
    for i, j, weight in drawn:
        if i == j:
            spots = [places[i] + [0.43 * unit, 0.0], places[i] - [0.43 * unit, 0.0]]
        else:
            outline = arrow_outline(places[i], places[j], weight, unit)
            shaft = (len(outline) - 4) // 2
            spots = [(outline[k] + outline[-2 - k]) / 2 for k in (shaft // 2, shaft - 1)]
        for spot in spots:
            at.append(spot)
            words.append(
                f"<b>{names[i]} → {'itself' if i == j else names[j]}</b><br>"
                f"{percent(weight)} of its attention"
            )
            data.append([i, j, weight])
    points = np.array(at).reshape(-1, 2)
    return go.Scatter(
        x=points[:, 0].tolist(),
        y=points[:, 1].tolist(),
        mode="markers",
        marker={"size": 18, "opacity": 0, "color": ARROW},
        hovertext=words,
        hoverinfo="text",
        customdata=data,
    )


def _entities(
    places: np.ndarray, names: Sequence[str], unseen: np.ndarray, *, bare: bool
) -> go.Scatter:
    """The entities: a picture shows them, so that there they only answer to hovering."""
    words = [
        f"<b>{name}</b>" + ("<br>hidden: gets exactly 0" if hidden else "")
        for name, hidden in zip(names, unseen, strict=True)
    ]
    return go.Scatter(
        x=places[:, 0].tolist(),
        y=places[:, 1].tolist(),
        mode="markers" if bare else "markers+text",
        marker={
            "size": 16,
            "opacity": 0 if bare else 1,
            "symbol": ["x-thin-open" if hidden else "circle" for hidden in unseen],
            "color": "#7a8491",
            "line": {"width": 2, "color": "#7a8491"},
        },
        text=list(names),
        textposition="bottom center",
        hovertext=words,
        hoverinfo="text",
        meta={"entities": True},
    )

"""The action map: for every agent the probabilities of its actions, drawn where it stands.

Only agents that act are drawn, because the others decide nothing; those who wait are dashed
rings. Hovering over an agent tells all probabilities, and what its mask disallows. The
world's own picture can lie beneath.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from maskrl.figures.action_glyphs import Points, arrange
from maskrl.figures.agent_glyph import (
    BARRED,
    STRONG,
    Shape,
    action_colours,
    agent_shapes,
    between,
)
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.figures.theme import PALETTE, figure_layout
from maskrl.masks.arrays import check_mask_array

ON_PICTURE = ("#123c96", "#b266cf")
"""Sure and undecided over a picture, where outlines are cased in white."""
ON_PAGE = (PALETTE.allowed, PALETTE.second)
LISTED = 8
"""Choices of a head that hovering lists."""
MOST_NAMED = 8
"""Actions that a legend names."""
BENEATH = 0.6
"""How opaque a picture is under the map."""
SMALLEST, LARGEST = 0.05, 0.12
"""Of an agent in widths of the drawing, where no grid says how large a cell is."""
_NAME = "action_map"

Names = Sequence[str] | Mapping[str, Sequence[str]]


def action_map(
    probs: npt.ArrayLike,
    places: npt.ArrayLike,
    action_names: Names,
    *,
    grid_shape: tuple[int, int] | None = None,
    action_mask: np.ndarray | None = None,
    actions: npt.ArrayLike | None = None,
    relevant: np.ndarray | None = None,
    agent_names: Sequence[str] | None = None,
    undecided: npt.ArrayLike | None = None,
    waiting: npt.ArrayLike | None = None,
    picture: np.ndarray | None = None,
    colour: Literal["entropy", "action"] = "entropy",
    show_masks: bool = True,
    height: int = 480,
) -> go.Figure:
    """What every agent that acts may do and how likely it is, as a map.

    Args:
        probs: [M, A] probabilities under the masks; of several heads one after the other.
        places: Where the M agents stand: int [M], cells row * W + column of `grid_shape`; or
            float [M, 2], x and y in widths of the picture from its top left corner.
        action_names: A names; or head -> names of its choices.
        grid_shape: (H, W), the grid. Its cells lie side by side over the whole width of the
            picture, from its top.
        action_mask: bool [M, A], True = allowed; None allows everything.
        actions: [M] or [M, K], what was done: drawn strongly, the rest faintly.
        relevant: bool [M, K], which heads count in what was done; None: all do.
        agent_names: M names; their numbers if None.
        undecided: [M] in [0, 1], entropy by the log of the number of allowed actions; from the
            probabilities of the first head if None.
        waiting: Places of agents that are there and do not act, as `places`.
        picture: uint8 [h, w, 3], drawn beneath.
        colour: "entropy": the surer an agent, the stronger its colour; "action": a colour per
            action. The parts of a ring have a colour per action always.
        show_masks: Whether bars lie across directions that are disallowed.
        height: pixels.

    Returns:
        A figure. The last trace has a point per agent to hover over, whose `customdata` are the
        agents' numbers.

    Raises:
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask does not fit the probabilities.
        ValueError: Places, names, actions or the picture do not, or neither `grid_shape` nor
            [M, 2] places say where agents stand.

    Empty rows:
        With no agent the grid or picture is drawn alone. An agent that may do nothing, whose
        probabilities are all 0, is a point to hover over.
    """
    heads = _heads(action_names)
    shares = np.asarray(probs, dtype=np.float64)
    count, size = (len(shares), sum(len(choices) for _, choices in heads))
    if shares.shape != (count, size):
        raise ValueError(
            f"{_NAME}: probs have shape {list(shares.shape)}, expected [agents, {size}] for the "
            f"{size} action names"
        )
    allowed = np.ones(shares.shape, np.bool_)
    if action_mask is not None:
        allowed = check_mask_array(action_mask, shares.shape, name="action_mask", operation=_NAME)
    done = None if actions is None else np.asarray(actions, np.int64).reshape(count, -1)
    if done is not None and done.shape != (count, len(heads)):
        raise ValueError(
            f"{_NAME}: actions have shape {list(done.shape)}, expected a choice for each of "
            f"{len(heads)} heads of {count} agents"
        )
    counts = np.ones((count, len(heads)), np.bool_)
    if relevant is not None:
        counts = check_mask_array(relevant, counts.shape, name="relevant", operation=_NAME)
    at, cell = _spots("places", places, count, grid_shape)
    resting, _ = _spots("waiting", [] if waiting is None else waiting, None, grid_shape)
    names = [f"agent {k + 1}" for k in range(count)] if agent_names is None else agent_names
    if len(names) != count:
        raise ValueError(f"{_NAME}: {len(names)} agent names for {count} agents")
    first = len(heads[0][1])
    unsure = (
        _undecided(shares[:, :first], allowed[:, :first])
        if undecided is None
        else np.asarray(undecided, np.float64).reshape(count)
    )
    ends = ON_PICTURE if picture is not None else ON_PAGE
    shapes: list[Shape] = []
    for k in range(count):
        tint = between(*ends, unsure[k])
        chosen = None if done is None else done[k]
        parts = agent_shapes(
            heads, shares[k], allowed[k], chosen, counts[k], tint, colour, show_masks
        )
        shapes += [Shape(at[k] + cell * s.outline, s.colour, s.opacity) for s in parts]
    figure = go.Figure(list(_filled(shapes, cased=picture is not None)))
    figure.add_traces(list(_legend(heads, ends, colour, bars=show_masks and not allowed.all())))
    figure.add_trace(_waiting(resting, cell))
    figure.add_trace(_hover(at, names, heads, shares, allowed, done, counts, unsure))
    _frame(figure, at, resting, cell, grid_shape, picture, height)
    return figure


def _heads(action_names: Names) -> list[tuple[str, tuple[str, ...]]]:
    """Names of the heads and of their choices."""
    if isinstance(action_names, Mapping):
        return [(str(head), tuple(map(str, of))) for head, of in action_names.items()]
    return [("", tuple(str(name) for name in action_names))]


def _spots(
    name: str, places: npt.ArrayLike, count: int | None, grid_shape: tuple[int, int] | None
) -> tuple[Points, float]:
    """Places as x and y in widths of the drawing, and the width of a cell."""
    given = np.asarray(places)
    count = len(given) if count is None else count
    if given.ndim == 1 and (given.dtype.kind in "iu" or not given.size):
        if grid_shape is None:
            if given.size:
                raise ValueError(
                    f"{_NAME}: {name} are cells, and no grid_shape says of which grid; expected "
                    "grid_shape=(H, W), or x and y of each agent [M, 2]"
                )
            return np.zeros((0, 2)), 1.0
        high, wide = grid_shape
        if given.shape != (count,) or (given < 0).any() or (given >= high * wide).any():
            raise ValueError(
                f"{_NAME}: {name} are {given.tolist()}, expected {count} cells from 0 to "
                f"{high * wide - 1}"
            )
        row, column = np.divmod(given.astype(np.int64), wide)
        return np.stack([column + 0.5, row + 0.5], axis=1) / wide, 1 / wide
    if given.shape != (count, 2) or not np.isfinite(given).all():
        raise ValueError(
            f"{_NAME}: {name} have shape {list(given.shape)}, expected {count} cells, or finite x "
            f"and y [{count}, 2]"
        )
    spots = given.astype(np.float64)
    if grid_shape is not None:
        return spots, 1 / grid_shape[1]
    if len(spots) < 2:
        return spots, LARGEST
    apart = np.abs(spots[:, None] - spots[None]).max(axis=-1) + 9.0 * np.eye(len(spots))
    return spots, float(np.clip(np.median(apart.min(axis=1)), SMALLEST, LARGEST))


def _undecided(shares: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Entropy of rows by the log of the number of allowed actions, in [0, 1]."""
    entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).sum(1)
    most = np.log(np.maximum(allowed.sum(axis=1), 1))
    return np.where(most > 0, np.minimum(entropy / np.where(most > 0, most, 1.0), 1.0), 0.0)


def _filled(shapes: Sequence[Shape], *, cased: bool) -> Iterator[go.Scatter]:
    """Shapes of one colour and strength as one trace, the faint ones first."""
    kinds = sorted({(s.opacity, s.colour) for s in shapes})
    gap = np.full((1, 2), np.nan)
    for opacity, colour in kinds:
        same = [s.outline for s in shapes if (s.opacity, s.colour) == (opacity, colour)]
        same = [outline for outline in same if len(outline)]
        if not same:
            continue
        points = np.concatenate([part for outline in same for part in (outline, gap)][:-1])
        x, y = ([None if v != v else round(v, 5) for v in line] for line in points.T.tolist())
        yield go.Scatter(
            x=x,
            y=y,
            mode="lines",
            fill="toself",
            showlegend=False,
            fillcolor=colour,
            line={"color": "#ffffff" if cased else colour, "width": 1 if cased else 0.5},
            opacity=opacity,
            hoverinfo="skip",
            meta={"shapes": len(same)},
        )


def _legend(
    heads: list[tuple[str, tuple[str, ...]]],
    ends: tuple[str, str],
    colour: str,
    *,
    bars: bool,
) -> Iterator[go.Scatter]:
    """What the colours mean, as entries of the legend that draw nothing."""
    choices = heads[0][1]
    spots = arrange(choices)
    entries: list[tuple[str, str, str]] = []
    if spots[0].kind == "part" or colour == "action":
        shades = action_colours(choices, spots)
        entries = [
            (name.replace("_", " "), shade, "square")
            for name, shade in zip(choices[:MOST_NAMED], shades, strict=False)
        ]
        if len(choices) > MOST_NAMED:
            entries.append((f"{len(choices) - MOST_NAMED} more", PALETTE.neutral, "square-open"))
    else:
        entries = [("sure", ends[0], "square"), ("undecided", ends[1], "square")]
    if bars and any(spot.kind == "move" for _, of in heads for spot in arrange(of)):
        entries.append(("disallowed", PALETTE.disallowed, "line-ew"))
    for name, shade, symbol in entries:
        line = {"width": 3 if symbol == "line-ew" else 1, "color": shade}
        yield go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=escape(name),
            marker={"symbol": symbol, "size": 11, "color": shade, "line": line},
            opacity=BARRED if symbol == "line-ew" else STRONG,
            showlegend=True,
            hoverinfo="skip",
            meta={"legend": True},
        )


def _waiting(at: Points, cell: float) -> go.Scatter:
    """Dashed rings around agents that are there and do not act."""
    angles = np.linspace(0, 2 * np.pi, 49)
    gaps = np.arange(49) % 6 >= 4
    circle = 0.4 * cell * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle[gaps] = np.nan
    rings = [part for spot in at for part in (spot + circle, np.full((1, 2), np.nan))]
    points = np.concatenate(rings) if rings else np.zeros((0, 2))
    x, y = ([None if v != v else round(v, 5) for v in line] for line in points.T.tolist())
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": PALETTE.neutral, "width": 2},
        showlegend=False,
        hoverinfo="skip",
        meta={"waiting": len(at)},
    )


def _hover(
    at: Points,
    names: Sequence[str],
    heads: list[tuple[str, tuple[str, ...]]],
    shares: np.ndarray,
    allowed: np.ndarray,
    done: np.ndarray | None,
    counts: np.ndarray,
    unsure: np.ndarray,
) -> go.Scatter:
    """A point per agent that tells its probabilities, what is masked, and how sure it is."""
    words = []
    for k, name in enumerate(names):
        lines = [f"<b>{escape(str(name))}</b>"]
        start = 0
        for number, (head, choices) in enumerate(heads):
            part = slice(start, start + len(choices))
            start += len(choices)
            if not counts[k, number]:
                continue
            taken = None if done is None else int(done[k, number])
            lines += head_lines(head, choices, shares[k, part], allowed[k, part], taken)
        if np.isfinite(unsure[k]):
            lines.append(f"undecided: {unsure[k]:.0%} of what its mask leaves open")
        words.append("<br>".join(lines))
    return go.Scatter(
        x=at[:, 0].tolist(),
        y=at[:, 1].tolist(),
        mode="markers",
        marker={"size": 22, "opacity": 0, "color": PALETTE.neutral},
        hovertext=words,
        hoverinfo="text",
        showlegend=False,
        customdata=list(range(len(at))),
        meta={"agents": True},
    )


def head_lines(
    head: str,
    choices: Sequence[str],
    probs: np.ndarray,
    allowed: np.ndarray,
    taken: int | None,
) -> list[str]:
    """One head of a decision in words, for hovering: likeliest first, then what is masked.

    Args:
        head: Its name, empty for the only one.
        choices: n names.
        probs: [n].
        allowed: bool [n].
        taken: What was chosen, or None.
    """
    order = [int(k) for k in np.argsort(-probs, kind="stable") if allowed[k]]
    shown = order[:LISTED]
    lines = [f"<i>{escape(head.replace('_', ' '))}</i>"] if head else []
    for k in shown:
        mark = "▸ " if k == taken else ""
        lines.append(f"{mark}{escape(choices[k].replace('_', ' '))} {probs[k]:.1%}")
    if len(order) > len(shown):
        lines.append(f"{len(order) - len(shown)} more")
    closed = [escape(choices[k].replace("_", " ")) for k in np.flatnonzero(~allowed).tolist()]
    if closed:
        told = ", ".join(closed) if len(closed) <= LISTED else f"{len(closed)} of {len(choices)}"
        lines.append(f"masked, exactly 0: {told}")
    return lines


def _frame(
    figure: go.Figure,
    at: Points,
    resting: Points,
    cell: float,
    grid_shape: tuple[int, int] | None,
    picture: np.ndarray | None,
    height: int,
) -> None:
    """Axes, the grid or the picture beneath."""
    bottom = _bottom(at, resting, cell, grid_shape, picture)
    axis = {"visible": False, "fixedrange": True}
    figure.update_layout(
        **figure_layout(
            height=height,
            showlegend=True,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 0,
                "xanchor": "left",
                "yanchor": "top",
                "itemclick": False,
                "itemdoubleclick": False,
            },
            xaxis={**axis, "range": [0, 1], "constrain": "domain"},
            yaxis={
                **axis,
                "range": [bottom, 0],
                "scaleanchor": "x",
                "constrain": "domain",
                "constraintoward": "top",
            },
            margin={"l": 4, "r": 4, "t": 4, "b": 28},
        )
    )
    if picture is not None:
        figure.add_layout_image(
            source=png_data_uri(with_few_colours(picture)),
            xref="x",
            yref="y",
            x=0,
            y=0,
            sizex=1,
            sizey=bottom,
            sizing="stretch",
            opacity=BENEATH,
            layer="below",
        )
    elif grid_shape is not None:
        high, wide = grid_shape
        lines = [f"M{x / wide},0L{x / wide},{bottom}" for x in range(wide + 1)]
        lines += [f"M0,{y / wide}L1,{y / wide}" for y in range(high + 1)]
        figure.add_shape(
            type="path",
            path="".join(lines),
            line={"color": PALETTE.neutral, "width": 0.5},
            opacity=0.5,
            layer="below",
        )


def _bottom(
    at: Points,
    resting: Points,
    cell: float,
    grid_shape: tuple[int, int] | None,
    picture: np.ndarray | None,
) -> float:
    """The height of the drawing in its widths."""
    if picture is not None:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"{_NAME}: picture is {picture.dtype} {list(picture.shape)}, expected uint8 "
                "[height, width, 3]"
            )
        return float(picture.shape[0] / picture.shape[1])
    if grid_shape is not None:
        return grid_shape[0] / grid_shape[1]
    lowest = np.concatenate([at[:, 1], resting[:, 1], [0.0]]).max()
    return float(lowest + cell)

"""The outlines of arrows and rings whose width is a weight.

An arrow bends a little to its left, so that the way there and the way back stay
apart, and keeps off the middle of what it joins, where a picture shows something.
What an entity gives itself is a ring around it. `reports/templates/arrows.js`
draws the same outlines in a browser; a test holds the two together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

BEND = 0.1
"""How far an arrow's bow reaches beside the straight line, as a share of its length."""
SAMPLES = 12
"""Pieces of a curve."""
LARGEST, SMALLEST = 0.15, 0.045
"""Of the unit, as shares of the drawing's width."""


def unit_length(places: Points, width: float) -> float:
    """What the sizes of arrows and rings are measured in: about one cell of a grid.

    Args:
        places: [E, 2].
        width: Of the drawing.

    Returns:
        The smallest distance between two entities that do not share a place, kept between a
        22nd and about a 7th of the width.
    """
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    distances = apart[apart > 1e-9 * width]
    nearest = float(distances.min()) if distances.size else LARGEST * width
    return min(max(nearest, SMALLEST * width), LARGEST * width)


def spread(places: Points, unit: float) -> Points:
    """Places where no two entities lie on one another: those that share one stand around it.

    Args:
        places: [E, 2].
        unit: See `unit_length`.
    """
    moved = places.copy()
    for place in np.unique(places, axis=0):
        here = np.flatnonzero((places == place).all(axis=1))
        if here.size > 1:
            angles = 2 * np.pi * np.arange(here.size) / here.size - 0.75 * np.pi
            moved[here] += 0.22 * unit * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return moved


def arrow_outline(start: Points, end: Points, weight: float, unit: float) -> Points:
    """An arrow from one entity to another.

    Args:
        start: [2], the middle of who looks.
        end: [2], the middle of who is looked at; not the same.
        weight: From 0 to 1; the wider.
        unit: See `unit_length`.

    Returns:
        [N, 2], a closed outline; y runs downwards.
    """
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    aside = np.array([along[1], -along[0]])
    margin = min(0.36 * unit, 0.24 * length)
    head = min(unit * (0.16 + 0.16 * weight), 0.5 * (length - 2 * margin))
    shaft = unit * (0.03 + 0.28 * weight)
    barb = shaft + unit * 0.11
    control = (start + end) / 2 + 2 * BEND * length * aside
    t = np.linspace(0, 1, SAMPLES + 1)[:, None]
    # From where the arrow leaves one entity to where its head begins at the other.
    first, last = margin / length, 1 - (margin + head) / length
    t = first + (last - first) * t
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    way = 2 * (1 - t) * (control - start) + 2 * t * (end - control)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    normal = np.stack([way[:, 1], -way[:, 0]], axis=1)
    tip = end - margin * way[-1]
    ahead = (tip - curve[-1]) / np.linalg.norm(tip - curve[-1])
    across = barb * np.array([ahead[1], -ahead[0]])
    left, right = curve + shaft / 2 * normal, curve - shaft / 2 * normal
    barbs = [curve[-1] + across], [curve[-1] - across]
    return np.concatenate([left, barbs[0], [tip], barbs[1], right[::-1], left[:1]])


def ring_outline(middle: Points, weight: float, unit: float) -> Points:
    """A ring around an entity, open at the top.

    Args:
        middle: [2].
        weight: From 0 to 1; the wider.
        unit: See `unit_length`.

    Returns:
        [N, 2], a closed outline.
    """
    radius, width = 0.43 * unit, unit * (0.03 + 0.18 * weight)
    angles = np.linspace(-0.4 * np.pi, 1.4 * np.pi, 3 * SAMPLES + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outer, inner = circle * (radius + width / 2), circle * (radius - width / 2)
    return np.asarray(middle + np.concatenate([outer, inner[::-1], outer[:1]]))

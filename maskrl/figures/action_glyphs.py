"""How the probabilities of one agent's actions are drawn where it stands.

Actions with a direction are triangles that point there; staying is a disc in the middle;
others are diamonds in the corners; the area of each is its probability. A direction that is
disallowed has a bar across it. Where actions have no directions, or there are too many
others, the probabilities are the parts of a ring. Sizes are in cells, y points down.
`reports/templates/actions.js` draws the same outlines in a browser; a test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Kind = Literal["move", "stay", "corner", "part"]

_WAYS = {
    "up": (0, -1),
    "down": (0, 1),
    "left": (-1, 0),
    "right": (1, 0),
    "north": (0, -1),
    "south": (0, 1),
    "west": (-1, 0),
    "east": (1, 0),
}
_VERBS = ("move", "go", "walk", "step", "run")
_STAYS = ("stay", "wait", "noop", "no op", "none", "idle", "hold", "stop", "stand", "nothing")
CORNERS = ((0.28, -0.28), (-0.28, -0.28), (0.28, 0.28), (-0.28, 0.28))
"""Where the first four actions stand that are neither moves nor staying."""
LEAST = 0.005
"""Probabilities below are not drawn; hovering tells them."""

BASE, WIDE, HIGH = 0.13, 0.58, 0.33
DISC, DIAMOND = (WIDE * HIGH / 2 / np.pi) ** 0.5, (WIDE * HIGH / 4) ** 0.5
"""So that a probability has the same area as a triangle, a disc or a diamond."""
BAR_AT, BAR_LONG, BAR_THICK = 0.45, 0.5, 0.05
RING_IN, RING_OUT = 0.31, 0.47
ARC = 0.1
"""The largest angle in radians between two points of a curve."""


@dataclass(frozen=True)
class Spot:
    """What draws an action.

    Attributes:
        kind: "move" (a triangle), "stay" (a disc), "corner" (a diamond), "part" (of a ring).
        x: Of the direction of a move, or of a corner.
        y: Likewise, downwards.
    """

    kind: Kind
    x: float = 0.0
    y: float = 0.0


def way_of(name: str) -> tuple[float, float] | None:
    """The direction that a name says, as a vector of length 1; None for none.

    >>> way_of("up"), way_of("move_left"), way_of("turn left")
    ((0.0, -1.0), (-1.0, 0.0), None)
    """
    words = name.lower().replace("_", " ").replace("-", " ").split()
    if words and words[0] in _VERBS:
        words = words[1:]
    if not words or len(words) > 2 or any(word not in _WAYS for word in words):
        return None
    x, y = (sum(_WAYS[word][k] for word in words) for k in (0, 1))
    length = float(np.hypot(x, y))
    return None if length == 0 else (x / length, y / length)


def target_of(name: str) -> tuple[int, int] | None:
    """The cell that a name says relative to the agent's, as in "+2,-1"; None for none."""
    parts = name.split(",")
    if len(parts) != 2 or not all(part.strip()[:1] in ("+", "-") for part in parts):
        return None
    try:
        return int(parts[0]), int(parts[1])
    except ValueError:
        return None


def arrange(names: Sequence[str]) -> tuple[Spot, ...]:
    """How the actions of these names are drawn.

    Args:
        names: Of the choices of one head.

    Returns:
        A spot per action: moves, one place to stay and up to four corners; or, where fewer than
        two actions have a direction, two have the same, or too many have none, parts of a ring.
    """
    ways = [way_of(name) for name in names]
    moves = [way for way in ways if way is not None]
    others = [k for k, way in enumerate(ways) if way is None]
    stays = [k for k in others if names[k].lower().replace("_", " ") in _STAYS][:1]
    corners = [k for k in others if k not in stays]
    if len(moves) < 2 or len(set(moves)) < len(moves) or len(corners) > len(CORNERS):
        return tuple(Spot("part") for _ in names)
    spots = []
    for k, way in enumerate(ways):
        if way is not None:
            spots.append(Spot("move", *way))
        elif k in stays:
            spots.append(Spot("stay"))
        else:
            spots.append(Spot("corner", *CORNERS[corners.index(k)]))
    return tuple(spots)


def triangle(way: tuple[float, float], share: float) -> Points:
    """A triangle that points away from the middle, of an area that goes with a share."""
    wide, high = WIDE * np.sqrt(share) / 2, HIGH * np.sqrt(share)
    x, y = way
    left = (BASE * x + wide * y, BASE * y - wide * x)
    right = (BASE * x - wide * y, BASE * y + wide * x)
    tip = ((BASE + high) * x, (BASE + high) * y)
    return np.array([left, tip, right, left])


def disc(share: float) -> Points:
    """A disc in the middle, of an area that goes with a share."""
    angles = np.linspace(0, 2 * np.pi, 33)
    return DISC * np.sqrt(share) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def diamond(corner: tuple[float, float], share: float) -> Points:
    """A square on its tip in a corner, of an area that goes with a share."""
    half = DIAMOND * np.sqrt(share)
    shape = half * np.array([[0, -1], [1, 0], [0, 1], [-1, 0], [0, -1]], np.float64)
    return np.asarray(shape + np.asarray(corner, np.float64))


def bar(way: tuple[float, float]) -> Points:
    """A bar across a direction that is disallowed."""
    along, across = np.asarray(way), np.array([-way[1], way[0]])
    near, far = (BAR_AT - BAR_THICK / 2) * along, (BAR_AT + BAR_THICK / 2) * along
    half = BAR_LONG / 2 * across
    return np.array([near - half, near + half, far + half, far - half, near - half])


def part(first: float, last: float, inner: float = RING_IN, outer: float = RING_OUT) -> Points:
    """A part of a ring, clockwise from the top.

    Args:
        first: Where it begins, as a share of the way around.
        last: Where it ends.
        inner: Radius.
        outer: Radius.
    """
    count = max(2, int(np.ceil((last - first) * 2 * np.pi / ARC)) + 1)
    angles = 2 * np.pi * np.linspace(first, last, count) - np.pi / 2
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    closed = np.concatenate([outer * arc, inner * arc[::-1], outer * arc[:1]])
    return np.asarray(closed)


def outlines(spots: Sequence[Spot], probs: npt.ArrayLike) -> list[tuple[int, Points]]:
    """The outlines of one agent's actions around (0, 0), those that can be seen.

    Args:
        spots: Of A actions.
        probs: [A].

    Returns:
        Pairs of an action and its closed outline [n, 2], in cells.
    """
    shares = np.asarray(probs, dtype=np.float64)
    drawn: list[tuple[int, Points]] = []
    start = 0.0
    for k, (spot, share) in enumerate(zip(spots, shares, strict=True)):
        if spot.kind == "part":
            first, start = start, start + float(share)
        if not share >= LEAST:
            continue
        if spot.kind == "move":
            drawn.append((k, triangle((spot.x, spot.y), float(share))))
        elif spot.kind == "stay":
            drawn.append((k, disc(float(share))))
        elif spot.kind == "corner":
            drawn.append((k, diamond((spot.x, spot.y), float(share))))
        else:
            drawn.append((k, part(first, start)))
    return drawn

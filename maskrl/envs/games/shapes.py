"""Shapes as signed distances, and a small canvas that paints them without jagged edges.

A shape is a function of two coordinate arrays that gives, at each point, how far
the nearest edge is: negative inside, positive outside. Shapes of this kind join,
cut and grow by `minimum`, `maximum` and subtraction, and a distance turns into
coverage exactly, so a sprite looks the same at every size. The canvas spans
[-1, 1] in both directions, x to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Distance = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A transparent square that shapes are painted on, one over the other.

    Args:
        size: Pixels along one side of the finished picture.
        supersample: Points computed along one side of a pixel.
    """

    def __init__(self, size: int, supersample: int = 4) -> None:
        points = size * supersample
        axis = ((np.arange(points, dtype=np.float32) + 0.5) / points) * 2 - 1
        self.x, self.y = (grid.astype(np.float32) for grid in np.meshgrid(axis, axis))
        self.point = np.float32(2 / points)
        self.size = size
        self.supersample = supersample
        self._paint = np.zeros((points, points, 4), dtype=np.float32)

    def turned(self, degrees: float, centre: Point = (0.0, 0.0)) -> tuple[Distance, Distance]:
        """The coordinates of a paper turned clockwise by `degrees` about `centre`."""
        angle = np.deg2rad(-degrees)
        x, y = self.x - centre[0], self.y - centre[1]
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return x * cosine - y * sine + centre[0], x * sine + y * cosine + centre[1]

    def fill(self, shape: Distance, colour: Colour, opacity: float = 1.0) -> None:
        """Paint the inside of a shape."""
        coverage = np.clip(0.5 - shape / self.point, 0, 1) * np.float32(opacity)
        source = np.empty_like(self._paint)
        source[..., :3] = coverage[..., None] * np.asarray(colour, dtype=np.float32)
        source[..., 3] = coverage
        self._paint = source + self._paint * (1 - coverage[..., None])

    def soften(self, shape: Distance, colour: Colour, opacity: float, reach: float) -> None:
        """Paint a shape whose edge fades out over `reach`: a shadow or a glow."""
        coverage = np.clip(0.5 - shape / np.float32(reach), 0, 1)
        coverage = coverage * coverage * (3 - 2 * coverage) * np.float32(opacity)
        colours = np.asarray((*colour, 1.0), dtype=np.float32)
        self._paint = coverage[..., None] * colours + self._paint * (1 - coverage[..., None])

    def figure(
        self,
        parts: Sequence[tuple[Distance, Colour]],
        ink: Colour,
        width: float = 0.05,
    ) -> None:
        """Paint parts from back to front with one line of ink around all of them."""
        self.fill(union(*(shape for shape, _ in parts)) - np.float32(width), ink)
        for shape, colour in parts:
            self.fill(shape, colour)

    def finish(self) -> NDArray[np.float32]:
        """The picture, float32 [size, size, 4], colours 0..255 premultiplied by alpha 0..1."""
        n, s = self.size, self.supersample
        picture: NDArray[np.float32] = self._paint.reshape(n, s, n, s, 4).mean(axis=(1, 3))
        return picture


def union(*shapes: Distance) -> Distance:
    """Inside at least one of the shapes."""
    return np.minimum.reduce(shapes)


def common(*shapes: Distance) -> Distance:
    """Inside all of the shapes."""
    return np.maximum.reduce(shapes)


def without(shape: Distance, *others: Distance) -> Distance:
    """Inside the first shape and inside none of the others."""
    return np.maximum(shape, -np.minimum.reduce(others))


def melt(first: Distance, second: Distance, reach: float) -> Distance:
    """Two shapes joined with a rounded seam, as two drops flow together."""
    blend = np.clip(0.5 + 0.5 * (second - first) / np.float32(reach), 0, 1)
    mixed = second + (first - second) * blend
    return mixed - np.float32(reach) * blend * (1 - blend)


def ring(shape: Distance, width: float) -> Distance:
    """A band of the given width along the edge of a shape."""
    return np.abs(shape) - np.float32(width / 2)


def circle(x: Distance, y: Distance, centre: Point, radius: float) -> Distance:
    """A disc."""
    return np.hypot(x - np.float32(centre[0]), y - np.float32(centre[1])) - np.float32(radius)


def ellipse(x: Distance, y: Distance, centre: Point, radii: Point, turn: float = 0.0) -> Distance:
    """A filled ellipse, turned clockwise by `turn` degrees; the distance is first order."""
    angle = np.deg2rad(turn)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
    a, b = np.float32(radii[0]), np.float32(radii[1])
    unit = np.hypot(along / a, across / b)
    slope = np.hypot(along / (a * a), across / (b * b))
    return np.where(slope > 1e-6, unit * (unit - 1) / np.maximum(slope, 1e-6), -min(radii))


def stroke(
    x: Distance,
    y: Distance,
    start: Point,
    end: Point,
    radius: float,
    end_radius: float | None = None,
) -> Distance:
    """A round-ended line whose thickness changes evenly from `radius` to `end_radius`."""
    ax, ay = np.float32(start[0]), np.float32(start[1])
    bx, by = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    length = max(float(bx * bx + by * by), 1e-12)
    along = np.clip(((x - ax) * bx + (y - ay) * by) / np.float32(length), 0, 1)
    thickness = radius + ((radius if end_radius is None else end_radius) - radius) * along
    return np.hypot(x - ax - bx * along, y - ay - by * along) - thickness


def path(
    x: Distance,
    y: Distance,
    points: Sequence[Point],
    radius: float,
    end_radius: float | None = None,
) -> Distance:
    """A round-ended line through several points, thickness changing evenly along it."""
    last = radius if end_radius is None else end_radius
    radii = np.linspace(radius, last, len(points))
    pieces = [
        stroke(x, y, points[i], points[i + 1], float(radii[i]), float(radii[i + 1]))
        for i in range(len(points) - 1)
    ]
    return union(*pieces)


def polygon(x: Distance, y: Distance, corners: Sequence[Point]) -> Distance:
    """A filled polygon; its edges may cross the paper in any order of turning."""
    nearest = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        nearest = np.minimum(nearest, stroke(x, y, (ax, ay), (bx, by), 0.0))
        if ay != by:
            crosses = (y >= ay) != (y >= by)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / np.float32(by - ay) + ax)
    return np.where(inside, -nearest, nearest).astype(np.float32)


def star(
    x: Distance, y: Distance, centre: Point, radius: float, points: int = 5, waist: float = 0.45
) -> Distance:
    """A star standing on its legs; `waist` is the inner radius as a share of the outer."""
    turns = np.arange(2 * points) * np.pi / points - np.pi / 2
    reach = np.where(np.arange(2 * points) % 2 == 0, radius, radius * waist)
    corners = [
        (centre[0] + float(r * np.cos(t)), centre[1] + float(r * np.sin(t)))
        for r, t in zip(reach, turns, strict=True)
    ]
    return polygon(x, y, corners)


def smooth(points: Sequence[Point], rounds: int = 3, closed: bool = False) -> list[Point]:
    """Round the corners of a line by cutting them off again and again (Chaikin, 1974)."""
    line = np.asarray(points, dtype=np.float64)
    for _ in range(rounds if len(line) > 2 else 0):
        following = np.roll(line, -1, axis=0) if closed else line[1:]
        current = line if closed else line[:-1]
        cut = np.stack((0.75 * current + 0.25 * following, 0.25 * current + 0.75 * following), 1)
        cut = cut.reshape(-1, 2)
        line = cut if closed else np.concatenate((line[:1], cut[1:-1], line[-1:]))
    return [(float(px), float(py)) for px, py in line]

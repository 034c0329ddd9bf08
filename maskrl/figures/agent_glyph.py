"""One agent of an action map: the shapes that draw its decision, with their colours.

A single head is drawn by itself. Of several heads the first is drawn, as a ring where its
choices have no directions, and inside it the parameters that count in what was done: their
triangles, or an arrow to the cell that was aimed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from maskrl.figures.action_glyphs import Points, Spot, arrange, bar, outlines, target_of
from maskrl.figures.theme import CATEGORIES, PALETTE

SHADES = 5
"""Colours from sure to undecided."""
INNER = 0.6
"""Size of the triangles inside a ring."""
STRONG, FAINT, BARRED = 0.95, 0.45, 0.85
"""How opaque what was done is, what was not, and a bar."""

Heads = Sequence[tuple[str, Sequence[str]]]
"""Names of heads, each with the names of its choices."""


@dataclass(frozen=True)
class Shape:
    """An outline and how it is filled."""

    outline: Points
    colour: str
    opacity: float


def between(sure: str, unsure: str, share: float) -> str:
    """One of a few colours between two, as #rrggbb."""
    share = 0.0 if not np.isfinite(share) else round(share * (SHADES - 1)) / (SHADES - 1)
    ends = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (sure, unsure)]
    mixed = [round(a + share * (b - a)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def action_colours(names: Sequence[str], spots: Sequence[Spot]) -> tuple[str, ...]:
    """A colour per action: grey for doing nothing, the others in their order."""
    still = ("noop", "no_op", "wait", "stay", "none", "idle")
    colours, used = [], 0
    for name, spot in zip(names, spots, strict=True):
        if spot.kind == "stay" or name.lower() in still:
            colours.append(PALETTE.neutral)
        else:
            colours.append(CATEGORIES[used % len(CATEGORIES)])
            used += 1
    return tuple(colours)


def agent_shapes(
    heads: Heads,
    shares: np.ndarray,
    allowed: np.ndarray,
    chosen: np.ndarray | None,
    counts: np.ndarray,
    tint: str,
    colour: str,
    show_masks: bool,
) -> Iterator[Shape]:
    """The shapes of one agent around (0, 0), in cells."""
    start, ring = 0, False
    strong = PALETTE.allowed
    for number, (_, choices) in enumerate(heads):
        own, keep = shares[start : start + len(choices)], allowed[start : start + len(choices)]
        start += len(choices)
        taken = None if chosen is None else int(chosen[number])
        if number == 0:
            spots = arrange(choices)
            colours = action_colours(choices, spots)
            ring = spots[0].kind == "part"
            strong = colours[taken] if taken is not None and ring else tint
            for k, outline in outlines(spots, own):
                shade = colours[k] if ring or colour == "action" else tint
                yield Shape(outline, shade, STRONG if taken in (None, k) else FAINT)
            size = 1.0
        else:
            if not counts[number] or chosen is None:
                continue
            spots, size = arrange(choices), INNER
            if taken is not None and (target := target_of(choices[taken])) is not None:
                yield Shape(_line(target), strong, STRONG)
            if spots[0].kind == "part":
                continue
            for k, outline in outlines(spots, own):
                yield Shape(size * outline, strong, STRONG if k == taken else FAINT)
        if show_masks and keep.any():
            for spot, ok in zip(spots, keep, strict=True):
                if spot.kind == "move" and not ok:
                    yield Shape(size * bar((spot.x, spot.y)), PALETTE.disallowed, BARRED)


def _line(target: tuple[int, int]) -> Points:
    """A thin arrow from an agent's ring to a cell, given relative to the agent's."""
    way = np.asarray(target, np.float64)
    length = float(np.hypot(*way))
    if length == 0:
        return np.zeros((0, 2))
    along = way / length
    aside = np.array([along[1], -along[0]])
    near, far = 0.5 * along, way - 0.3 * along
    tip = way - 0.12 * along
    return np.array(
        [
            near + 0.03 * aside,
            far + 0.03 * aside,
            far + 0.1 * aside,
            tip,
            far - 0.1 * aside,
            far - 0.03 * aside,
            near - 0.03 * aside,
            near + 0.03 * aside,
        ]
    )

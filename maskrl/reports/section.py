"""A section of a report: a heading, HTML, and the figures and data it needs.

Sections are values. A function per section looks at what a run left behind and
returns one, or None where it does not apply; the page puts them in order. Every
text that came from outside passes through `escape` on its way into HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import plotly.graph_objects as go


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id on the page, also the target of the contents.
        title: its heading, plain text.
        html: what follows the heading, finished HTML.
        figures: id -> figure; the page draws each into `#id`.
        data: name -> JSON-able value, for the scripts of the page.
    """

    anchor: str
    title: str
    html: str
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


def figure_place(identity: str, figure: go.Figure, *, title: str = "", caption: str = "") -> str:
    """The place on the page where a figure is drawn, with title and caption.

    Args:
        identity: the figure's id, unique on the page.
        figure: read for its height alone, so that nothing moves while it loads.
        title: plain text above it.
        caption: HTML below it.
    """
    height = int(figure.layout.height or 240)
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="plot">{heading}<div class="canvas" id="{escape(identity)}" '
        f'style="height:{height}px"></div>{below}</figure>'
    )


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """A row of tiles: (what, value, remark), each plain text."""
    parts = [
        f'<div class="tile"><dt>{escape(what)}</dt><dd>{escape(value)}</dd>'
        + (f'<dd class="remark">{escape(remark)}</dd>' if remark else "")
        + "</div>"
        for what, value, remark in entries
    ]
    return f'<dl class="tiles">{"".join(parts)}</dl>'


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"

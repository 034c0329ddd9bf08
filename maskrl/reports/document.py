"""A page around sections: head, styles, plotly.js once, data, scripts; no network ever.

What is on a page is a list of `Section`; this puts them into one HTML file whose content
security policy forbids it to fetch anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from maskrl.figures import DARK, LIGHT, figure_template
from maskrl.reports.section import Section


def render_document(
    *, title: str, header: str, sections: Sequence[Section], footer: str, scripts: Sequence[str]
) -> str:
    """A complete HTML document.

    Args:
        title: Plain text.
        header: Finished HTML for the inside of `header`.
        sections: In their order.
        footer: Finished HTML.
        scripts: Names of files in the templates' folder, in the order in which they run.
    """
    return Template(asset("page.html")).substitute(
        title=escape(title),
        css=asset("page.css"),
        header=header,
        contents="".join(
            f'<a href="#{escape(section.anchor)}">{escape(section.title)}</a>'
            for section in sections
        ),
        sections="\n".join(_section_html(section) for section in sections),
        footer=footer,
        data=_page_data(sections),
        plotly=get_plotlyjs().replace("</script", r"<\/script"),
        script=_joined(scripts),
    )


def embedded_json(value: Any) -> str:
    """JSON that may stand inside a `script` element, whatever its strings hold.

    Args:
        value: JSON-able; NaN and infinities are refused, for no browser reads them.

    Raises:
        ValueError: for NaN and infinities.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def asset(name: str) -> str:
    """A file of the templates folder."""
    return (files("maskrl.reports") / "templates" / name).read_text(encoding="utf-8")


def _page_data(sections: Sequence[Section]) -> str:
    """Templates, figures and data of all sections as one JSON object."""
    figures: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for section in sections:
        data.update(section.data)
        for identity, figure in section.figures.items():
            plain = json.loads(figure.to_json())
            plain["layout"].pop("template", None)
            figures[identity] = {"data": plain["data"], "layout": plain["layout"]}
    templates: Mapping[str, Any] = {
        name: figure_template(surface).to_plotly_json()
        for name, surface in (("light", LIGHT), ("dark", DARK))
    }
    return embedded_json({"templates": templates, "figures": figures, **data})


def _joined(names: Sequence[str]) -> str:
    """The page's own scripts, after plotly.js."""
    read = 'const page = JSON.parse(document.getElementById("page-data").textContent);'
    return "\n".join((read, *(asset(name) for name in names)))


def _section_html(section: Section) -> str:
    anchor = escape(section.anchor)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h2 id="{anchor}-title">{escape(section.title)}</h2>{section.html}</section>'
    )

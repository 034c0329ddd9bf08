"""One self-contained HTML page from a run folder: `write_report`.

Everything the page needs is inside it: plotly.js once, styles, scripts, data and
pictures. It opens from a disk with no network, and a content security policy in
its head forbids it to fetch anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from maskrl.errors import RunFolderError
from maskrl.figures import DARK, LIGHT, figure_template
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.run_data import RunData
from maskrl.reports.section import Section
from maskrl.reports.sections.action_head import action_head_section
from maskrl.reports.sections.attention import attention_section
from maskrl.reports.sections.configuration import configuration_section
from maskrl.reports.sections.episode import episode_section
from maskrl.reports.sections.header import header_html
from maskrl.reports.sections.learning import learning_section
from maskrl.reports.sections.mask_statistics import mask_statistics_section
from maskrl.reports.sections.team_episode import team_episode_section


def write_report(run_dir: str | Path, *, out: str | Path | None = None) -> Path:
    """Write the report of a run: what was trained, what it learned, what the masks did.

    Args:
        run_dir: a run folder.
        out: where to write the page; `report.html` in the run folder if None.

    Returns:
        The page's path.

    Raises:
        RunFolderError: no run folder, a damaged file in it, or `out` cannot be written.
    """
    run = RunData.read(run_dir)
    page = render_page(run, LivePolicy.watch(run))
    path = Path(out) if out is not None else Path(run_dir) / "report.html"
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(
            f"cannot write the report {path}: {error.strerror or error}. Choose another --out."
        ) from error
    return path


def render_page(run: RunData, live: LivePolicy | None = None) -> str:
    """The page as text.

    Args:
        run: what the run left behind.
        live: what its policy did when it was loaded and watched; None leaves out
            the sections that need it.

    Returns:
        A complete HTML document.
    """
    live = live or LivePolicy()
    candidates = (
        learning_section(run),
        episode_section(live.episodes),
        team_episode_section(live.team_episodes),
        action_head_section(live.episodes),
        attention_section(live.scenes),
        mask_statistics_section(run),
        configuration_section(run),
    )
    sections = [section for section in candidates if section is not None]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in live.notes)
    return Template(_asset("page.html")).substitute(
        title=escape(f"{run.env_id}: maskrl report"),
        css=_asset("page.css"),
        header=header_html(run, _portrait(live)) + notes,
        contents="".join(
            f'<a href="#{escape(section.anchor)}">{escape(section.title)}</a>'
            for section in sections
        ),
        sections="\n".join(_section_html(section) for section in sections),
        footer=_footer(run),
        data=_page_data(sections),
        plotly=get_plotlyjs().replace("</script", r"<\/script"),
        script=_scripts(),
    )


def _portrait(live: LivePolicy) -> np.ndarray | None:
    """A picture of the environment, where it draws pictures."""
    if live.episodes:
        return live.episodes[0].steps[0].frame
    return live.team_episodes[0].steps[0].frame if live.team_episodes else None


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


def _scripts() -> str:
    """The page's own scripts, after plotly.js."""
    read = 'const page = JSON.parse(document.getElementById("page-data").textContent);'
    names = ("figures.js", "arrows.js", "attention.js", "episode.js", "actions.js", "team.js")
    return "\n".join((read, *(_asset(name) for name in names)))


def _section_html(section: Section) -> str:
    anchor = escape(section.anchor)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        f'<h2 id="{anchor}-title">{escape(section.title)}</h2>{section.html}</section>'
    )


def _footer(run: RunData) -> str:
    """Where the page came from and how to make it again."""
    where = f" from {escape(str(run.path))}" if run.path else ""
    again = f" Make it anew: maskrl report {escape(str(run.path))}." if run.path else ""
    return f"Written by maskrl{where}. This file needs no network.{again}"


def _asset(name: str) -> str:
    """A file of the templates folder."""
    return (files("maskrl.reports") / "templates" / name).read_text(encoding="utf-8")

"""One self-contained HTML page from a run folder: `write_report`.

Everything the page needs is inside it: plotly.js once, styles, scripts, data and
pictures. It opens from a disk with no network, and a content security policy in
its head forbids it to fetch anything.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from maskrl.errors import RunFolderError
from maskrl.reports.document import render_document
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.run_data import RunData
from maskrl.reports.sections.action_head import action_head_section
from maskrl.reports.sections.attention import attention_section
from maskrl.reports.sections.configuration import configuration_section
from maskrl.reports.sections.episode import episode_section
from maskrl.reports.sections.header import header_html
from maskrl.reports.sections.learning import learning_section
from maskrl.reports.sections.mask_statistics import mask_statistics_section
from maskrl.reports.sections.q_values import q_values_section
from maskrl.reports.sections.team_episode import team_episode_section

SCRIPTS = (
    "figures.js",
    "arrows.js",
    "attention.js",
    "episode.js",
    "actions.js",
    "team.js",
    "save.js",
)


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
        q_values_section(live.episodes, masked_targets=run.masked_targets),
        action_head_section(live.episodes),
        attention_section(live.scenes),
        mask_statistics_section(run),
        configuration_section(run),
    )
    sections = [section for section in candidates if section is not None]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in live.notes)
    return render_document(
        title=f"{run.env_id}: maskrl report",
        header=header_html(run, _portrait(live)) + notes,
        sections=sections,
        footer=_footer(run),
        scripts=SCRIPTS,
    )


def _portrait(live: LivePolicy) -> np.ndarray | None:
    """A picture of the environment, where it draws pictures."""
    if live.episodes:
        return live.episodes[0].steps[0].frame
    return live.team_episodes[0].steps[0].frame if live.team_episodes else None


def _footer(run: RunData) -> str:
    """Where the page came from and how to make it again."""
    where = f" from {escape(str(run.path))}" if run.path else ""
    again = f" Make it anew: maskrl report {escape(str(run.path))}." if run.path else ""
    return f"Written by maskrl{where}. This file needs no network.{again}"

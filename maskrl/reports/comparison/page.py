"""One self-contained HTML page from a comparison's folder: `write_comparison_report`.

The page opens with what was found, in words computed from the numbers; then the curves,
the table, the seeds, what was wasted, an episode of every variant, and what was run. Like
a run's report it holds everything it needs and may fetch nothing.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from maskrl.errors import RunFolderError
from maskrl.reports import wording
from maskrl.reports.comparison.findings import findings_of, overall_findings
from maskrl.reports.comparison.mask_removed import mask_removed_section
from maskrl.reports.comparison.naming import meanings, with_plain_names
from maskrl.reports.comparison.results import results_section, swatch
from maskrl.reports.comparison.sections import curves_section, waste_section
from maskrl.reports.comparison.settings import settings_section
from maskrl.reports.comparison.viewer import viewer_section
from maskrl.reports.document import render_document
from maskrl.reports.section import Section, paragraph
from maskrl.runs.comparison import Comparison, read_comparison
from maskrl.runs.comparison_figures import VariantFigures, comparison_figures
from maskrl.runs.comparison_overall import overall_figures

SCRIPTS = ("figures.js", "arrows.js", "episode.js", "comparison.js", "save.js")


def write_comparison_report(folder: str | Path, *, out: str | Path | None = None) -> Path:
    """Write the report of a comparison.

    Args:
        folder: Of the comparison; runs may still be training.
        out: Where to write the page; `report.html` in the folder if None.

    Returns:
        The page's path.

    Raises:
        RunFolderError: No comparison, a damaged file in it, or `out` cannot be written.
    """
    comparison = read_comparison(folder)
    page = render_comparison(comparison)
    path = Path(out) if out is not None else Path(folder) / "report.html"
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(
            f"cannot write the report {path}: {error.strerror or error}. Choose another --out."
        ) from error
    return path


def render_comparison(comparison: Comparison, *, play: bool = True) -> str:
    """The page as text.

    Args:
        comparison: What was compared.
        play: Whether to load the agents and let them play.
    """
    comparison = with_plain_names(comparison)
    figures = comparison_figures(comparison)
    sections: list[Section | None] = []
    notes: list[str] = []
    for number, env in enumerate(comparison.envs):
        own = [one for one in figures if one.env == env]
        sections += [
            curves_section(comparison, env, number),
            mask_removed_section(comparison, env, number),
            results_section(comparison, own, number),
            waste_section(comparison, own, number),
        ]
    if play and comparison.envs:
        viewer, notes = viewer_section(comparison.on(comparison.envs[0]))
        sections.append(viewer)
    sections.append(settings_section(comparison))
    return render_document(
        title=f"{', '.join(comparison.envs)}: maskrl comparison",
        header=_header(comparison, figures)
        + "".join(paragraph(note, kind="note") for note in notes),
        sections=[section for section in sections if section is not None],
        footer=(
            f"Written by maskrl from {escape(str(comparison.path))}. This file needs no network. "
            f"Make it anew: maskrl report {escape(str(comparison.path))}."
        ),
        scripts=SCRIPTS,
    )


def _names(comparison: Comparison) -> str:
    """What every way of training is called, in its colour, and what the name means."""
    rows = []
    for meaning in meanings(comparison.on(comparison.envs[0])) if comparison.envs else ():
        names = "".join(
            f"<span>{swatch(place)}{escape(name)}</span>" for name, place in meaning.names
        )
        rows.append(f"<dt>{names}</dt><dd>{escape(meaning.text)}</dd>")
    return f'<dl class="names">{"".join(rows)}</dl>'


def _header(comparison: Comparison, figures: list[VariantFigures]) -> str:
    """Title, what was compared, and what was found."""
    variants = comparison.variants
    finished = sum(len(variant.finished) for variant in variants)
    runs = sum(len(variant.runs) for variant in variants)
    steps = sorted({variant.total_steps for variant in variants})
    span = wording.listing([wording.large(count) for count in steps])
    ways = len({variant.name for variant in variants})
    where = f" on {len(comparison.envs)} environments" if len(comparison.envs) > 1 else ""
    lead = (
        f"{wording.plural(ways, 'way')} of training{where}, "
        f"{wording.plural(len(comparison.seeds), 'seed')} each, {span} environment steps per run."
    )
    if finished < runs:
        lead += f" {wording.count(finished)} of {wording.count(runs)} runs are finished."
    found = []
    for env in comparison.envs:
        own = [one for one in figures if one.env == env]
        sentences = findings_of(own)
        if not sentences:
            continue
        title = "" if len(comparison.envs) == 1 else f"<h3>{escape(env)}</h3>"
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        found.append(f'{title}<ul class="findings">{items}</ul>')
    together = overall_findings(overall_figures(figures), comparison.envs)
    if together:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in together)
        found.insert(0, f'<ul class="findings">{items}</ul>')
    if not found:
        found = [paragraph("No run is finished yet.", kind="verdict")]
    return "".join(
        (
            '<p class="eyebrow">maskrl comparison</p>',
            f"<h1>{escape(', '.join(comparison.envs))}</h1>",
            paragraph(lead, kind="lead"),
            _names(comparison),
            '<h2 class="found">What was found</h2>',
            *found,
        )
    )

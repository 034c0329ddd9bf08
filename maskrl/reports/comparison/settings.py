"""What a comparison ran, on its page: settings that all variants share, and those that differ.

A reader who wants to know what was compared with what looks at the second table; who wants to
make it again finds everything else folded below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from maskrl.reports import wording
from maskrl.reports.section import Section, paragraph
from maskrl.runs.comparison import Comparison


def settings_section(comparison: Comparison) -> Section:
    """What was run: what all variants share, and every setting in which they differ."""
    variants = comparison.variants
    if not variants:
        return Section("settings", "What was run", "")
    settings = [_flat(variant.settings) for variant in variants]
    names = list(dict.fromkeys(name for one in settings for name in one))
    # The environment stands in every label.
    apart = [
        name
        for name in names
        if name != "env" and len({str(one.get(name)) for one in settings}) > 1
    ]
    shown_names = [name.partition(".")[2] or name for name in apart]
    if len(set(shown_names)) < len(shown_names):
        shown_names = apart
    columns = ("", "finished", *shown_names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = []
    for variant, own in zip(variants, settings, strict=True):
        cells = [
            f"{len(variant.finished)} of {len(variant.runs)}",
            *(str(own[name]) if name in own else "" for name in apart),
        ]
        shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(variant.label)}</th>{shown}</tr>')
    seeds = wording.listing([str(seed) for seed in comparison.seeds])
    many = wording.listing([wording.large(n) for n in sorted({v.total_steps for v in variants})])
    algorithms = wording.listing(sorted({variant.algorithm.upper() for variant in variants}))
    said = (
        f"Trained by {algorithms} for {many} environment steps per run, seeds {seeds}. The table "
        "has every setting in which variants differ."
    )
    shared = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(settings[0].get(name)))}</td></tr>"
        for name in names
        if name not in apart
    )
    html = (
        paragraph(said, kind="intro")
        + f'<div class="card wide-table"><table class="differences"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        "<details><summary>Every setting that all variants share</summary>"
        f'<div class="folded"><table class="settings"><tbody>{shared}</tbody></table></div>'
        "</details>"
    )
    return Section("settings", "What was run", html)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found

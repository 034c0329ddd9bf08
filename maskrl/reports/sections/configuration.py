"""The resolved configuration, folded away: everything needed to repeat the run.

Nested settings are shown with dotted names, as the command line spells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from maskrl.reports.run_data import RunData
from maskrl.reports.section import Section


def configuration_section(run: RunData) -> Section:
    """Every resolved setting in one folded table.

    Args:
        run: what the run left behind.

    Returns:
        The section; always applies, a run without settings cannot be opened.
    """
    groups: dict[str, list[str]] = {}
    for name, value in flatten(run.config):
        group = name.split(".", 1)[0] if "." in name else "run"
        groups.setdefault(group, []).append(
            f"<tr><th scope='row'>{escape(name)}</th><td>{escape(_value(value))}</td></tr>"
        )
    tables = "".join(
        f"<h3>{escape(group)}</h3><table class='settings'><tbody>{''.join(rows)}</tbody></table>"
        for group, rows in groups.items()
    )
    html = (
        "<details><summary>Show every resolved setting</summary>"
        f'<div class="folded">{tables}</div></details>'
    )
    return Section("configuration", "Configuration", html)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted name and value, in the order of the file.

    Args:
        settings: nested mappings; lists are values.
        prefix: what the names start with.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value(value: Any) -> str:
    """A value as the reader would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value) or "(empty)"
    if isinstance(value, Mapping):
        return "(empty)"
    return str(value)

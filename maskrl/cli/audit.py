"""`maskrl audit ENV`: whether an environment's masks are right, as a table and an exit code.

Loads no torch. 0 means that nothing was found that counts, 1 that something was, 2 that
the audit could not be made as asked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from maskrl.cli.arguments import env_settings

if TYPE_CHECKING:
    from rich.console import Console

    from maskrl.audit.report import Report

_COLOURS = {"error": "red", "doubt": "yellow", "note": "cyan"}

_MEASURES = {
    "kind": "kind",
    "where": "mask",
    "type": "type",
    "actions": "actions",
    "allowed_share": "share allowed",
    "forced_share": "share of forced moves",
    "step_microseconds": "microseconds a step, audit included",
    "mask_time_share": "share of the environment's time in masks",
}


def audit(
    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV")],
    *,
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 500,
    episodes: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: as the steps allow)")
    ] = None,
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    strict: bool = False,
    empty: Literal["raise", "idle"] = "raise",
    ignore: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="CODE", help_behavior_hint="(repeatable)"),
    ] = (),
    trials: Annotated[int, tyro.conf.arg(metavar="N")] = 600,
    json_file: Annotated[
        Path | None,
        tyro.conf.arg(
            name="json", metavar="FILE", help_behavior_hint="(default: none; - is the output)"
        ),
    ] = None,
    env_options: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(name="env", metavar="KEY=VALUE", help_behavior_hint="(repeatable)"),
    ] = (),
) -> int:
    """Try whether an environment's masks are right.

    The environment is stepped as its author wrote it, and once more through maskrl's adapter.
    Is there a mask at every reset, step and end, of one type and length? Does it say what the
    rules do: allowed and disallowed actions are tried from the same states. Is it stale, turned
    round, another row's, changed in place, the same on replay and in vector environments?
    Errors fail the audit, with --strict doubts too; then the exit code is 1.

    Examples:
      maskrl audit gymnasium:Taxi-v4
      maskrl audit mypackage.envs:MyEnv --strict
      maskrl audit mypackage.envs:MyEnv --env mask_allowed=0
      maskrl audit pettingzoo:connect_four_v3 --steps 2000 --json audit.json

    Args:
        env: The environment, as for `maskrl train`.
        steps: Steps of the walk, with random allowed actions.
        episodes: Episodes of the walk at most.
        seed: Of environment, walk and trials.
        strict: Doubts fail the audit too.
        empty: What states that allow nothing are: errors, or meant as idling.
        ignore: Code of a finding to leave out.
        trials: Steps to spend on trying actions.
        json_file: Write the report here as well.
        env_options: A setting of the environment or of its masks.
    """
    from maskrl.audit.env_audit import env as audit_env

    report = audit_env(
        env,
        steps=steps,
        episodes=episodes,
        seed=seed,
        strict=strict,
        empty=empty,
        ignore=ignore,
        trials=trials,
        **env_settings(env_options),
    )
    if str(json_file) == "-":
        write_json(report, None)
    else:
        print_report(report)
        if json_file is not None:
            write_json(report, json_file)
    return 0 if report.passed else 1


def write_json(report: Report, path: Path | None) -> None:
    """Write a report's data to a file, or to the output."""
    from maskrl.errors import ConfigError

    text = json.dumps(report.to_json(), indent=2)
    if path is None:
        print(text)
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json {path}: the report cannot be written: {error}") from error


def print_report(report: Report, console: Console | None = None) -> None:
    """Print findings, what was checked, what was not, and the measures.

    Args:
        report: Of an audit.
        console: Where to; the output if None.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    screen = console or Console(file=sys.stdout, highlight=False, soft_wrap=False)
    colour = "green" if report.passed else "red"
    screen.print(f"audit of [bold]{escape(report.target)}[/]: [{colour}]{report.verdict()}[/]")
    if report.findings:
        table = Table(show_lines=True, expand=False)
        for title in ("finding", "where", "what", "advice"):
            table.add_column(title, overflow="fold")
        for finding in report.findings:
            head = Text(f"{finding.severity}\n", style=_COLOURS[finding.severity])
            head.append(finding.code, style="bold")
            table.add_row(head, escape(_where(finding)), escape(_what(finding)), finding.advice)
        screen.print(table)
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, words in _MEASURES.items():
        if name in report.measures:
            facts.add_row(words, escape(_plain(report.measures[name])))
    for words, value in _counts(report):
        facts.add_row(words, escape(value))
    for check in report.checked:
        facts.add_row(f"checked: {check.name}", escape(check.detail))
    for check in report.unchecked:
        facts.add_row(f"[yellow]not checked:[/] {check.name}", escape(check.detail))
    screen.print(facts)


def _where(finding: Any) -> str:
    times = f"\n{finding.count} times" if finding.count > 1 else ""
    return (finding.where or "everywhere") + times


def _what(finding: Any) -> str:
    sides = f"\nexpected: {finding.expected}\ngot: {finding.got}" if finding.expected else ""
    return f"{finding.message}{sides}"


def _counts(report: Report) -> list[tuple[str, str]]:
    tried = report.measures.get("disallowed_actions", {})
    if not tried:
        return []
    said = ", ".join(f"{count} {words}" for words, count in tried.items())
    return [("disallowed actions that were tried", said)]


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

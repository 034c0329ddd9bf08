"""All runs of a comparison at a glance while they train, and the table at the end.

In a terminal one line per run is redrawn in place; elsewhere a line is printed when a
run changes its state, and now and then how far the training ones are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maskrl.trainers.compare_summary import EnvSummary
from maskrl.trainers.compare_worker import FAILED, FINISHED, TRAINING, WAITING, Job, Report
from maskrl.trainers.progress import clock

_BAR = 10
_STYLES = {FINISHED: "green", FAILED: "red", TRAINING: "bold"}


class CompareDisplay:
    """Shows every run's state; call it with a run's number and a report.

    Args:
        names: Of the runs, e.g. "panda, seed 0".
        console: Where to; standard output by default.
        line_seconds: Outside a terminal, seconds between two lines of one training run.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        console: Console | None = None,
        line_seconds: float = 30.0,
    ) -> None:
        self.names = list(names)
        self.console = console or Console(highlight=False)
        self.line_seconds = line_seconds
        self.reports = [Report(WAITING) for _ in names]
        self._began: dict[int, tuple[float, float]] = {}
        self._printed: dict[int, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> CompareDisplay:
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self.table, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None

    def __call__(self, number: int, report: Report) -> None:
        """Take in what a run says."""
        before = self.reports[number]
        changed = report.state != before.state
        if not report.facts or not report.message:
            report = Report(
                report.state, report.facts or before.facts, report.message or before.message
            )
        self.reports[number] = report
        now = time.monotonic()
        if report.state == TRAINING and "fraction" in report.facts:
            self._began.setdefault(number, (now, report.facts["fraction"]))
        due = now - self._printed.get(number, -math.inf) >= self.line_seconds
        if self._live is None and (changed or due):
            self._printed[number] = now
            self.console.print(
                f"{self.names[number]}: {self._line(number)}", markup=False, soft_wrap=True
            )

    def table(self) -> RenderableType:
        """One row per run, and below it why a run failed."""
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("run", no_wrap=True)
        table.add_column("state", no_wrap=True, min_width=8)
        table.add_column("", width=_BAR)
        for name in ("steps", "steps/s", "return", "score", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for number, (name, report) in enumerate(zip(self.names, self.reports, strict=True)):
            facts = report.facts
            table.add_row(
                name,
                f"[{_STYLES.get(report.state, 'dim')}]{report.state}[/]",
                ProgressBar(total=1.0, completed=self._fraction(report), width=_BAR),
                _number(facts.get("steps"), ",.0f"),
                _number(facts.get("speed"), ",.0f") if report.state == TRAINING else "",
                _number(facts.get("mean"), ".3f"),
                _number(facts.get("score"), ".3f"),
                self._left(number) if report.state == TRAINING else "",
            )
        reasons = [
            Text(f"{name}: {report.message}")
            for name, report in zip(self.names, self.reports, strict=True)
            if report.state == FAILED and report.message
        ]
        return Group(table, *reasons)

    def _fraction(self, report: Report) -> float:
        return 1.0 if report.state == FINISHED else float(report.facts.get("fraction", 0.0))

    def _left(self, number: int) -> str:
        start, first = self._began.get(number, (0.0, 1.0))
        done = self.reports[number].facts.get("fraction", 0.0)
        if done <= first:
            return "?"
        return clock((time.monotonic() - start) * (1.0 - done) / (done - first))

    def _line(self, number: int) -> str:
        report = self.reports[number]
        facts = report.facts
        parts = [report.state]
        if report.state == FAILED:
            parts.append(report.message)
        if report.state == TRAINING:
            parts.append(f"{facts.get('fraction', 0.0):.0%}, {self._left(number)} left")
        if "mean" in facts:
            parts.append(f"return {_number(facts['mean'], '.3f')}")
        if "score" in facts:
            parts.append(f"score {_number(facts['score'], '.3f')}")
        return ", ".join(parts)


def run_names(jobs: Sequence[Job], labels: Sequence[str]) -> list[str]:
    """What the runs are called in the display."""
    return [f"{label}, seed {job.seed}" for job, label in zip(jobs, labels, strict=True)]


def print_summary(summaries: Sequence[EnvSummary], console: Console | None = None) -> None:
    """Print the table of a comparison: a column per environment, a row per seed and figure."""
    console = console or Console(highlight=False)
    if not summaries:
        console.print("no run is finished yet")
        return
    table = Table(title="comparison", title_justify="left", title_style="bold")
    table.add_column("")
    for summary in summaries:
        table.add_column(f"{summary.label}\n{summary.figure}", justify="right")
    seeds = sorted({seed for summary in summaries for seed in summary.seeds})
    for seed in seeds:
        table.add_row(f"seed {seed}", *(_of_seed(summary, seed) for summary in summaries))
    table.add_section()
    figures: list[tuple[str, Any]] = [
        ("mean", lambda s: _number(s.mean, ".3f")),
        ("interquartile mean", lambda s: _number(s.interquartile_mean, ".3f")),
        (
            "95% interval",
            lambda s: f"{s.interval[0]:.3f} to {s.interval[1]:.3f}" if len(s.seeds) > 1 else "",
        ),
    ]
    if any(summary.ratio is not None for summary in summaries):
        name = f"mean / mean of {summaries[0].label}"
        figures.append((name, lambda s: "1" if s is summaries[0] else _number(s.ratio, ".3f")))
    figures += [
        ("untrained agent", lambda s: _number(s.untrained, ".3f")),
        (
            "random valid agent",
            lambda s: "0.000" if s.figure == "score" else _number(s.random, ".3f"),
        ),
        ("illegal actions", lambda s: f"{s.illegal_actions:,}"),
    ]
    for name, figure in figures:
        table.add_row(name, *(figure(summary) for summary in summaries))
    console.print(table)
    for summary in summaries[1:]:
        first = summaries[0].label
        # Only settings of one environment have a price; another environment is another task.
        if summary.ratio is not None and summary.label.split("?")[0] == first.split("?")[0]:
            console.print(
                f"{summary.label} reaches {summary.ratio:.1%} of the score of {first}: the price "
                f"of the difference is {1 - summary.ratio:.1%}"
            )


def _of_seed(summary: EnvSummary, seed: int) -> str:
    if seed not in summary.seeds:
        return "not finished"
    return f"{summary.values[summary.seeds.index(seed)]:.3f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None or not math.isfinite(value) else format(value, form)

"""All runs of a comparison at a glance while they train, on one screen.

In a terminal one line per run is redrawn in place, or where there are more runs than lines
one for each of those at work, with how far all are. Elsewhere a line is printed when a run
changes its state, and now and then how far the training ones are; each says how far the
whole is, so that the end of a log file tells enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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
        self._ended: dict[int, float] = {}
        self._live: Live | None = None
        self._start: tuple[float, float] | None = None

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
        if self._start is None and report.state == TRAINING:
            self._start = (now, self.fraction)
        if report.state == FINISHED:
            self._ended[number] = now
        if report.state == TRAINING and "fraction" in report.facts:
            self._began.setdefault(number, (now, report.facts["fraction"]))
        due = now - self._printed.get(number, -math.inf) >= self.line_seconds
        if self._live is None and (changed or due):
            self._printed[number] = now
            self.console.print(
                f"[{self.overall()}] {self.names[number]}: {self._line(number)}",
                markup=False,
                soft_wrap=True,
            )

    @property
    def fraction(self) -> float:
        """How far all runs together are, from 0 to 1."""
        return sum(map(self._fraction, self.reports)) / max(len(self.reports), 1)

    def overall(self) -> str:
        """How far the whole is, in a few words."""
        states = [report.state for report in self.reports]
        parts = [f"{states.count(FINISHED)} of {len(states)} runs", f"{self.fraction:.0%}"]
        if FAILED in states:
            parts.insert(1, f"{states.count(FAILED)} failed")
        done = self.fraction
        if self._start is not None and self._start[1] < done < 1.0:
            start, first = self._start
            parts.append(f"{clock((time.monotonic() - start) * (1 - done) / (done - first))} left")
        return ", ".join(parts)

    def _on_screen(self) -> list[int]:
        """The runs that have a line: all, or where these are too many those that are at work."""
        room = max(self.console.height - 6, 4)
        if len(self.reports) <= room:
            return list(range(len(self.reports)))
        quiet = (WAITING, FINISHED)
        busy = [k for k, report in enumerate(self.reports) if report.state not in quiet]
        latest = sorted(
            (k for k, report in enumerate(self.reports) if report.state == FINISHED),
            key=lambda k: self._ended.get(k, 0.0),
        )
        rest = max(room - len(busy), 0)
        return sorted({*busy[:room], *(latest[-rest:] if rest else [])})

    def table(self) -> RenderableType:
        """One row per run on the screen, how far all are, and why a run failed."""
        table = Table(box=None, padding=(0, 1), header_style="dim")
        table.add_column("run", no_wrap=True)
        table.add_column("state", no_wrap=True, min_width=8)
        table.add_column("", width=_BAR)
        for name in ("steps", "steps/s", "return", "score", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for number in self._on_screen():
            name, report = self.names[number], self.reports[number]
            facts = report.facts
            table.add_row(
                Text(name),
                f"[{_STYLES.get(report.state, 'dim')}]{report.state}[/]",
                ProgressBar(total=1.0, completed=self._fraction(report), width=_BAR),
                _number(facts.get("steps"), ",.0f"),
                _number(facts.get("speed"), ",.0f"),
                _number(facts.get("mean"), ".3f"),
                _number(facts.get("score"), ".3f"),
                self._left(number) if report.state == TRAINING else "",
            )
        reasons = [
            Text(f"{name}: {report.message}")
            for name, report in zip(self.names, self.reports, strict=True)
            if report.state == FAILED and report.message
        ]
        return Group(table, Text(self.overall(), style="bold"), *reasons)

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
        if "speed" in facts:
            parts.append(f"{_number(facts['speed'], ',.0f')} steps/s")
        if mean := _number(facts.get("mean"), ".3f"):  # not a number before an episode has ended
            parts.append(f"return {mean}")
        if "score" in facts:
            parts.append(f"score {_number(facts['score'], '.3f')}")
        return ", ".join(parts)


def run_names(jobs: Sequence[Job], labels: Sequence[str]) -> list[str]:
    """What the runs are called in the display."""
    return [f"{label}, seed {job.seed}" for job, label in zip(jobs, labels, strict=True)]


def _number(value: float | None, form: str) -> str:
    return "" if value is None or not math.isfinite(value) else format(value, form)

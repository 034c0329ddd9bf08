"""How training goes, while it goes: a live panel in a terminal, plain lines elsewhere.

Shows steps and speed, time left, the return of the last episodes, the score of the last
evaluation between random valid play and the planner's ceiling, and the illegal actions
executed; of a policy its entropy, of what learns from a memory how full that is, what
actions are worth by now, how wrong that was and how much is tried at random. A callback:
hand it to `learn(progress=...)`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluation import PLANNER

_SPARKS = "▁▂▃▄▅▆▇█"
_HISTORY = 30
_ROUNDS_FOR_SPEED = 20

REPLAY = "replay_size"
"""The metric of what learns from a memory: how many transitions are in it."""


class ProgressDisplay(Callback):
    """Shows the progress of `learn`.

    Args:
        label: What is trained, e.g. "panda, seed 0".
        place: Where it is written, or None.
        planner: The reference's mean return on the validation layouts, or None.
        random: Random valid play's mean return there, or None.
        reference_name: What `planner` really is.
        console: Where to; standard output by default.
        line_seconds: Outside a terminal, seconds between two lines.
    """

    def __init__(
        self,
        label: str,
        *,
        place: str | None = None,
        planner: float | None = None,
        random: float | None = None,
        reference_name: str = PLANNER,
        console: Console | None = None,
        line_seconds: float = 10.0,
    ) -> None:
        self.label = label
        self.place = place
        self.planner = planner
        self.random = random
        self.reference_name = reference_name
        self.console = console or Console(highlight=False)
        self.line_seconds = line_seconds
        self._live: Live | None = None
        self._metrics: dict[str, float] = {}
        self._score: float | None = None
        self._best: float | None = None
        self._returns: list[float] = []
        self._marks: list[tuple[float, int]] = []
        self._trainer: Any = None
        self._last_line = -math.inf
        self._line_step = -1

    def on_start(self, trainer: Any) -> None:
        """Open the display."""
        self._trainer = trainer
        self._start = time.monotonic()
        self._first_fraction = trainer.fraction
        self._marks = [(self._start, trainer.steps)]
        if (choice := getattr(trainer, "thread_choice", None)) is not None:
            self.console.print("[dim]torch  [/]", end="")
            self.console.print(str(choice), markup=False, soft_wrap=True)
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self.panel, refresh_per_second=2)
            self._live.start()

    def on_rollout(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        """Take in what a rollout and its update brought."""
        self._metrics = dict(metrics)
        now = time.monotonic()
        self._marks = [*self._marks[-_ROUNDS_FOR_SPEED:], (now, trainer.steps)]
        if math.isfinite(metrics.get("return_mean", math.nan)):
            self._returns.append(metrics["return_mean"])
        if self._live is None and now - self._last_line >= self.line_seconds:
            self._print_line(now)

    def on_evaluation(self, trainer: Any, result: Any) -> None:
        """Take in an evaluation: its score, or its mean return where there is none."""
        value = getattr(result, "score", None)
        if value is None:
            value = getattr(result, "mean", None)
        if value is not None:
            self._score = float(value)
            self._best = self._score if self._best is None else max(self._best, self._score)

    def on_end(self, trainer: Any) -> None:
        """Close the display and leave its last state behind."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None
        elif self._metrics and self._line_step != trainer.steps:
            self._print_line(time.monotonic())

    @property
    def steps_per_second(self) -> float:
        """Speed over the last rollouts, NaN before the first."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else math.nan

    @property
    def seconds_left(self) -> float:
        """Estimated from the fraction done since `on_start`; NaN before the first rollout."""
        done = self._trainer.fraction - self._first_fraction
        if done <= 0:
            return math.nan
        elapsed = self._marks[-1][0] - self._start
        waited = time.monotonic() - self._marks[-1][0]
        left = elapsed * (1.0 - self._trainer.fraction) / done - waited
        return max(0.0, left)

    def panel(self) -> RenderableType:
        """The live display at this moment."""
        trainer = self._trainer
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(
            ProgressBar(total=1.0, completed=trainer.fraction),
            f"{trainer.fraction:4.0%}  {trainer.steps:,} of {trainer.total_steps:,} steps",
        )
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column()
        for name, text in self._facts():
            rows.add_row(name, text)
        return Panel(
            Group(bar, rows),
            title=f"[bold]{self.label}[/]",
            subtitle=self.place,
            title_align="left",
            subtitle_align="right",
        )

    def _facts(self) -> list[tuple[str, RenderableType]]:
        get = self._metrics.get
        nan = math.nan
        facts: list[tuple[str, RenderableType]] = [
            (
                "time",
                f"{clock(time.monotonic() - self._start)} gone, {clock(self.seconds_left)} left"
                f", {_count(self.steps_per_second)} steps/s",
            ),
            (
                "return",
                Text.assemble(
                    (_number(get("return_mean", nan)), "bold"),
                    f" over the last episodes, {_number(get('length_mean', nan), 1)} steps long  ",
                    (sparkline(self._returns), "green"),
                ),
            ),
            (self._evaluation_name(), self._evaluation_text()),
            *self._learning_facts(),
            (
                "masks",
                f"{_percent(get('allowed_share', nan))} of actions allowed, "
                f"{get('illegal_actions', 0):,.0f} illegal ones executed",
            ),
        ]
        if "agents_acting" in self._metrics:
            facts.append(("team", self._team_text()))
        return facts

    def _learning_facts(self) -> list[tuple[str, RenderableType]]:
        """What is special about the algorithm."""
        get, nan = self._metrics.get, math.nan
        facts: list[tuple[str, RenderableType]] = []
        if REPLAY in self._metrics:
            facts.append(("memory", self._memory_text()))
            if (share := get("epsilon")) is not None:
                facts.append(
                    ("epsilon", f"{share:.3f}: of so many actions any allowed one is tried")
                )
        if REPLAY not in self._metrics or "entropy" in self._metrics:
            share = get("entropy_normalized", get("entropy_share", nan))
            text = f"{_number(get('entropy', nan))} nats, "
            text += f"{_percent(share)} of what the mask leaves open"
            if math.isfinite(get("entropy_share_target", nan)):
                text += f" (aim {_percent(get('entropy_share_target', nan))})"
            facts.append(("entropy", text))
        if math.isfinite(get("temperature", nan)):
            name, unit = (
                ("alpha", "a nat of entropy")
                if "entropy" in self._metrics
                else (
                    "temperature",
                    "a factor of e in how often it is tried",
                )
            )
            facts.append((name, f"{get('temperature', nan):.4g} of return is worth {unit}"))
        return facts

    def _memory_text(self) -> str:
        """How many transitions there are to learn from, and what was learned of values."""
        get, nan = self._metrics.get, math.nan
        room = getattr(getattr(self._trainer, "config", None), "replay_size", None)
        text = f"{_count(get(REPLAY, nan))} transitions"
        text += "" if room is None else f" of {room:,}"
        if math.isfinite(get("td_error", nan)):
            text += f"; values {_number(_mean_value(get), 2)} on average, "
            return text + f"{_number(get('td_error', nan))} off their targets"
        return f"{text}; learning has not begun"

    def _team_text(self) -> str:
        """Who is there, and how far each level of ratio is clipped."""
        get, nan = self._metrics.get, math.nan
        text = f"{_number(get('agents_acting', nan), 1)} agents act"
        if math.isfinite(get("agents_alive", nan)):
            text += f", {_number(get('agents_alive', nan), 1)} are alive"
        clipped = [
            f"{level} {_percent(get(f'clip_fraction_{level}', nan))}"
            for level in ("joint", "agent", "head")
            if math.isfinite(get(f"clip_fraction_{level}", nan))
        ]
        return f"{text}; ratios clipped: {', '.join(clipped)}" if clipped else text

    def _evaluation_name(self) -> str:
        return "evaluated" if self.planner is None else "score"

    def _evaluation_text(self) -> RenderableType:
        if self.planner is not None:
            scale = f"0 = random valid {_number(self.random)}, 1 = {self.reference_name} "
            scale += _number(self.planner)
        else:
            best = REPLAY in self._metrics and "entropy" not in self._metrics
            scale = f"mean return of the {'best' if best else 'likeliest'} allowed actions"
        if self._score is None:
            return Text(f"not yet; {scale}")
        return Text.assemble(
            (_number(self._score), "bold"), f" (best {_number(self._best)}); {scale}"
        )

    def _print_line(self, now: float) -> None:
        trainer, get = self._trainer, self._metrics.get
        self._last_line, self._line_step = now, trainer.steps
        parts = [
            f"step {trainer.steps:,} of {trainer.total_steps:,}",
            f"{_count(self.steps_per_second)} steps/s",
            f"return {_number(get('return_mean', math.nan))}",
        ]
        if self._score is not None:
            name = self.reference_name
            ceiling = "" if self.planner is None else f" ({name} {_number(self.planner)} = 1)"
            parts.append(f"{self._evaluation_name()} {_number(self._score)}{ceiling}")
        if REPLAY not in self._metrics or "entropy" in self._metrics:
            parts.append(f"entropy {_number(get('entropy', math.nan))}")
        if "epsilon" in self._metrics:
            parts.append(f"epsilon {_number(get('epsilon', math.nan))}")
        if "temperature" in self._metrics:
            alpha = "alpha" if "entropy" in self._metrics else "temperature"
            parts.append(f"{alpha} {get('temperature', math.nan):.3g}")
        if math.isfinite(get("td_error", math.nan)):
            parts.append(f"values {_number(_mean_value(get), 2)}")
            parts.append(f"error {_number(get('td_error', math.nan))}")
        if "agents_acting" in self._metrics:
            parts.append(f"{_number(get('agents_acting', math.nan), 1)} agents act")
        parts.append(f"{clock(self.seconds_left)} left")
        self.console.print("  ".join(parts), soft_wrap=True, markup=False)


def clock(seconds: float) -> str:
    """A duration as 0:07, 12:34 or 1:02:03; "?" where it is not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def sparkline(values: list[float], width: int = _HISTORY) -> str:
    """A curve in one line of text; "" below two values."""
    if len(values) < 2:
        return ""
    count = min(width, len(values))
    picked = [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
    low, high = min(picked), max(picked)
    scale = (len(_SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_SPARKS[round((value - low) * scale)] for value in picked)


def _mean_value(get: Callable[..., Any]) -> float:
    """The mean Q-value of the actions that were taken."""
    value: float = get("q_mean", math.nan)
    return value


def _number(value: float | None, digits: int = 3) -> str:
    return "?" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "?"


def _count(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "?"

"""A task: one piece of work that several contenders do, each in its own way.

Groups make tasks, lazily, because the largest hold tensors of hundreds of megabytes; and
`measure` turns one into a `CellResult`: first the comparison with float64, then time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.distributions import Distribution

from maskrl.bench.contenders.contract import Contender, Way, Ways
from maskrl.bench.correctness import Check
from maskrl.bench.results import OURS_NAME, CellResult, Timing
from maskrl.bench.timing import TimedWork, time_in_turns

Surroundings = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Entrant:
    """A contender whose library could be imported."""

    contender: Contender
    ways: Ways

    @property
    def name(self) -> str:
        """Of the contender."""
        return self.contender.name

    def way(self, nvec: tuple[int, ...] | None, workload: str) -> Way | None:
        """Its way to do a workload, None if it has none."""
        way = self.ways(nvec)
        return way if way is not None and way.can(workload) else None

    def surroundings(self, *, grad: bool) -> contextlib.AbstractContextManager[object]:
        """Torch's validation and gradients as this contender's users have them."""
        return settled(checks=self.contender.torch_checks, grad=grad)


@dataclass(frozen=True)
class Run:
    """One contender's part of a task.

    Attributes:
        contender: Its name.
        work: The timed loop.
        check: Compares what it computes with float64; None where nothing is computed.
    """

    contender: str
    work: TimedWork
    check: Callable[[], Check] | None = None


@dataclass(frozen=True)
class Task:
    """What one cell of a table measures; the fields are those of `CellResult`."""

    group: str
    case: str
    workload: str
    allowed: float | None
    runs: Sequence[Run]
    steps: int | None = None
    ours: str = OURS_NAME

    @property
    def name(self) -> str:
        """For people."""
        return CellResult(self.group, self.case, self.workload, self.allowed, ()).name


@contextlib.contextmanager
def settled(*, checks: bool, grad: bool) -> Iterator[None]:
    """Set torch's default validation of distributions and whether graphs are recorded."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(checks)
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        Distribution.set_default_validate_args(before)


def measure(task: Task, *, repeats: int, seconds: float) -> CellResult:
    """Compare with float64, then time in turns.

    Args:
        task: The task.
        repeats: Turns of each contender.
        seconds: About how long a turn lasts.
    """
    checks = {run.contender: _checked(run) for run in task.runs}
    works = {run.contender: run.work for run in task.runs}
    took, calls = time_in_turns(works, repeats=repeats, seconds=seconds)
    timings = []
    for name, seconds_per_call in took.items():
        check = checks[name]
        more = {} if check is None else {"error": check.error, "wrong": check.wrong}
        timings.append(Timing.of(name, seconds_per_call, calls[name], **more))
    return CellResult(
        task.group,
        task.case,
        task.workload,
        task.allowed,
        tuple(timings),
        steps=task.steps,
        ours=task.ours,
    )


def _checked(run: Run) -> Check | None:
    """What the comparison says; a contender that raises is wrong, and is timed all the same."""
    if run.check is None:
        return None
    try:
        return run.check()
    except (RuntimeError, ValueError) as error:
        return Check(math.inf, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")

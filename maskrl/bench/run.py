"""One comparison from beginning to end: who takes part, what is measured, what it says.

Libraries that cannot be imported are listed as missing, with the reason. Groups are
measured one after another; within a task the contenders take turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numba
import torch

from maskrl.bench.contenders import CONTENDERS, Contender
from maskrl.bench.goals import goals
from maskrl.bench.groups import attention, grid, grid_maps, memory, rows, teams, worlds
from maskrl.bench.groups.training import training
from maskrl.bench.machine import describe_machine, keep_freed_memory
from maskrl.bench.results import OURS_NAME, CellResult, Participant, Results
from maskrl.bench.tasks import Entrant, Task, measure
from maskrl.errors import ConfigError
from maskrl.trainers.threads import available_cores

GROUPS = {
    "rows": "rows of actions: acting and learning, six shapes, three shares allowed",
    "heads": "seven heads in a row, 16 to 24576 rows",
    "greedy": "the best allowed action of values",
    "grid": "agents on grids: their rows alone against all cells",
    "teams": "an agent's step in teams of 4 to 64: policies, and training",
    "attention": "attention between entities of scenes, the whole layer",
    "memory": "peak memory while learning from 1.8 million actions",
    "worlds": "steps of the panda's world",
    "training": "whole training against MaskablePPO; on request: --only training",
}
BY_DEFAULT = ("rows", "heads", "greedy", "grid", "teams", "attention", "memory", "worlds")

REPEATS, TURN_SECONDS = 20, 5e-3
QUICK_REPEATS, QUICK_TURN_SECONDS = 3, 2e-4


@dataclass(frozen=True)
class BenchSettings:
    """What is measured and how.

    Attributes:
        only: Groups, and shapes such as "4096x78", which leave out the others; empty means
            every group but training.
        against: Contenders by name; empty means all. maskrl always takes part.
        quick: The smallest shapes and few repeats: whether everything works, not how fast.
        repeats: Turns of every contender, at least 20 for figures that are quoted.
        threads: Of torch and of the kernels; None means as many as there are cores.
    """

    only: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    quick: bool = False
    repeats: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("repeats", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name}: expected a positive whole number, got {value}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups to measure, in order."""
        named = [word for word in self.only if word in GROUPS]
        return tuple(g for g in GROUPS if g in named) if named else BY_DEFAULT

    @property
    def cases(self) -> tuple[str, ...]:
        """Words of `only` that name no group: parts of names of cases."""
        return tuple(word for word in self.only if word not in GROUPS)

    def takes(self, task: Task) -> bool:
        """Whether a task's case was asked for."""
        return not self.cases or any(word in task.name for word in self.cases)


Tell = Callable[[str, str], None]
"""Called with the group and the task that is measured next."""


def run_bench(
    settings: BenchSettings,
    *,
    contenders: Sequence[Contender] = CONTENDERS,
    tell: Tell = lambda group, task: None,
    keep: Callable[[Results], object] = lambda results: None,
) -> Results:
    """Measure.

    Args:
        settings: What and how.
        contenders: Who may take part.
        tell: Hears what is being measured.
        keep: Gets what there is after each cell, so that a run that is stopped was not for
            nothing.

    Raises:
        ConfigError: A contender is unknown, or nothing matches `only`.
    """
    threads = settings.threads or available_cores()
    repeats = settings.repeats or (QUICK_REPEATS if settings.quick else REPEATS)
    seconds = QUICK_TURN_SECONDS if settings.quick else TURN_SECONDS
    chosen = choose_contenders(contenders, settings.against)
    keep_freed_memory()
    with _threads(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        entrants, participants = enter(chosen)
        results = Results(
            machine=describe_machine(threads),
            settings={**dataclasses.asdict(settings), "repeats": repeats, "turn_seconds": seconds},
            participants=participants,
        )
        for group in settings.groups:
            if group in ("memory", "training"):
                tell(group, GROUPS[group])
                cells, notes = _measured_by_group(group, entrants, settings, threads, repeats)
                results.cells += cells
                results.notes += notes
                keep(results)
                continue
            for task in _tasks(group, entrants, quick=settings.quick):
                if settings.takes(task) and task.runs:
                    tell(group, task.name)
                    results.cells.append(measure(task, repeats=repeats, seconds=seconds))
                    keep(results)
    if not results.cells and not results.notes:
        raise ConfigError(
            f"--only {' '.join(settings.only)}: nothing matches. Groups: {', '.join(GROUPS)}; "
            "other words are searched in the names of cases, such as 4096x78 or learning."
        )
    if not settings.quick:
        results.goals = goals(results.cells, results.kinds())
    return results


def choose_contenders(contenders: Sequence[Contender], against: Sequence[str]) -> list[Contender]:
    """Those named, by their name or the beginning of it, and maskrl.

    Raises:
        ConfigError: A name fits nobody.
    """
    if not against:
        return list(contenders)
    for word in against:
        if not any(c.name.startswith(word) for c in contenders):
            names = ", ".join(c.name for c in contenders)
            raise ConfigError(f"--against {word}: no such contender; there are {names}")
    return [
        c
        for c in contenders
        if c.name == OURS_NAME or any(c.name.startswith(word) for word in against)
    ]


def enter(contenders: Sequence[Contender]) -> tuple[list[Entrant], list[Participant]]:
    """Import everybody's library; who cannot be imported is missing, with the reason."""
    entrants, participants = [], []
    for contender in contenders:
        reason = None
        try:
            with settled_imports():
                entrants.append(Entrant(contender, contender.load()))
        except ImportError as error:
            reason = f"cannot be imported: {error}"
        participants.append(
            Participant(
                name=contender.name,
                kind=contender.kind,
                about=contender.about,
                package=contender.package,
                version=contender.version(),
                missing=reason,
            )
        )
    return entrants, participants


@contextlib.contextmanager
def settled_imports() -> Iterator[None]:
    """Keep other people's deprecation warnings and their settings of torch out of this process."""
    before = torch.distributions.Distribution._validate_args
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)


def _tasks(group: str, entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    if group == "worlds":
        return worlds.worlds(quick=quick)
    if group == "teams":
        return teams.teams(quick=quick)
    if group == "grid":
        tasks = (made(entrants, quick=quick) for made in (grid.grid, grid_maps.grid_maps))
        return chain.from_iterable(tasks)
    makers = {
        "rows": rows.one_choice,
        "heads": rows.several_heads,
        "greedy": rows.greedy,
        "attention": attention.attention,
    }
    return makers[group](entrants, quick=quick)


def _measured_by_group(
    group: str, entrants: Sequence[Entrant], settings: BenchSettings, threads: int, repeats: int
) -> tuple[list[CellResult], list[str]]:
    if group == "memory":
        return memory.memory(entrants, quick=settings.quick, threads=threads)
    return training(quick=settings.quick, threads=threads, repeats=repeats)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Give torch and Numba so many threads, and what they had afterwards."""
    before: tuple[int, Any] = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(number)
    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])

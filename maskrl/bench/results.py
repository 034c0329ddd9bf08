"""What a comparison measured, as plain data: JSON for programs, read by the tables.

A `CellResult` is one task (a shape, a share allowed, a workload) with a `Timing` for every
contender. Ratios are of medians within the cell: how many times as long as maskrl.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskrl.errors import ConfigError, RunFolderError

FORMAT = 1
OURS_NAME = "maskrl"


@dataclass(frozen=True)
class Timing:
    """How long one contender took in one cell.

    Attributes:
        contender: Its name.
        median: Seconds per call, median over the repeats.
        quartiles: First and third quartile of the same.
        repeats: Turns.
        calls: Calls per turn.
        error: Largest error against float64, None where nothing was compared.
        wrong: What is off, if anything.
    """

    contender: str
    median: float
    quartiles: tuple[float, float]
    repeats: int
    calls: int
    error: float | None = None
    wrong: str | None = None

    @classmethod
    def of(cls, contender: str, seconds: np.ndarray, calls: int, **more: Any) -> Timing:
        """From seconds per call `[repeats]`."""
        low, median, high = (float(q) for q in np.percentile(seconds, [25, 50, 75]))
        return cls(contender, median, (low, high), len(seconds), calls, **more)


@dataclass(frozen=True)
class CellResult:
    """One task and everybody's time for it.

    Attributes:
        group: What it belongs to.
        case: The shape, or the world.
        workload: What is done.
        allowed: Share of the actions that is allowed, None where that does not vary.
        timings: One per contender that took part.
        steps: Environment steps in a call, where rates say more than times.
        ours: Whose time the ratios are of.
        unit: What `median` counts: "seconds", or "bytes" of memory.
    """

    group: str
    case: str
    workload: str
    allowed: float | None
    timings: tuple[Timing, ...]
    steps: int | None = None
    ours: str = OURS_NAME
    unit: str = "seconds"

    def timing(self, contender: str) -> Timing | None:
        """The timing of a contender, None if it did not take part."""
        return next((t for t in self.timings if t.contender == contender), None)

    def ratio(self, contender: str) -> float | None:
        """How many times as much as maskrl a contender takes; None if one of them is missing."""
        ours, theirs = self.timing(self.ours), self.timing(contender)
        if ours is None or theirs is None or ours.median <= 0:
            return None
        return theirs.median / ours.median

    @property
    def name(self) -> str:
        """For people: "4096x78, 2 % allowed, acting"."""
        share = "" if self.allowed is None else f", {100 * self.allowed:g} % allowed"
        return f"{self.case}{share}, {self.workload}"


@dataclass(frozen=True)
class Goal:
    """A figure that the project set itself.

    Attributes:
        name: What is measured.
        value: What was measured.
        target: What is wanted.
        at_least: Whether more is better.
        where: The cell that decides, where there is one.
    """

    name: str
    value: float
    target: float
    at_least: bool = True
    where: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure is on the right side of the target."""
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Participant:
    """A contender as the results name it: with its version, or why it is missing."""

    name: str
    kind: str
    about: str
    package: str
    version: str | None
    missing: str | None = None


@dataclass
class Results:
    """Everything one run measured.

    Attributes:
        machine: Processor, cores, threads and versions.
        settings: Of the run.
        participants: Everybody asked to take part, those that are missing included.
        cells: In the order in which they were measured.
        goals: The project's own targets.
        notes: What was left out, and why.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    participants: list[Participant]
    cells: list[CellResult] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def groups(self) -> list[str]:
        """Groups that have cells, in order."""
        return list(dict.fromkeys(cell.group for cell in self.cells))

    def kinds(self) -> dict[str, str]:
        """Kind of each participant by name."""
        return {p.name: p.kind for p in self.participants}

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the ratios; numbers that JSON lacks are null."""
        data = dataclasses.asdict(self)
        for cell, plain in zip(self.cells, data["cells"], strict=True):
            for timing in plain["timings"]:
                timing["ratio"] = cell.ratio(timing["contender"])
        for goal, plain in zip(self.goals, data["goals"], strict=True):
            plain["reached"] = goal.reached
        result: dict[str, Any] = _finite({"format": FORMAT, **data})
        return result

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Results:
        """From what `to_json` wrote.

        Raises:
            ConfigError: It is of another format.
        """
        if data.get("format") != FORMAT:
            raise ConfigError(
                f"bench results: format is {data.get('format')!r}, expected {FORMAT}; "
                "measure again with this version"
            )
        return cls(
            machine=dict(data["machine"]),
            settings=dict(data["settings"]),
            participants=[Participant(**p) for p in data["participants"]],
            cells=[_cell(c) for c in data["cells"]],
            goals=[Goal(**{k: v for k, v in g.items() if k != "reached"}) for g in data["goals"]],
            notes=list(data["notes"]),
        )

    def write(self, path: Path) -> Path:
        """Write the JSON file.

        Raises:
            RunFolderError: It cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", "utf-8")
        except OSError as error:
            raise RunFolderError(
                f"cannot write {path}: {error.strerror or error}. Choose another --out."
            ) from error
        return path

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read the JSON file.

        Raises:
            RunFolderError: There is none, or it is damaged.
            ConfigError: It is of another format.
        """
        try:
            return cls.from_json(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise RunFolderError(f"cannot read {path} as bench results: {error}") from error


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean; NaN of nothing."""
    if not values:
        return math.nan
    return math.exp(sum(math.log(v) for v in values) / len(values))


def _cell(data: Mapping[str, Any]) -> CellResult:
    timings = []
    for timing in data["timings"]:
        plain = {k: v for k, v in timing.items() if k != "ratio"}
        if plain["wrong"] is not None and plain["error"] is None:
            plain["error"] = math.inf
        plain["quartiles"] = tuple(plain["quartiles"])
        timings.append(Timing(**plain))
    return CellResult(**{**data, "timings": tuple(timings)})


def _finite(value: Any) -> Any:
    """The same with null where a number is infinite or NaN, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value

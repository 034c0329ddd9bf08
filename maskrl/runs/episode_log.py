"""Every episode of a training, one row each: what comparisons draw their curves from.

Means over the last hundred episodes lag behind what an agent can do; from the episodes
themselves one sees when a return was first reached. Like the metrics the file holds no
time, and a resumed run first cuts off what lies past the step that it continues from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskrl.errors import RunFolderError
from maskrl.runs.json_file import write_bytes_atomic

COLUMNS = ("step", "return", "length", "charged")
"""Environment steps of the training when it ended; the sum of its rewards without penalties for
disallowed actions; its steps; and those penalties."""

_HEADER = ",".join(COLUMNS) + "\n"


@dataclass(frozen=True)
class EpisodeTable:
    """The episodes of a training, in the order in which they ended.

    Attributes:
        step: `[E]` int64.
        returned: `[E]` float64, without penalties.
        length: `[E]` int64.
        charged: `[E]` float64, the penalties.
    """

    step: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    returned: np.ndarray = field(default_factory=lambda: np.zeros(0))
    length: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    charged: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self.step)


class EpisodeLog:
    """Appends episodes to a run's file; every row is on disk when `write` returns.

    Args:
        path: The file.
        resume_step: Rows past it are cut off first; 0 begins anew.

    Raises:
        RunFolderError: The file cannot be written, or the old one is damaged.
    """

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        self.path = path
        lines = [line for line in _lines(path) if _step_of(line, path) <= resume_step]
        write_bytes_atomic(path, "".join((_HEADER, *lines)).encode())

    def write(self, episodes: Iterable[tuple[int, float, int, float]]) -> None:
        """Append episodes: step, return, length and charge of each.

        Raises:
            RunFolderError: The file cannot be written.
        """
        text = "".join(
            f"{step},{_number(returned)},{length},{_number(charged)}\n"
            for step, returned, length, charged in episodes
        )
        if not text:
            return
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self.path}: {error.strerror or error}. Is the disk full?"
            ) from error


def read_episodes(path: str | Path) -> EpisodeTable:
    """The episodes of a run; none where there is no such file. A row cut short is left out.

    Raises:
        RunFolderError: The file is damaged; names the line.
    """
    path = Path(path)
    rows = []
    for number, line in enumerate(_lines(path), 2):
        try:
            step, returned, length, charged = line.split(",")
            rows.append((int(step), float(returned), int(length), float(charged)))
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged at line {number}: {error}.") from error
    if not rows:
        return EpisodeTable()
    steps, returns, lengths, charges = zip(*rows, strict=True)
    return EpisodeTable(
        np.array(steps, np.int64),
        np.array(returns, np.float64),
        np.array(lengths, np.int64),
        np.array(charges, np.float64),
    )


def _lines(path: Path) -> list[str]:
    """Whole rows of the file, without the header."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}.") from error
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    if lines and lines[0] != _HEADER:
        raise RunFolderError(f"{path} is damaged: line 1 is {lines[0]!r}, expected {_HEADER!r}.")
    return lines[1:]


def _step_of(line: str, path: Path) -> int:
    try:
        return int(line.partition(",")[0])
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}.") from error


def _number(value: float) -> str:
    """Shortest text that reads back as exactly this number; whole numbers without `.0`."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)

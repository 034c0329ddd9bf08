"""The curves of a run: a CSV file that equal runs reproduce to the digit, and TensorBoard.

`metrics.csv` has one row per step that was written, no time and no path in it, and a
header that grows when a new name turns up. Times go to `timings.csv`. A resumed run
first cuts off the rows past the step that it continues from, so that the file of an
interrupted run ends up equal to that of an uninterrupted one.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.json_file import write_bytes_atomic
from maskrl.runs.run_dir import RunDir

_DAMAGED = "Delete the file to go on without the curves so far; checkpoints are not in it."


class MetricsWriter:
    """Appends to a run's curves; every row is on disk when `write` returns.

    Args:
        run_dir: The run's folder.
        resume_step: Rows past this step are cut off first; None or 0 begins anew.
        tensorboard: Also write TensorBoard's event files.

    Raises:
        RunFolderError: The files cannot be written, or the old ones are damaged.
    """

    def __init__(
        self, run_dir: RunDir, *, resume_step: int | None = None, tensorboard: bool = True
    ) -> None:
        self._metrics = _Table(run_dir.metrics_path, resume_step or 0)
        self._timings = _Table(run_dir.timings_path, resume_step or 0)
        self._events = _Events(run_dir.tensorboard_path, resume_step) if tensorboard else None

    def write(
        self,
        step: int,
        metrics: Mapping[str, float],
        timings: Mapping[str, float] | None = None,
    ) -> None:
        """Write what is known at one step; a second call for the same step adds to its row.

        Args:
            step: Environment steps so far; never less than in the call before.
            metrics: Reproducible numbers by name; a `step` among them is left out.
            timings: Seconds and rates, which differ from run to run.

        Raises:
            ConfigError: The step is less than that of the call before.
        """
        self._metrics.write(step, metrics)
        if timings:
            self._timings.write(step, timings)
        if self._events is not None:
            self._events.write(step, {**(timings or {}), **metrics})

    def close(self) -> None:
        """Close the files; the CSV files are complete without it."""
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Return a metrics or timings file as columns.

    Args:
        path: `metrics.csv` or `timings.csv` of a run.

    Returns:
        By name, `step` first: `[rows]` float64, NaN where a row has no value. Empty where
        there is no such file or no row yet. A row that a kill cut short is left out.

    Raises:
        RunFolderError: the file is damaged; names the line.
    """
    names, rows = _read_table(Path(path))
    columns: dict[str, np.ndarray] = {}
    for name in names:
        columns[name] = np.array([row.get(name, float("nan")) for row in rows], dtype=np.float64)
    return columns


class _Table:
    """One CSV file with a `step` column: appends rows, grows its header, merges equal steps."""

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        self.names: list[str] = ["step"]
        self.rows: list[dict[str, float]] = []
        if resume_step > 0:
            names, rows = _read_table(path)
            self.names = names or ["step"]
            self.rows = [row for row in rows if row["step"] <= resume_step]
        self._rewrite()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row, or add to the last one where the step is the same."""
        row = {name: float(value) for name, value in values.items() if name != "step"}
        last = self.rows[-1] if self.rows else None
        if last is not None and step < last["step"]:
            raise ConfigError(
                f"MetricsWriter.write: step {step} comes after step {int(last['step'])} in "
                f"{self.path.name}; steps must not fall"
            )
        new_names = [name for name in row if name not in self.names]
        self.names += new_names
        merge = last is not None and last["step"] == step
        if last is not None and merge:
            last.update(row)
        else:
            self.rows.append({"step": float(step), **row})
        if new_names or merge:
            self._rewrite()
        else:
            try:
                with open(self.path, "a", encoding="utf-8", newline="") as file:
                    file.write(self._line(self.rows[-1]))
            except OSError as error:
                raise RunFolderError(
                    f"cannot write {self.path}: {error.strerror or error}. Is the disk full?"
                ) from error

    def _line(self, row: Mapping[str, float]) -> str:
        cells = [str(int(row["step"]))]
        cells += [_cell(row[name]) if name in row else "" for name in self.names[1:]]
        return _csv_line(cells)

    def _rewrite(self) -> None:
        text = _csv_line(self.names) + "".join(self._line(row) for row in self.rows)
        write_bytes_atomic(self.path, text.encode())


class _Events:
    """TensorBoard's event files, written without TensorFlow."""

    def __init__(self, folder: Path, resume_step: int | None) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event: Any = event_pb2.Event
        self._summary: Any = summary_pb2.Summary
        try:
            folder.mkdir(parents=True, exist_ok=True)
            continued = any(folder.iterdir())
            self._writer = EventFileWriter(os.fspath(folder))
        except OSError as error:
            raise RunFolderError(f"cannot write {folder}: {error.strerror or error}.") from error
        if continued:
            # Tells TensorBoard to forget what an interrupted run wrote past this step.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            step = (resume_step or 0) + 1
            self._writer.add_event(self._event(wall_time=time.time(), step=step, session_log=start))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add one scalar per name; NaN and infinities are left out."""
        summary = self._summary(
            value=[
                self._summary.Value(tag=name, simple_value=float(value))
                for name, value in values.items()
                if name != "step" and np.isfinite(value)
            ]
        )
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Write out and close."""
        self._writer.close()


def _cell(value: float) -> str:
    """Shortest text that reads back as exactly this number; whole numbers without `.0`."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _read_table(path: Path) -> tuple[list[str], list[dict[str, float]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}. {_DAMAGED}") from error
    lines = text.split("\n")
    lines.pop()  # empty, or a row that a kill cut short
    if not lines:
        return [], []
    names, *table = list(csv.reader(lines))
    if names[:1] != ["step"]:
        raise RunFolderError(f"{path} is damaged: line 1 is no header with a step. {_DAMAGED}")
    rows = []
    for number, cells in enumerate(table, 2):
        try:
            if len(cells) != len(names):
                raise ValueError(f"{len(cells)} cells for {len(names)} names")
            rows.append({n: float(c) for n, c in zip(names, cells, strict=True) if c != ""})
            int(rows[-1]["step"])
        except (ValueError, KeyError, OverflowError) as error:
            raise RunFolderError(
                f"{path} is damaged at line {number}: {error}. {_DAMAGED}"
            ) from error
    return names, rows

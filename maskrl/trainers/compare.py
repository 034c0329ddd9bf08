"""Several seeds on several environments, one process per core, and what they come to.

Every run has its folder below the comparison's. A run that is finished is not repeated,
one that was killed goes on from its checkpoint, so the same call can be made again until
all is done. Comparing the same agent with and without sight gives the price of not
seeing: the ratio of the two mean scores.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.comparison import FORMAT, MASKED, REMOVED, SETTINGS_FILE, finished_test
from maskrl.runs.json_file import read_json, to_json, write_json
from maskrl.runs.run_dir import RunDir, env_slug
from maskrl.trainers.compare_worker import (
    FAILED,
    FINISHED,
    STARTING,
    STOPPED,
    STOPPING,
    Job,
    Report,
    work,
)

Listener = Callable[[int, Report], None]


@dataclass(frozen=True)
class Contender:
    """One environment of a comparison and how to train on it.

    Attributes:
        label: Its name in tables, e.g. "panda?sight=full" or "panda, naive".
        env_id: Without settings.
        env_kwargs: Its settings.
        config: The algorithm's settings as plain data; one thread.
        total_steps: Per run.
        max_minutes: Of training per run, or None.
        algorithm: Out of `maskrl.trainers.algorithms.ALGORITHMS`.
        env: The environment with its settings, without the regime; the label where not given.
        regime: How what is impossible is told.
        varied: What else tells it from its neighbours: key -> value.
        removed: Settings of the environment with which its agents are tested once more, to see
            what they do when the mask is taken away; None for no such test.
    """

    label: str
    env_id: str
    env_kwargs: Mapping[str, Any]
    config: Mapping[str, Any]
    total_steps: int
    max_minutes: float | None = None
    algorithm: str = "ppo"
    env: str = ""
    regime: str = MASKED
    varied: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, Any] | None = None

    def about(self) -> dict[str, Any]:
        """What it is called and where its runs lie, as plain data."""
        return {
            "env": self.env or self.label,
            "regime": self.regime,
            "varied": dict(self.varied),
            "algorithm": self.algorithm,
            "folder": env_slug(self.label),
        }

    def settings(self) -> dict[str, Any]:
        """What makes two runs comparable, as plain data."""
        return {
            "env": self.env_id,
            "env_kwargs": dict(self.env_kwargs),
            "total_steps": self.total_steps,
            "max_minutes": self.max_minutes,
            self.algorithm: dict(self.config),
        }


def plan_jobs(
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    out: Path,
    *,
    episodes: int,
    threshold: float | None = None,
    window: int = 10,
) -> list[Job]:
    """Every run of a comparison, seed by seed, and the folder of each.

    Args:
        contenders: At least one; no two with the same label.
        seeds: At least one; no two equal.
        out: The comparison's folder: new, or one that was begun with the same settings.
        episodes: Test episodes per run.
        threshold: Of the return, for the steps to reach it; None for one that the results say.
        window: Training episodes whose mean is to reach it.

    Raises:
        ConfigError: Nothing to compare, something twice, or two with one folder.
        RunFolderError: The folder cannot be written, holds something else, or a comparison
            with other settings.
    """
    labels = [contender.label for contender in contenders]
    named: tuple[tuple[str, list[Any]], ...] = (("environment", labels), ("seed", list(seeds)))
    for name, values in named:
        if not values:
            raise ConfigError(f"compare: needs at least one {name}")
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(f"compare: the {name} {value} is given more than once")
    folders = [env_slug(label).lower() for label in labels]
    for label, folder in zip(labels, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError(f"compare: {label!r} and another one would share the folder {folder}")
    last = {"seeds": list(seeds), "episodes": episodes, "threshold": threshold, "window": window}
    _write_settings(contenders, out, last)
    return [
        Job(
            contender.env_id,
            contender.env_kwargs,
            seed,
            contender.config,
            contender.total_steps,
            contender.max_minutes,
            episodes,
            out / env_slug(contender.label) / f"seed-{seed}",
            contender.algorithm,
            contender.removed,
        )
        for seed in seeds
        for contender in contenders
    ]


def finished_evaluation(job: Job) -> dict[str, Any] | None:
    """The test of a run that needs no more work, else None."""
    if not (job.folder / "config.json").is_file():
        return None
    evaluation = finished_test(
        RunDir(job.folder),
        episodes=job.episodes,
        total_steps=job.total_steps,
        max_minutes=job.max_minutes,
    )
    if evaluation is None:
        return None
    if job.removed is not None:
        looked = evaluation.get(REMOVED, {}).get("env_kwargs")
        if looked != read_back(job.removed):
            return None
    return evaluation


def run_jobs(jobs: Sequence[Job], *, workers: int, listen: Listener) -> list[str]:
    """Make every run, at most `workers` at a time, each with one thread.

    Args:
        jobs: The runs.
        workers: Processes at a time, at least 1.
        listen: Called with a job's number and a `Report` whenever something changes.

    Returns:
        The state of every run at the end: finished, stopped or failed.

    Raises:
        ConfigError: `workers` is below 1.

    Ctrl-C and SIGTERM let the workers save and end; a second one kills them.
    """
    if workers < 1:
        raise ConfigError(f"compare: workers must be at least 1, got {workers}")
    states = [STOPPED] * len(jobs)
    waiting: deque[int] = deque()
    for number, job in enumerate(jobs):
        if finished_evaluation(job) is None:
            waiting.append(number)
        else:
            states[number] = FINISHED
            listen(number, Report(FINISHED))
    active: dict[connection.Connection, tuple[int, Any]] = {}

    def hear(number: int, report: Report) -> None:
        states[number] = report.state
        listen(number, report)

    with _stop_signals() as signals, _one_thread_each():
        while active or (waiting and not signals):
            while waiting and len(active) < workers and not signals:
                number = waiting.popleft()
                pipe, process = _start(jobs[number])
                active[pipe] = (number, process)
                hear(number, Report(STARTING))
            for number, process in active.values():
                if _stop(process, len(signals)):
                    hear(number, Report(STOPPING))
            for ready in connection.wait(list(active), timeout=0.2):
                pipe = ready  # type: ignore[assignment]
                number, process = active[pipe]
                try:
                    hear(number, pipe.recv())
                except (EOFError, OSError):
                    del active[pipe]
                    process.join()
                    hear(number, _last_word(states[number], process.exitcode, bool(signals)))
    return states


def _start(job: Job) -> tuple[connection.Connection, Any]:
    """A new process on a job, deaf to the terminal's Ctrl-C from its first moment."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, theirs, os.getpid()), daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()
    return ours, process


def _stop(process: Any, wishes: int) -> bool:
    """Once asked, let a worker save and end; asked again, end it. Whether this was news."""
    if wishes > 1:
        process.kill()
    if wishes == 0 or getattr(process, "asked_to_stop", False):
        return False
    process.asked_to_stop = True
    process.terminate()
    return True


def _last_word(state: str, exitcode: int | None, stopping: bool) -> Report:
    """What to say of a worker that is gone."""
    if state in (FINISHED, FAILED, STOPPED):
        return Report(state)
    if stopping:
        return Report(STOPPED)
    how = f"by signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"({exitcode})"
    return Report(FAILED, message=f"its process was ended {how}; the same call goes on with it")


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying from them."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda n, frame: received.append(n)) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside use one thread for arithmetic: there is one per core."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _write_settings(contenders: Sequence[Contender], out: Path, last: Mapping[str, Any]) -> None:
    """Note the settings, or check that they are those that the comparison was begun with.

    What was compared before and is not now stays, with its runs; the seeds are those of before
    and now.
    """
    path = out / SETTINGS_FILE
    known: dict[str, Any] = {}
    about: dict[str, Any] = {}
    seeds = list(last["seeds"])
    if path.is_file():
        advice = "Choose another --out to begin a new comparison."
        written = read_json(path, advice=advice)
        if written.get("format") != FORMAT:
            raise RunFolderError(
                f"{path} has format {written.get('format')!r}, this version of maskrl writes "
                f"{FORMAT}. {advice}"
            )
        known, about = written["contenders"], written["about"]
        seeds = sorted({*seeds, *written["seeds"]})
    elif out.is_dir() and any(out.iterdir()):
        raise RunFolderError(
            f"{out} is not empty and holds no comparison ({SETTINGS_FILE} is missing). "
            "Choose another --out."
        )
    for contender in contenders:
        settings = read_back(contender.settings())
        earlier = known.setdefault(contender.label, settings)
        if not _equal(earlier, settings):
            raise RunFolderError(
                f"{out} holds a comparison with other settings for {contender.label}: "
                f"{_first_difference(earlier, settings)}. Use the same settings to go on with "
                "it, or choose another --out."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot write the folder {out}: {error.strerror or error}. Choose another --out."
        ) from error
    about |= {contender.label: read_back(contender.about()) for contender in contenders}
    write_json(
        path, {"format": FORMAT, **last, "seeds": seeds, "contenders": known, "about": about}
    )


def read_back(settings: Any) -> Any:
    """Settings as they come back from a file: tuples as lists."""
    import json

    return json.loads(to_json(settings))


def _equal(earlier: Any, now: Any) -> bool:
    """Whether settings are the same; one that did not exist then is None unless it is used."""
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        return all(_equal(earlier.get(key), now.get(key)) for key in {*earlier, *now})
    return bool(earlier == now)


def _first_difference(earlier: Any, now: Any, name: str = "") -> str:
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        for key in [*earlier, *now]:
            if not _equal(earlier.get(key), now.get(key)):
                return _first_difference(earlier.get(key), now.get(key), f"{name}.{key}")
    return f"{name.lstrip('.')} was {earlier!r} and is now {now!r}"

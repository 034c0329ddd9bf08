"""One run of a comparison, in a process of its own: train or go on, test, say how it goes.

The parent gets short messages through a pipe. SIGTERM ends a run after the update under
way, saved; a worker whose parent is gone does the same by itself.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from maskrl.errors import MaskrlError
from maskrl.runs.checkpoint import checkpoint_exists, load_checkpoint
from maskrl.runs.comparison import REMOVED
from maskrl.runs.run_dir import RunDir
from maskrl.runs.run_lock import hold_run
from maskrl.trainers.callbacks import Callback

WAITING, STARTING, TRAINING, TESTING = "waiting", "starting", "training", "testing"
STOPPING, STOPPED, FINISHED, FAILED = "stopping", "stopped", "finished", "failed"
_SECONDS_BETWEEN_MESSAGES = 0.5
_SECONDS_FOR_A_PREDECESSOR = 60.0  # one that lost its parent ends after its update
ERROR_FILE = "error.txt"


@dataclass(frozen=True)
class Job:
    """One run to be made, all of it picklable.

    Attributes:
        env_id: What to train on, without settings.
        env_kwargs: The environment's settings.
        seed: Of the run.
        config: The algorithm's settings as plain data.
        total_steps: To train up to.
        max_minutes: Of training, or None.
        episodes: Of the test.
        folder: Where it is written.
        algorithm: Out of `maskrl.trainers.algorithms.ALGORITHMS`.
        removed: Settings of the environment for a test without the mask, or None.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    seed: int
    config: Mapping[str, Any]
    total_steps: int
    max_minutes: float | None
    episodes: int
    folder: Path
    algorithm: str = "ppo"
    removed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Report:
    """How a run is going: `state` is one of this module's words, `facts` are for people."""

    state: str
    facts: dict[str, float] = field(default_factory=dict)
    message: str = ""


def work(job: Job, pipe: Connection, parent: int) -> None:
    """Entry point of the process.

    Args:
        job: What to do.
        pipe: Where reports go.
        parent: Process id of the comparison; without it there is nothing to do.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C in the terminal reaches the parent alone, which decides
    logging.getLogger("maskrl").setLevel(logging.ERROR)  # the parent's display tells the rest
    from maskrl.trainers.interrupt import TrainingInterrupted

    def tell(state: str, message: str = "", **facts: float) -> None:
        try:
            pipe.send(Report(state, facts, message))
        except OSError:
            return  # the parent is gone; the callback notices that by itself

    try:
        train_and_test(job, tell, parent)
    except TrainingInterrupted:
        tell(STOPPED)
    except MaskrlError as error:
        tell(FAILED, str(error))
    except Exception as error:
        where = _keep_traceback(job.folder)
        tell(FAILED, f"{type(error).__name__}: {error} ({where})")
    finally:
        pipe.close()


def train_and_test(job: Job, tell: Any, parent: int) -> None:
    """Make the run, or what is missing of it.

    Args:
        job: What to do.
        tell: Called with a state and facts.
        parent: Process id whose end ends this run too, saved.
    """
    import torch

    from maskrl.trainers.final_evaluation import evaluate_run, evaluate_without_mask
    from maskrl.trainers.validation import Validator

    torch.set_num_threads(1)
    tell(STARTING)
    run = _folder(job)
    with hold_run(run, wait_seconds=_SECONDS_FOR_A_PREDECESSOR):
        trainer = _trainer(job, run)
        trainer.log_episodes = True
        config = trainer.config
        validator = None
        if config.evaluate_every:
            validator = Validator(
                job.env_id,
                episodes=config.evaluation_episodes,
                env_kwargs=job.env_kwargs,
                seed=job.seed,
            )
            validator.prepare()
        reporter = _Reporter(tell, parent)
        trainer.learn(
            job.total_steps,
            run_dir=run,
            callbacks=[reporter],
            max_minutes=job.max_minutes,
            evaluator=validator,
        )
        if reporter.orphaned:
            return
        tell(TESTING, fraction=1.0, steps=trainer.steps, **reporter.facts)
        result = evaluate_run(run, episodes=job.episodes)
        figures = result.to_json()
        if job.removed is not None:
            # Written with the rest or not at all: a kill in between repeats both.
            figures[REMOVED] = evaluate_without_mask(
                run, env_kwargs=job.removed, episodes=job.episodes
            )
        run.write_evaluation(figures)
        (job.folder / ERROR_FILE).unlink(missing_ok=True)  # of a try before this one
    score = result.greedy.score
    facts = {} if score is None else {"score": score}
    if trainer.elapsed > 0:
        facts["speed"] = trainer.steps / trainer.elapsed
    tell(FINISHED, steps=trainer.steps, mean=result.greedy.mean, **facts)


def _keep_traceback(folder: Path) -> str:
    """Write the traceback of what is being handled into a run's folder, and say where it is.

    The folder may be missing, or be what cannot be written; then its last lines are all there is.
    """
    text = traceback.format_exc()
    path = folder / ERROR_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        last = " ".join(text.strip().splitlines()[-3:-1]).split()
        return f"{' '.join(last)}; {path} cannot be written: {error.strerror or error}"
    return f"the traceback is in {path}"


def _folder(job: Job) -> RunDir:
    """The run's folder; one that holds settings but no checkpoint is begun anew."""
    if (job.folder / "config.json").is_file():
        return RunDir.open(job.folder)
    job.folder.mkdir(parents=True, exist_ok=True)
    return RunDir(job.folder)


def _trainer(job: Job, run: RunDir) -> Any:
    """The trainer where its last checkpoint left it, or a new one."""
    from maskrl.trainers.algorithms import ALGORITHMS

    known = ALGORITHMS[job.algorithm]
    if checkpoint_exists(run.last_checkpoint):
        trainer = known.trainer.load(run)
        saved_env = load_checkpoint(run.last_checkpoint)[1]["env_state"]
        if saved_env is not None or trainer.steps >= job.total_steps:
            return trainer
    # Nothing to go on from, or an environment that could not be saved: begin anew.
    run.clear()
    config = known.config.from_json(job.config)
    return known.trainer(job.env_id, config, seed=job.seed, env_kwargs=job.env_kwargs)


class _Reporter(Callback):
    """Tells the parent how training goes, and ends it when there is no parent any more."""

    def __init__(self, tell: Any, parent: int) -> None:
        self.tell = tell
        self.parent = parent
        self.facts: dict[str, float] = {}
        self.orphaned = False
        self._told = 0.0
        self._first: tuple[float, int] | None = None

    def on_start(self, trainer: Any) -> None:
        self._first = (time.monotonic(), trainer.steps)

    def on_rollout(self, trainer: Any, metrics: Mapping[str, float]) -> bool | None:
        now = time.monotonic()
        if os.getppid() != self.parent:
            self.orphaned = True
            return False
        if self._first is not None and now - self._told >= _SECONDS_BETWEEN_MESSAGES:
            self._told = now
            start, before = self._first
            speed = (trainer.steps - before) / max(now - start, 1e-9)
            self.facts["mean"] = metrics.get("return_mean", float("nan"))
            self.tell(
                TRAINING,
                steps=trainer.steps,
                fraction=trainer.fraction,
                speed=speed,
                **self.facts,
            )
        return None

    def on_evaluation(self, trainer: Any, result: Any) -> None:
        if getattr(result, "score", None) is not None:
            self.facts["score"] = float(result.score)

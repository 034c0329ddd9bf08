"""What surrounds the updates: metrics, evaluations, checkpoints, hooks and the end.

The order within an update is fixed, because a resumed run must repeat it: learn, write
the metrics, evaluate if due, save if due, ask the callbacks, look for a signal.
"""

from __future__ import annotations

import logging
import math
import numbers
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from maskrl.runs.checkpoint import checkpoint_exists
from maskrl.runs.episode_log import EpisodeLog
from maskrl.runs.metrics import MetricsWriter
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.callbacks import Callback, Callbacks
from maskrl.trainers.interrupt import InterruptWatch, TrainingInterrupted
from maskrl.trainers.threads import torch_threads
from maskrl.trainers.training_env import stored_kwargs

if TYPE_CHECKING:
    from maskrl.trainers.trainer import Trainer

logger = logging.getLogger("maskrl")

LONGEST_UNSAVED = 120.0
"""Seconds after which a checkpoint is due even if `checkpoint_every` steps are not over yet."""

SAVING_SHARE = 0.05
"""The most of the time that such checkpoints may take: a large memory is saved less often."""


class TrainingLoop:
    """One call of `learn`.

    Args:
        trainer: Of any algorithm.
        run_dir: Where to write, or None.
        callbacks: Called in this order.
        evaluator: From a policy to a result, or None.
    """

    def __init__(
        self,
        trainer: Trainer,
        run_dir: RunDir | str | Path | None,
        callbacks: Iterable[Callback],
        evaluator: Callable[[nn.Module], Any] | None,
    ) -> None:
        self.trainer = trainer
        self.run_dir = self._open(run_dir)
        self.hooks = Callbacks(callbacks)
        self.evaluator = evaluator if trainer.config.evaluate_every else None
        self.writer: MetricsWriter | None = None
        self.episodes: EpisodeLog | None = None
        self._before = self._saved_at = trainer.elapsed
        self._save_seconds = 0.0
        self._start = time.perf_counter()

    def run(self) -> None:
        """Train until steps or time are used up, a callback says so, or a signal comes.

        Raises:
            TrainingInterrupted: A signal came; what was learned is saved.
        """
        trainer = self.trainer
        threads = trainer.config.threads or 1
        with InterruptWatch() as watch, torch_threads(threads):
            if self.run_dir is not None:
                self._write_config(self.run_dir)
                self.writer = MetricsWriter(self.run_dir, resume_step=trainer.steps or None)
                self._keep_episodes(self.run_dir)
            trainer.run_dir = self.run_dir
            try:
                trainer.collector.begin()
                self._save_if_new()
                self.hooks.start(trainer)
                if self._train(watch) and trainer.last_evaluation != trainer.steps:
                    self._evaluate()
                self._save()
            finally:
                self._keep_time()
                try:
                    self.hooks.end(trainer)
                finally:
                    if self.writer is not None:
                        self.writer.close()
            if watch.received is not None:
                raise TrainingInterrupted(self._farewell(watch.received), watch.received)

    def _train(self, watch: InterruptWatch) -> bool:
        """Update after update; whether the end was reached rather than called for."""
        trainer, config = self.trainer, self.trainer.config
        while watch.received is None and self._more():
            metrics, timings = trainer.step()
            self._keep_time()
            if self.writer is not None:
                self.writer.write(trainer.steps, metrics, {"elapsed": trainer.elapsed, **timings})
            if self.episodes is not None:
                kept = trainer.collector.episode_record.kept or []
                self.episodes.write(kept)
                kept.clear()
            if trainer.steps - trainer.last_evaluation >= config.evaluate_every:
                self._evaluate()
            if config.checkpoint_every and self._unsaved(config.checkpoint_every):
                self._save()
            if not self.hooks.rollout(trainer, metrics):
                logger.info("a callback ended the training after %d steps", trainer.steps)
                return False
        return watch.received is None

    def _keep_episodes(self, run_dir: RunDir) -> None:
        """Write down every episode, if the trainer is to."""
        if self.trainer.log_episodes:
            self.episodes = EpisodeLog(run_dir.episodes_path, resume_step=self.trainer.steps)
            self.trainer.collector.episode_record.keep()

    def _more(self) -> bool:
        trainer = self.trainer
        self._keep_time()
        timed_out = trainer.max_seconds is not None and trainer.elapsed >= trainer.max_seconds
        return trainer.steps < trainer.total_steps and not timed_out

    def _unsaved(self, steps: int) -> bool:
        """Whether so many steps, or `LONGEST_UNSAVED` seconds, came since the last checkpoint."""
        trainer = self.trainer
        waited = trainer.elapsed - self._saved_at
        longest = max(LONGEST_UNSAVED, self._save_seconds / SAVING_SHARE)
        return trainer.steps - trainer.last_checkpoint >= steps or waited >= longest

    def _keep_time(self) -> None:
        self.trainer.elapsed = self._before + time.perf_counter() - self._start

    def _evaluate(self) -> None:
        if self.evaluator is None:
            return
        trainer = self.trainer
        trainer.last_evaluation = trainer.steps
        result = self.evaluator(trainer.policy)
        numbers = evaluation_metrics(result)
        if self.writer is not None and numbers:
            self.writer.write(trainer.steps, numbers)
        figure = numbers.get("eval_score", numbers.get("eval_return"))
        # Of equals the later one has learned more.
        if figure is not None and (trainer.best is None or figure >= trainer.best):
            trainer.best = figure
            if self.run_dir is not None:
                trainer.save(self.run_dir.best_checkpoint, lean=True)
        self.hooks.evaluation(trainer, result)

    def _save(self) -> None:
        if self.run_dir is not None:
            self._keep_time()
            start = time.perf_counter()
            self.trainer.save(self.run_dir.last_checkpoint)
            self._save_seconds = time.perf_counter() - start
            self.trainer.last_checkpoint = self.trainer.steps
            self._saved_at = self.trainer.elapsed

    def _save_if_new(self) -> None:
        """Save before the first step too, so that a run killed early is resumed like any other."""
        if self.run_dir is None or not self.trainer.config.checkpoint_every:
            return
        if not checkpoint_exists(self.run_dir.last_checkpoint):
            self._save()

    def _open(self, run_dir: RunDir | str | Path | None) -> RunDir | None:
        if run_dir is None or isinstance(run_dir, RunDir):
            return run_dir
        own = self.trainer.run_dir
        if own is not None and Path(run_dir).resolve() == own.path.resolve():
            return own
        return RunDir.create(run_dir)

    def _write_config(self, run_dir: RunDir) -> None:
        trainer = self.trainer
        earlier = run_dir.read_config() if run_dir.config_path.is_file() else {}
        run_dir.write_config(
            {
                **earlier,
                "algorithm": trainer.algorithm,
                "env": trainer.env_id,
                "env_name": trainer.env_name,
                "env_kwargs": stored_kwargs(trainer.env_kwargs),
                "seed": trainer.seeds.seed,
                "total_steps": trainer.total_steps,
                "max_minutes": None if trainer.max_seconds is None else trainer.max_seconds / 60,
                "threads": trainer.config.threads,
                trainer.algorithm: trainer.config.to_json(),
            }
        )

    def _farewell(self, name: str) -> str:
        trainer = self.trainer
        signal_name = "Ctrl-C" if name == "SIGINT" else name
        done = f"stopped by {signal_name} after {trainer.steps:,} of {trainer.total_steps:,} steps"
        if self.run_dir is None:
            return f"{done}; nothing was saved, because there is no run folder"
        path = self.run_dir.path
        return (
            f"{done}; saved in {path}. Go on: maskrl train --resume {path} "
            f"(in Python: {type(trainer).__name__}.load({str(path)!r})"
            f".learn({trainer.total_steps}, run_dir={str(path)!r}))"
        )


def evaluation_metrics(result: Any) -> dict[str, float]:
    """The numbers of an evaluation that belong into the metrics, each `eval_...`.

    Args:
        result: A mapping of numbers, or an `Evaluation` with `mean` (return) and `score`.
    """
    if isinstance(result, Mapping):
        found = {f"eval_{name}": value for name, value in result.items()}
    else:
        names = {
            "eval_return": "mean",
            "eval_score": "score",
            "eval_planner": "planner_mean",
            "eval_random": "random_mean",
            "eval_illegal_actions": "illegal_actions",
        }
        found = {ours: getattr(result, theirs, None) for ours, theirs in names.items()}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, numbers.Real) and not math.isnan(value)
    }

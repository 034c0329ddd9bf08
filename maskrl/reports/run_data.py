"""What a run folder holds, read once for a page: settings, curves, evaluation.

A report can be made of any run that has settings, also of one that was stopped
early or never evaluated: what is missing is NaN or empty here, and the sections
that need it leave themselves out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskrl.runs import RunDir, read_metrics

MAX_ROWS = 1500
"""Rows of the metrics that a page draws; more would only make it slow."""


@dataclass(frozen=True)
class RunData:
    """A run folder's contents.

    Attributes:
        config: the resolved settings.
        metrics: column -> [T] values, NaN where a row has none.
        timings: column -> [T] values of the timings file.
        evaluation: the final evaluation, empty where none was made.
        path: the folder, None for data that lies in no folder.
    """

    config: Mapping[str, Any]
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)
    timings: Mapping[str, np.ndarray] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def read(cls, run_dir: str | Path) -> RunData:
        """Read a run folder.

        Raises:
            RunFolderError: no run folder, or a damaged file in it.
        """
        run = RunDir.open(run_dir)
        return cls(
            config=run.read_config(),
            metrics=thinned(read_metrics(run.metrics_path)),
            timings=read_metrics(run.timings_path),
            evaluation=run.read_evaluation() or {},
            path=Path(run_dir),
        )

    @property
    def env_id(self) -> str:
        """The environment's id."""
        return str(self.config.get("env", "unknown environment"))

    @property
    def algorithm(self) -> str:
        """What trained it: "ppo", "dqn" or "sac"."""
        return str(self.config.get("algorithm", "ppo"))

    @property
    def by_value(self) -> bool:
        """Whether its agent takes the allowed action of the largest Q-value."""
        return self.algorithm == "dqn"

    @property
    def masked_targets(self) -> bool:
        """Whether targets took what the next state allows alone; False in the naive regime."""
        return bool(self.settings.get("masked_targets", True))

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the algorithm."""
        return self.config.get(self.algorithm) or {}

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """The settings of the environment."""
        return dict(self.config.get("env_kwargs") or {})

    @property
    def seed(self) -> int | None:
        """The seed of the run."""
        return self.config.get("seed")

    @property
    def step(self) -> np.ndarray:
        """[T] environment steps of the rows of the metrics."""
        return self.metrics.get("step", np.zeros(0))

    @property
    def steps(self) -> float:
        """Environment steps trained, 0 where no row was written."""
        return float(self.step[-1]) if self.step.size else 0.0

    def column(self, name: str) -> np.ndarray:
        """[T] a column of the metrics, all NaN where it was not written."""
        return self.metrics.get(name, np.full(self.step.shape, np.nan))

    def mean(self, name: str) -> float:
        """The mean over training of a column, NaN where it was not measured."""
        values = self.column(name)
        values = values[np.isfinite(values)]
        return float(values.mean()) if values.size else math.nan

    def last(self, name: str) -> float:
        """The last measured value of a column, NaN where there is none."""
        values = self.column(name)
        values = values[np.isfinite(values)]
        return float(values[-1]) if values.size else math.nan

    def evaluated(self, name: str) -> float:
        """A number of the final evaluation, NaN where it has none of this name."""
        value = self.evaluation.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        return math.nan

    @property
    def score(self) -> float:
        """(agent - random) / (planner - random) of the final evaluation."""
        return self.evaluated("score")

    @property
    def mean_return(self) -> float:
        """Mean return of the final evaluation."""
        return self.evaluated("mean")

    @property
    def training_return(self) -> float:
        """Mean return of the last 100 training episodes."""
        return self.last("return_mean")

    @property
    def planner_return(self) -> float:
        """The reference's mean return on the layouts of the final evaluation."""
        return self.evaluated("planner_mean")

    @property
    def reference_name(self) -> str:
        """What the planner's return is of: "planner", unless the environment says otherwise."""
        return str(self.evaluation.get("reference_name") or "planner")

    @property
    def is_team(self) -> bool:
        """Whether agents of a team were trained."""
        return "agents_acting" in self.metrics

    @property
    def is_off_policy(self) -> bool:
        """Whether it was learned from a memory of transitions."""
        return "replay_size" in self.metrics

    @property
    def random_return(self) -> float:
        """Mean return of random valid play."""
        return self.evaluated("random_mean")

    @property
    def untrained_return(self) -> float:
        """Mean return of the network before training."""
        return self.evaluated("untrained_mean")

    @property
    def episodes(self) -> float:
        """Episodes of the final evaluation."""
        return self.evaluated("episodes")

    @property
    def has_reference(self) -> bool:
        """Whether the environment has a planner to compare with."""
        return math.isfinite(self.planner_return)

    @property
    def illegal_actions(self) -> float:
        """Illegal actions executed in training and evaluation, NaN where never counted."""
        counts = [self.last("illegal_actions"), self.evaluated("illegal_actions")]
        finite = [value for value in counts if math.isfinite(value)]
        return sum(finite) if finite else math.nan

    @property
    def seconds(self) -> float:
        """Seconds of training, NaN where no timing was written."""
        values = self.timings.get("elapsed", np.zeros(0))
        values = values[np.isfinite(values)]
        return float(values[-1]) if values.size else math.nan


def thinned(metrics: Mapping[str, np.ndarray], rows: int = MAX_ROWS) -> dict[str, np.ndarray]:
    """At most about `rows` rows, evenly spaced, with every evaluation and the last row.

    Args:
        metrics: column -> [T].
        rows: how many are enough.

    Returns:
        The same columns, shorter.
    """
    step = metrics.get("step", np.zeros(0))
    if step.size <= rows:
        return dict(metrics)
    keep = np.zeros(step.size, dtype=np.bool_)
    keep[np.linspace(0, step.size - 1, rows).astype(np.int64)] = True
    for name, values in metrics.items():
        if name.startswith("eval_"):
            keep |= np.isfinite(values)
    return {name: values[keep] for name, values in metrics.items()}

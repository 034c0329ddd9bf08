"""What a comparison's folder holds, as plain values: every variant, every run, every curve.

`compare.json` says what was compared, each run's folder what came of it. A comparison can
be read at any time: runs that are not finished have no test yet, and their curves end
where they are. Nothing is computed here and nothing is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskrl.errors import RunFolderError
from maskrl.runs.episode_log import EpisodeTable, read_episodes
from maskrl.runs.json_file import read_json
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir

SETTINGS_FILE = "compare.json"
MASKED = "masked"
REMOVED = "mask_removed"
"""The entry of an evaluation with what the agent did when its mask was taken away."""

FORMAT = 2


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        path: Its folder; None where the run has not begun.
        seed: Of the run.
        evaluation: Its test, empty where there is none yet.
    """

    path: Path | None
    seed: int
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def episodes(self) -> EpisodeTable:
        """Every episode of the training; read when it is first asked for."""
        if self.path is None:
            return EpisodeTable()
        return read_episodes(RunDir(self.path).episodes_path)

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of its metrics, `step` first."""
        return {} if self.path is None else read_metrics(RunDir(self.path).metrics_path)

    @property
    def is_finished(self) -> bool:
        """Whether it was tested."""
        return bool(self.evaluation)

    @property
    def removed(self) -> Mapping[str, Any]:
        """What it did without its mask: `greedy` and `sampled`; empty where nobody looked."""
        found = self.evaluation.get(REMOVED)
        return found if isinstance(found, Mapping) else {}

    def last(self, metric: str) -> float:
        """The last measured value of a metric; NaN where there is none."""
        column = self.metrics.get(metric, np.zeros(0))
        known = column[np.isfinite(column)]
        return float(known[-1]) if known.size else math.nan

    @cached_property
    def speed(self) -> tuple[float, float]:
        """Environment steps of the training, and the seconds that it took, all resumptions in."""
        if self.path is None:
            return 0.0, 0.0
        timings = read_metrics(RunDir(self.path).timings_path)
        if not timings.get("step", np.zeros(0)).size:
            return 0.0, 0.0
        return float(timings["step"][-1]), float(timings["elapsed"][-1])


@dataclass(frozen=True)
class Variant:
    """One way of training on one environment, and its runs.

    Attributes:
        label: Its name in tables, e.g. "panda, naive" or "panda, ratio=head".
        env: The environment with its settings, e.g. "panda?sight=full", without the regime.
        regime: How what is impossible was told: "masked", "naive", "penalty:0.1", ...
        varied: What else tells it from its neighbours: key -> value.
        algorithm: That trained it.
        settings: Everything that makes its runs comparable.
        runs: In the order of the seeds.
        called: What stands for the regime in `name`: the regime where None, nothing where empty.
    """

    label: str
    env: str
    regime: str
    varied: Mapping[str, Any]
    algorithm: str
    settings: Mapping[str, Any]
    runs: tuple[ComparedRun, ...]
    called: str | None = None

    @property
    def finished(self) -> tuple[ComparedRun, ...]:
        """Its runs that were tested."""
        return tuple(run for run in self.runs if run.is_finished)

    @property
    def total_steps(self) -> int:
        """Environment steps that each run was to be trained for."""
        return int(self.settings.get("total_steps", 0))

    @property
    def name(self) -> str:
        """What it is called beside others on the same environment."""
        changes = [f"{key}={value}" for key, value in self.varied.items()]
        regime = self.regime if self.called is None else self.called
        return ", ".join(filter(None, [regime, *changes]))


@dataclass(frozen=True)
class Comparison:
    """A comparison's folder.

    Attributes:
        path: The folder.
        variants: In the order in which they were asked for; the first is what others are
            compared with.
        episodes: Test episodes per run, as asked for last; `tested_episodes` says of which
            numbers the tests are that there are.
        threshold: Of the return, for the steps to reach it; None where none was chosen.
        window: Training episodes whose mean is to reach it.
    """

    path: Path
    variants: tuple[Variant, ...]
    episodes: int = 0
    threshold: float | None = None
    window: int = 10

    @property
    def envs(self) -> tuple[str, ...]:
        """The environments, in their order."""
        return tuple(dict.fromkeys(variant.env for variant in self.variants))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs, in ascending order."""
        return tuple(sorted({run.seed for variant in self.variants for run in variant.runs}))

    @property
    def tested_episodes(self) -> tuple[int, ...]:
        """Numbers of episodes that runs were tested with, ascending; one number mostly."""
        tests = [run.evaluation for variant in self.variants for run in variant.finished]
        return tuple(sorted({int(test["episodes"]) for test in tests if "episodes" in test}))

    def on(self, env: str) -> tuple[Variant, ...]:
        """The variants on one environment."""
        return tuple(variant for variant in self.variants if variant.env == env)


def read_comparison(folder: str | Path) -> Comparison:
    """Read a comparison's folder.

    Raises:
        RunFolderError: It holds no comparison, one of another format, or a damaged file.
    """
    folder = Path(folder)
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise RunFolderError(
            f"{folder} holds no comparison: {SETTINGS_FILE} is missing. `maskrl compare ENV --out "
            f"{folder}` makes one."
        )
    written = read_json(path, advice="Choose another --out to begin a new comparison.")
    if written.get("format") != FORMAT:
        raise RunFolderError(
            f"{path} has format {written.get('format')!r}, this version of maskrl reads {FORMAT}. "
            "The same command with another --out makes it anew."
        )
    variants = []
    for label, settings in written["contenders"].items():
        about = written["about"][label]
        place = folder / about["folder"]
        runs = tuple(_run(place / f"seed-{seed}", int(seed), settings) for seed in written["seeds"])
        variants.append(
            Variant(
                label=label,
                env=about["env"],
                regime=about["regime"],
                varied=about["varied"],
                algorithm=about["algorithm"],
                settings=settings,
                runs=runs,
            )
        )
    threshold = written.get("threshold")
    return Comparison(
        folder,
        tuple(variants),
        int(written.get("episodes", 0)),
        None if threshold is None else float(threshold),
        int(written.get("window", 10)),
    )


def finished_test(
    run: RunDir, *, episodes: int | None, total_steps: int, max_minutes: float | None
) -> dict[str, Any] | None:
    """The test of a run as a comparison needs it, else None.

    Args:
        run: Its folder.
        episodes: Of the test; another number is another test. None for any number.
        total_steps: To be trained for. `maskrl evaluate` writes a test of a run at any time, and
            one that is still to be trained is not finished by that.
        max_minutes: Of training; with a limit steps do not tell what is left.

    Raises:
        RunFolderError: A file is damaged.
    """
    evaluation = run.read_evaluation()
    if evaluation is None or episodes not in (None, evaluation.get("episodes")):
        return None
    if max_minutes is None:
        steps = read_metrics(run.metrics_path).get("step", np.zeros(0))
        if steps.size and steps[-1] < total_steps:
            return None
    return evaluation


def _run(folder: Path, seed: int, settings: Mapping[str, Any]) -> ComparedRun:
    """A run, with its test where its training is over.

    Of how many episodes the test is does not matter here: what was tested with another number
    than asked for last is worth showing until it is tested again.
    """
    if not (folder / "config.json").is_file():
        return ComparedRun(None, seed)
    evaluation = finished_test(
        RunDir(folder),
        episodes=None,
        total_steps=int(settings.get("total_steps", 0)),
        max_minutes=settings.get("max_minutes"),
    )
    return ComparedRun(folder, seed, evaluation or {})

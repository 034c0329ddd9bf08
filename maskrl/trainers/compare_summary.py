"""What a comparison comes to: every seed, robust means, intervals, and ratios.

The figure compared is the score where the environment has a planner, and the mean
return otherwise. Ratios to the first environment are given for scores only: a return
has no zero that a ratio could mean something against.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrl.runs.json_file import write_bytes_atomic, write_json
from maskrl.runs.statistics import bootstrap_interval, interquartile_mean
from maskrl.trainers.compare import Contender, finished_evaluation
from maskrl.trainers.compare_worker import Job

_COLUMNS = (
    "env",
    "seed",
    "score",
    "mean",
    "planner_mean",
    "random_mean",
    "untrained_mean",
    "sampled_mean",
    "illegal_actions",
    "training_illegal_actions",
    "step",
    "episodes",
    "folder",
)


@dataclass(frozen=True)
class EnvSummary:
    """All seeds of one environment.

    Attributes:
        label: Of the environment.
        figure: What the values are: "score" or "return".
        seeds: Those whose runs are finished.
        values: One per seed.
        mean: Over seeds.
        interquartile_mean: Over seeds.
        interval: 95 % bootstrap interval of the interquartile mean.
        ratio: Mean over the first environment's mean; None for returns.
        untrained: Mean figure of the untrained networks, None where there was none.
        random: Mean return of random valid play.
        planner: Mean return of the planner, or None.
        illegal_actions: Executed in training and test of all runs together.
    """

    label: str
    figure: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    interquartile_mean: float
    interval: tuple[float, float]
    ratio: float | None
    untrained: float | None
    random: float
    planner: float | None
    illegal_actions: int


def summarize(contenders: Sequence[Contender], jobs: Sequence[Job]) -> list[EnvSummary]:
    """Summaries of the environments with at least one finished run, in the order given.

    Args:
        contenders: The environments.
        jobs: The runs; those that are not finished are left out.
    """
    summaries: list[EnvSummary] = []
    first: EnvSummary | None = None
    for contender in contenders:
        found = [(job.seed, e) for job, e in _tests(contender, jobs)]
        if not found:
            continue
        has_score = all("score" in e for _, e in found)
        values = [float(e["score" if has_score else "mean"]) for _, e in found]
        mean = sum(values) / len(values)
        untrained = [_untrained(e, has_score) for _, e in found]
        comparable = first is not None and first.figure == "score" and has_score and first.mean
        summary = EnvSummary(
            label=contender.label,
            figure="score" if has_score else "return",
            seeds=tuple(seed for seed, _ in found),
            values=tuple(values),
            mean=mean,
            interquartile_mean=interquartile_mean(values),
            interval=bootstrap_interval(values),
            ratio=mean / first.mean if comparable and first is not None else None,
            untrained=_mean([u for u in untrained if u is not None]),
            random=float(_mean([e["random_mean"] for _, e in found]) or 0.0),
            planner=_mean([e["planner_mean"] for _, e in found if "planner_mean" in e]),
            illegal_actions=sum(_illegal_actions(e) for _, e in found),
        )
        first = first or summary
        summaries.append(summary)
    return summaries


def write_summary(
    summaries: Sequence[EnvSummary],
    contenders: Sequence[Contender],
    jobs: Sequence[Job],
    out: Path,
) -> tuple[Path, Path]:
    """Write `summary.json` (per environment) and `summary.csv` (per run); returns both paths."""
    json_path, csv_path = out / "summary.json", out / "summary.csv"
    write_json(json_path, {"format": 1, "environments": list(summaries)})
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for contender in contenders:
        for job, evaluation in _tests(contender, jobs):
            rows.writerow(
                {
                    **evaluation,
                    "env": contender.label,
                    "seed": job.seed,
                    "sampled_mean": evaluation["sampled"]["mean"],
                    "folder": job.folder.relative_to(out),
                }
            )
    write_bytes_atomic(csv_path, text.getvalue().encode())
    return json_path, csv_path


def _tests(contender: Contender, jobs: Sequence[Job]) -> list[tuple[Job, dict[str, Any]]]:
    own = [
        job
        for job in jobs
        if job.env_id == contender.env_id and dict(job.env_kwargs) == dict(contender.env_kwargs)
    ]
    tested = [(job, finished_evaluation(job)) for job in own]
    return [(job, evaluation) for job, evaluation in tested if evaluation is not None]


def _untrained(evaluation: dict[str, Any], has_score: bool) -> float | None:
    mean = evaluation.get("untrained_mean")
    if mean is None or not has_score:
        return mean
    planner, random = evaluation["planner_mean"], evaluation["random_mean"]
    return float((mean - random) / (planner - random))


def _illegal_actions(evaluation: dict[str, Any]) -> int:
    """In training and in both tests of the agent."""
    counts = (
        evaluation["illegal_actions"],
        evaluation["sampled"]["illegal_actions"],
        evaluation.get("training_illegal_actions", 0),
    )
    return sum(map(int, counts))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

"""The tables of a comparison as files: figures per variant, a row per run, curves, speeds.

`summary.json`, `summary.csv` and `curves.csv` hold no time: a comparison that was killed and
gone on with ends up with the same bytes as one that ran through. How fast each run was is
in `speeds.csv`, which differs every time.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrl.runs.comparison import Comparison
from maskrl.runs.comparison_figures import Figure, VariantFigures, curves_of
from maskrl.runs.comparison_overall import overall_figures
from maskrl.runs.json_file import write_bytes_atomic, write_json

RUN_COLUMNS = (
    "label",
    "env",
    "regime",
    "seed",
    "score",
    "mean",
    "planner_mean",
    "random_mean",
    "untrained_mean",
    "sampled_mean",
    "removed_mean",
    "removed_sampled_mean",
    "steps_to_threshold",
    "illegal_actions",
    "training_illegal_actions",
    "step",
    "episodes",
    "folder",
)


def write_tables(comparison: Comparison, figures: Sequence[VariantFigures]) -> tuple[Path, ...]:
    """Write all tables into the comparison's folder.

    Args:
        comparison: What was compared.
        figures: Of `comparison_figures`.

    Returns:
        Paths: `summary.json`, `summary.csv`, `curves.csv`, `speeds.csv`.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    out = comparison.path
    names = ("summary.json", "summary.csv", "curves.csv", "speeds.csv")
    paths = tuple(out / name for name in names)
    summary = {
        "format": 2,
        "environments": [_plain(one) for one in figures],
        "overall": _clean(overall_figures(figures)),
    }
    write_json(paths[0], summary)
    _write(paths[1], RUN_COLUMNS, _run_rows(comparison, figures))
    columns = ("label", "step", "interquartile_mean", "low", "high")
    seeds = tuple(f"seed_{seed}" for seed in comparison.seeds)
    _write(paths[2], (*columns, *seeds), _curve_rows(comparison))
    speeds = ("label", "seed", "steps", "seconds", "steps_per_second")
    _write(paths[3], speeds, _speed_rows(comparison))
    return paths


def _run_rows(
    comparison: Comparison, figures: Sequence[VariantFigures]
) -> Iterable[Mapping[str, Any]]:
    reached = {
        (one.label, seed): steps
        for one in figures
        for seed, steps in zip(one.seeds, one.steps_to, strict=True)
    }
    for variant in comparison.variants:
        for run in variant.finished:
            assert run.path is not None
            steps = reached[variant.label, run.seed]
            yield {
                **run.evaluation,
                "label": variant.label,
                "env": variant.env,
                "regime": variant.regime,
                "seed": run.seed,
                "sampled_mean": run.evaluation.get("sampled", {}).get("mean"),
                "removed_mean": run.removed.get("greedy", {}).get("mean"),
                "removed_sampled_mean": (run.removed.get("sampled") or {}).get("mean"),
                "steps_to_threshold": int(steps) if math.isfinite(steps) else "never",
                "folder": run.path.relative_to(comparison.path),
            }


def _curve_rows(comparison: Comparison) -> Iterable[Mapping[str, Any]]:
    for variant in comparison.variants:
        curves = curves_of(variant)
        if curves is None:
            continue
        for k, step in enumerate(curves.ends):
            band = curves.band
            yield {
                "label": variant.label,
                "step": int(step),
                "interquartile_mean": _cell(band.middle[k]),
                "low": _cell(band.low[k]),
                "high": _cell(band.high[k]),
                **{
                    f"seed_{seed}": _cell(row[k])
                    for seed, row in zip(curves.seeds, curves.runs, strict=True)
                },
            }


def _speed_rows(comparison: Comparison) -> Iterable[Mapping[str, Any]]:
    for variant in comparison.variants:
        for run in variant.runs:
            steps, seconds = run.speed
            if seconds > 0:
                yield {
                    "label": variant.label,
                    "seed": run.seed,
                    "steps": int(steps),
                    "seconds": round(seconds, 3),
                    "steps_per_second": round(steps / seconds, 1),
                }


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes_atomic(path, text.getvalue().encode())


def _plain(one: VariantFigures) -> dict[str, Any]:
    """Figures as JSON holds them, the test's own at the top; numbers that are none become null."""
    final = one.final
    found = {
        "label": one.label,
        "values": final.values,
        "mean": final.mean,
        "interquartile_mean": final.middle,
        "interval": final.interval,
        "groups": final.groups,
        "illegal_actions": one.waste.illegal_actions,
    }
    for each in dataclasses.fields(one):
        if each.name not in ("final", "label"):
            found[each.name] = getattr(one, each.name)
    cleaned: dict[str, Any] = _clean(found)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, Figure):
        return _clean(
            {
                "values": value.values,
                "interquartile_mean": value.middle,
                "interval": value.interval,
                "groups": value.groups,
            }
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _clean(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: float) -> str:
    """Shortest text that reads back as exactly this number; nothing for none."""
    return repr(float(value)) if math.isfinite(value) else ""

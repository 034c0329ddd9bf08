"""Curves that others published, to be drawn behind ours: numbers alone, and where they are from.

`huang2020_returns.csv` holds the returns of the runs behind "A Closer Look at Invalid Action
Masking in Policy Gradient Algorithms" (Huang and Ontanon, https://arxiv.org/abs/2006.14171),
as its authors made them public: means over four runs, sometimes five, in bins of 20,000 steps
of the returns of training episodes, without penalties, with the least and the greatest run.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from maskrl.errors import RunFolderError

SOURCE = (
    "Huang and Ontañón, A Closer Look at Invalid Action Masking in Policy Gradient Algorithms, "
    "arXiv 2006.14171"
)
"""What the curves are from, for captions."""

MASK_REMOVED = "mask removed"
"""The regime of an agent that was trained under the mask and acts without it."""

_FILE = "huang2020_returns.csv"
_ENV = "mining-"
_REGIMES = {"masking": "masked", "mask_removed": MASK_REMOVED, "penalty_0": "none"}


@dataclass(frozen=True)
class PublishedCurve:
    """Training returns that somebody published.

    Attributes:
        env: Our id of the environment.
        regime: As of `--regimes`, or `MASK_REMOVED`.
        step: `[K]` int64, the end of each bin of steps.
        mean: `[K]` float64, mean return over the runs.
        low, high: `[K]` float64, the least and the greatest run.
        runs: How many runs the last bin has.
        source: Where it was published.
    """

    env: str
    regime: str
    step: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: int
    source: str = SOURCE


@cache
def published_curves() -> tuple[PublishedCurve, ...]:
    """All of them, in the order of the file.

    Raises:
        RunFolderError: The file of the package is damaged.
    """
    text = (files("maskrl.runs") / "data" / _FILE).read_text(encoding="utf-8")
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    try:
        for row in csv.DictReader(text.splitlines()):
            names = ("step_bin_end", "mean_return", "min_run", "max_run", "runs")
            rows.setdefault((row["map"], row["regime"]), []).append(
                tuple(float(row[name]) for name in names)
            )
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"the package's {_FILE} is damaged: {error!r}. Install maskrl again."
        ) from error
    found = []
    for (size, regime), values in rows.items():
        step, mean, low, high, runs = np.array(sorted(values)).T
        found.append(
            PublishedCurve(
                f"{_ENV}{size}",
                _REGIMES.get(regime, regime.replace("penalty_", "penalty:")),
                step.astype(np.int64),
                mean,
                low,
                high,
                int(runs[-1]),
            )
        )
    return tuple(found)


def published_curve(env: str, regime: str) -> PublishedCurve | None:
    """The published curve of one environment and regime, or None.

    Args:
        env: An environment's id; settings after "?" are not looked at.
        regime: As of `--regimes`, "penalty:P:native" being the published form of a penalty, or
            `MASK_REMOVED`.

    >>> curve = published_curve("mining-10x10", "naive")
    >>> round(float(curve.mean[4]), 1)  # at 100,000 steps
    38.8
    """
    plain = regime.removesuffix(":native")
    if plain.startswith("penalty:"):
        try:
            number = float(plain.removeprefix("penalty:"))
        except ValueError:
            return None
        plain = f"penalty:{number:g}" if number else "none"
    wanted = (env.partition("?")[0], plain)
    return next((c for c in published_curves() if (c.env, c.regime) == wanted), None)

"""How an episode went, for environments that are won or lost: `infos["outcome"]`.

The convention: at the step that ends an episode an environment puts a float `info["outcome"]`
there, 1.0 for won, 0.0 for drawn, -1.0 for lost, seen from the side that is trained. Nothing
else says whether a game was won: returns may be shaped, and an episode that was cut off is
neither won nor lost. Vector environments of ours put float64 `[B]` into `infos["outcome"]`
itself, NaN where no episode ended; of Gymnasium's it is read from `infos["final_info"]`.
Whole numbers are codes of an environment's own, such as the panda's, and say nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrl.errors import ConfigError

OUTCOME = "outcome"
"""The name of the entry in an environment's info."""


def episode_outcomes(infos: Mapping[str, Any], ended: np.ndarray) -> np.ndarray:
    """The outcome of the episodes that ended in a step of a vector environment.

    Args:
        infos: Of the step.
        ended: bool `[B]`, sub-environments whose episode ended in it.

    Returns:
        float64 `[B]`: 1 won, 0 drawn, -1 lost; NaN where no episode ended, and where the
        environment does not tell.

    Raises:
        ConfigError: An outcome lies outside [-1, 1], or `infos["outcome"]` has another shape.

    Example:
        >>> infos = {"outcome": np.array([np.nan, -1.0])}
        >>> episode_outcomes(infos, np.array([False, True]))
        array([nan, -1.])
    """
    ended = np.asarray(ended, np.bool_)
    outcomes = np.full(ended.shape, np.nan)
    if not ended.any():
        return outcomes
    found = infos.get("final_info")
    if isinstance(found, Mapping) and OUTCOME in found:
        _take(outcomes, found, ended)
    elif found is not None and not isinstance(found, Mapping):
        for row in np.flatnonzero(ended):  # infos that did not stack: one Dict each
            told = found[row].get(OUTCOME) if isinstance(found[row], Mapping) else None
            if isinstance(told, float | np.floating):
                outcomes[row] = float(told)
    elif OUTCOME in infos:
        _take(outcomes, infos, ended)
    wrong = ended & (np.abs(outcomes) > 1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ConfigError(
            f"infos['outcome'] is {outcomes[first]} in sub-environment {first}; expected 1 for "
            "won, 0 for drawn, -1 for lost; what means something else needs another name"
        )
    return outcomes


def _take(outcomes: np.ndarray, infos: Mapping[str, Any], ended: np.ndarray) -> None:
    """Take the rows that ended, where Gymnasium's `_outcome` says that there is one."""
    given = np.asarray(infos[OUTCOME])
    if given.dtype.kind != "f":
        return
    if given.shape != ended.shape:
        raise ConfigError(
            f"infos['outcome'] has shape {given.shape}, expected {ended.shape}: one number for "
            "each sub-environment"
        )
    there = ended & np.asarray(infos.get(f"_{OUTCOME}", True))
    outcomes[there] = given[there].astype(np.float64)

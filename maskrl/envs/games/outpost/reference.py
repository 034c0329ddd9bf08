"""Best and random returns of many outpost layouts, to measure agents against.

A score of 0 is a random valid commander and 1 the planner, both as means over the same
layouts. A layout takes a few milliseconds, so nothing is kept on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.outpost.planner import Plan, plan
from maskrl.envs.games.outpost.settings import OutpostSettings


def reference(
    env_kwargs: Mapping[str, Any],
    layout_ids: Sequence[int] | npt.NDArray[np.int64],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Undiscounted returns of the best play and expected ones of random valid play.

    Args:
        env_kwargs: Settings of the outpost; arguments that are none (seeds) are ignored.
        layout_ids: int64 [n], layout seeds.
        progress: Called with (layouts planned, layouts to plan) as they are done.

    Returns:
        `planner` and `random`, float64 [n] each.
    """
    known = OutpostSettings.__dataclass_fields__
    settings = OutpostSettings(**{k: v for k, v in env_kwargs.items() if k in known})
    wanted = [int(seed) for seed in np.asarray(layout_ids, dtype=np.int64)]
    missing = sorted(set(wanted))
    if progress and missing:
        progress(0, len(missing))

    def returns(seed: int) -> tuple[float, float]:
        found: Plan = plan(settings, seed)
        return found.value, found.random

    planned: dict[int, tuple[float, float]] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for seed, values in zip(missing, pool.map(returns, missing), strict=True):
            planned[seed] = values
            if progress:
                progress(len(planned), len(missing))
    table = np.array([planned[seed] for seed in wanted], np.float64).reshape(-1, 2)
    return {"planner": table[:, 0], "random": table[:, 1]}

"""The best and the random return of many layouts, for scores and reports.

A score of 0 is uniformly random allowed play and 1 the optimum, both as means over
the same layouts. A layout takes a tenth of a millisecond, so nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.packing.planner import plan
from maskrl.envs.games.packing.settings import PackingSettings


def reference(
    env_kwargs: Mapping[str, Any], layout_ids: Sequence[int] | npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Undiscounted returns of the best play, and expected ones of random allowed play.

    Args:
        env_kwargs: Settings of the world; other arguments of the environment are ignored.
        layout_ids: int64 [n], layout seeds.

    Returns:
        `planner` and `random`, float64 [n] each.
    """
    known = PackingSettings.__dataclass_fields__
    settings = PackingSettings(**{k: v for k, v in env_kwargs.items() if k in known})
    seeds = [int(seed) for seed in np.asarray(layout_ids, dtype=np.int64)]
    plans = {seed: plan(settings, seed) for seed in dict.fromkeys(seeds)}
    return {
        "planner": np.array([plans[seed].best for seed in seeds], np.float64),
        "random": np.array([plans[seed].random for seed in seeds], np.float64),
    }

"""Seeds of layouts: those of training, validation and test lie in ranges that do not overlap.

A layout is a function of its seed alone, so an agent is tested on layouts that it cannot have
met in training, and a planner knows which ones they are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from maskrl.errors import ConfigError

Split = Literal["train", "validation", "test"]
"""What layouts are for."""

SEEDS_PER_SPLIT = 2**40
"""How many layout seeds each split has."""

FIRST_SEED: dict[Split, int] = {
    "test": 0,
    "validation": SEEDS_PER_SPLIT,
    "train": 2 * SEEDS_PER_SPLIT,
}
"""Where the seeds of a split begin."""


def split_seeds(split: Split, count: int, *, start: int = 0) -> npt.NDArray[np.int64]:
    """The first `count` layout seeds of a split, from `start` on: int64 [count].

    Raises:
        ConfigError: The split has no such seeds.
    """
    if count < 1 or start < 0 or start + count > SEEDS_PER_SPLIT:
        raise ConfigError(
            f"split_seeds: count and start must lie in a split of {SEEDS_PER_SPLIT} seeds; "
            f"got count={count}, start={start}"
        )
    return FIRST_SEED[split] + start + np.arange(count, dtype=np.int64)

"""Seeds of layouts: no split has one of another's."""

from __future__ import annotations

from typing import get_args

import pytest

from maskrl.envs.games.layout_seeds import FIRST_SEED, SEEDS_PER_SPLIT, Split, split_seeds
from maskrl.errors import ConfigError


def test_splits_share_no_seed() -> None:
    assert set(FIRST_SEED) == set(get_args(Split))
    ranges = sorted((first, first + SEEDS_PER_SPLIT) for first in FIRST_SEED.values())
    assert all(a[1] <= b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    assert ranges[-1][1] < 2**63  # what compiled code takes


def test_seeds_are_counted_from_the_splits_first() -> None:
    assert split_seeds("test", 3, start=2).tolist() == [2, 3, 4]
    assert split_seeds("train", 1).tolist() == [FIRST_SEED["train"]]
    last = split_seeds("validation", 1, start=SEEDS_PER_SPLIT - 1)
    assert last.tolist() == [FIRST_SEED["train"] - 1]


@pytest.mark.parametrize(
    ("count", "start"), [(0, 0), (1, -1), (1, SEEDS_PER_SPLIT), (SEEDS_PER_SPLIT, 1)]
)
def test_seeds_beyond_a_split_are_refused(count: int, start: int) -> None:
    with pytest.raises(ConfigError, match=f"count={count}, start={start}"):
        split_seeds("test", count, start=start)

"""Draws in proportion: as often as they should be, and never of a 0."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.kernels.sum_tree import SumTree


@pytest.mark.parametrize("size", [1, 2, 3, 8, 100])
def test_positions_follow_the_running_sum(size):
    rng = np.random.default_rng(size)
    numbers = rng.integers(0, 5, size).astype(np.float64)
    numbers[rng.integers(size)] += 1.0
    tree = SumTree(size)
    tree.write(np.arange(size), numbers)
    assert tree.total == numbers.sum()
    assert tree.numbers.tolist() == numbers.tolist()
    shares = (np.arange(1000) + 0.5) / 1000
    expected = np.searchsorted(np.cumsum(numbers), shares * numbers.sum(), side="right")
    assert tree.find(shares).tolist() == expected.tolist()


def test_a_zero_is_never_found_whatever_the_rounding():
    rng = np.random.default_rng(0)
    edge = np.nextafter(1.0, 0.0)
    for _ in range(300):
        numbers = rng.random(37) * 10.0 ** rng.integers(-12, 12, 37) * (rng.random(37) < 0.4)
        if not numbers.any():
            continue
        tree = SumTree(37)
        tree.write(np.arange(37), numbers)
        cuts = np.cumsum(numbers) / numbers.sum()
        shares = np.concatenate([[0.0, edge], cuts, np.nextafter(cuts, 0), rng.random(50)])
        assert (tree[tree.find(np.minimum(shares, edge))] > 0).all()


def test_sums_do_not_drift():
    rng = np.random.default_rng(0)
    tree = SumTree(50)
    for _ in range(2000):
        index = rng.integers(0, 50, 4)
        tree.write(index, rng.random(4) * 10.0 ** rng.integers(-6, 6))
    tree.write(np.arange(50), 0.0)
    assert tree.total == 0.0

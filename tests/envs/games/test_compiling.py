"""Blocks are copied to the right place, whatever the shapes, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART, copy_block


@njit
def _copy(target, target_start, source, source_start, count):
    copy_block(target, target_start, source, source_start, count)


@njit
def _copy_five(target, target_start, source, source_start):
    copy_block(target, target_start, source, source_start, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.int32])
def test_a_block_is_copied_and_its_neighbours_stay(dtype: type) -> None:
    source = (np.arange(24) % 5 * 3 + 1).astype(dtype).reshape(2, 3, 4)
    for copy in (_copy_five, lambda *arguments: _copy(*arguments, 5)):
        target = np.zeros((6, 5), dtype)
        copy(target, 12, source, 7)
        expected = np.zeros(30, dtype)
        expected[12:17] = source.reshape(-1)[7:12]
        np.testing.assert_array_equal(target.reshape(-1), expected)


def test_nothing_is_copied_when_the_block_is_empty() -> None:
    target = np.zeros(4)
    _copy(target, 2, np.ones(4), 0, 0)
    assert not target.any()


def test_kernels_are_kept_between_runs() -> None:
    assert KERNEL["cache"] and PART["cache"]
    assert PART["forceinline"]

"""Copies never change under the hands of those who hold them, and memory comes back."""

from __future__ import annotations

import numpy as np
import torch

from maskrl.envs.games.copies import KEPT, CopyPool


def test_what_is_held_in_any_way_is_left_alone() -> None:
    pool, source = CopyPool(), np.arange(6)
    held = pool.copy(source)
    view = pool.copy(source)[2:]
    tensor = torch.from_numpy(pool.copy(source))
    memory = memoryview(pool.copy(source))
    inside = {"deep": [pool.copy(source)]}
    for value in range(10, 20):
        assert (pool.copy(np.full(6, value)) == value).all()
    np.testing.assert_array_equal(held, source)
    np.testing.assert_array_equal(view, source[2:])
    np.testing.assert_array_equal(tensor.numpy(), source)
    np.testing.assert_array_equal(np.asarray(memory), source)
    np.testing.assert_array_equal(inside["deep"][0], source)


def test_what_was_let_go_is_filled_again() -> None:
    pool, source = CopyPool(), np.arange(1000)
    first = pool.copy(source)
    address = first.ctypes.data
    del first
    again = pool.copy(source + 1)
    assert again.ctypes.data == address
    np.testing.assert_array_equal(again, source + 1)


def test_copies_are_independent_of_their_source_and_of_each_other() -> None:
    pool, source = CopyPool(), np.zeros(3)
    copies = [pool.copy(source) for _ in range(3 * KEPT)]
    source[:] = 1
    copies[0][:] = 2
    assert all((array == 0).all() for array in copies[1:])
    assert len({array.ctypes.data for array in copies}) == len(copies)


def test_other_shapes_and_dtypes_are_not_mixed_up() -> None:
    pool = CopyPool()
    pool.copy(np.zeros(3))
    assert pool.copy(np.ones((2, 2))).shape == (2, 2)
    assert pool.copy(np.ones(3, bool)).dtype == np.bool_


def test_arrays_to_fill_are_held_by_nobody() -> None:
    pool, like = CopyPool(), np.ones((3, 4), np.float32)
    first = pool.take(like)
    second = pool.take(like)
    assert first.shape == like.shape and first.dtype == like.dtype
    assert not first.any() and not np.shares_memory(first, second)
    address = first.ctypes.data
    first.setflags(write=False)
    del first
    assert pool.take(like).ctypes.data != address  # somebody made it read-only
    again = second.ctypes.data
    del second
    assert pool.take(like).ctypes.data == again

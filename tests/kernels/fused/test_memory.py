"""Pointers made of addresses: reading, writing, moving, converting."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused import memory


@njit
def copy(source, target, n):
    x, y = memory.as_float32(source), memory.as_float64(target)
    for i in range(n):
        y[i] = np.float64(memory.shift(x, i)[0])


@njit
def reverse_on_the_stack(address):
    x = memory.as_int64(address)
    kept = memory.stack_like(x, 8)
    for i in range(8):
        kept[i] = x[7 - i]
    for i in range(8):
        memory.as_like(x, address)[i] = kept[i]


@njit
def bits(x, n):
    return memory.int32_bits(memory.float32_from_bits(x)), memory.int64_bits(
        memory.float64_from_bits(n)
    )


@njit
def as_single(x, number):
    return memory.element(memory.as_float32(x), number)


def test_reading_and_writing():
    source, target = np.arange(5, dtype=np.float32), np.zeros(5)
    copy(source.ctypes.data, target.ctypes.data, 4)
    assert target.tolist() == [0, 1, 2, 3, 0]


def test_the_stack():
    x = np.arange(8)
    reverse_on_the_stack(x.ctypes.data)
    assert x.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("number", [0, 1, -(2**31), 2**31 - 1])
def test_bits_go_both_ways(number):
    assert bits(np.int32(number), np.int64(number) << 20) == (number, number << 20)


def test_numbers_take_the_type_of_a_pointer():
    assert as_single(0, 0.1) == np.float32(0.1)
    assert as_single(0, -np.inf) == -np.inf


@njit
def write_words(address):
    memory.words_of(memory.as_uint8(address))[0] = np.uint64(0x0807060504030201)


def test_words():
    x = np.zeros(8, np.uint8)
    write_words(x.ctypes.data)
    assert x.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@njit
def fetch_from(address):
    memory.fetch(memory.as_float32(address))
    return 1


@pytest.mark.parametrize("place", [0, 1, -1, 2**62])
def test_fetching_is_harmless_anywhere(place):
    assert fetch_from(place) == 1

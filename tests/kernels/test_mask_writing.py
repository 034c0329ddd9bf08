"""Bits against numpy's packing, counts of empty heads against looking at each."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.kernels.mask_writing import write_bits


def written(mask, starts=()):
    """Bits `[rows, bytes]` of a mask between two guards that must stay, and the count."""
    rows, entries = mask.shape
    wide = -(-entries // 8)
    memory = np.full(rows * wide + 2, 0xA5, np.uint8)
    edges = np.array([*starts, entries], np.int64)
    count = write_bits(
        mask.ctypes.data,
        memory.ctypes.data + 1,
        rows,
        entries,
        edges.ctypes.data,
        len(starts),
    )
    assert memory[0] == memory[-1] == 0xA5
    return memory[1:-1].reshape(rows, wide), count


@pytest.mark.parametrize("entries", [1, 2, 7, 8, 9, 15, 16, 17, 64, 78, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_bits_are_numpys(entries, share):
    mask = np.random.default_rng(entries).random((5, entries)) < share
    bits, empty = written(mask, (0,))
    np.testing.assert_array_equal(bits, np.packbits(mask, axis=-1, bitorder="little"))
    assert empty == (~mask.any(-1)).sum()


def test_every_byte_by_hand():
    mask = (np.arange(256)[:, None] >> np.arange(8)) & 1 != 0
    bits, empty = written(mask, (0,))
    assert bits[:, 0].tolist() == list(range(256))
    assert empty == 1


def test_heads_are_counted_one_by_one():
    mask = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], np.bool_)
    # Heads of 2, 2 and 1 choices: the second of row 0, the first of row 1, all of row 2.
    assert written(mask, (0, 2, 4))[1] == 1 + 1 + 3
    assert written(mask)[1] == 0


def test_any_byte_but_zero_is_true():
    """As numpy has it: nothing spills into the bits beside."""
    raw = np.array([[0, 1, 2, 255, 128, 0, 4, 0, 0, 2, 0, 255]], np.uint8)
    bits, _ = written(raw.view(np.bool_), (0,))
    np.testing.assert_array_equal(bits, np.packbits(raw != 0, axis=-1, bitorder="little"))


def test_no_rows():
    bits, empty = written(np.zeros((0, 9), np.bool_), (0,))
    assert bits.shape == (0, 2)
    assert empty == 0

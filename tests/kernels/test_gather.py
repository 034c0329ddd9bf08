"""Rows of several arrays at once equal numpy's indexing, whatever a row's size."""

from __future__ import annotations

import numpy as np

from maskrl.kernels.gather import COLUMNS, gather


def gathered(arrays, index):
    copies = [np.zeros((len(index), *x.shape[1:]), x.dtype) for x in arrays]
    table = np.zeros((len(arrays), COLUMNS), np.int64)
    for row, array, copy in zip(table, arrays, copies, strict=True):
        row[:] = array.ctypes.data, copy.ctypes.data, array[0].nbytes
    limit = len(arrays[0])
    return copies, gather(table.ctypes.data, len(arrays), index.ctypes.data, len(index), limit)


def test_it_equals_indexing():
    rng = np.random.default_rng(0)
    shapes = [(9,), (9, 3), (9, 2, 5), (9, 16), (9, 0)]
    arrays = [
        (rng.normal(size=shape) * 100).astype(dtype)
        for shape in shapes
        for dtype in (np.float32, np.int64, np.uint8, np.bool_, np.float64)
    ]
    for index in (np.array([8, 0, 3, 3]), np.arange(9), np.zeros(0, np.int64)):
        copies, status = gathered(arrays, index)
        assert status == 0
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(copy, array[index])


def test_a_place_that_is_not_there_copies_nothing():
    for wrong in (-1, 9):
        (copy,), status = gathered([np.ones(9, np.float32)], np.array([0, wrong]))
        assert status == 1
        assert not copy.any()

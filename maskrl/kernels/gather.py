"""Rows of several arrays at the same places, copied in one call.

A minibatch is a handful of arrays read at one index. Each indexing operation of torch costs a
few microseconds before it copies anything; the kernel reads a table of addresses instead.
"""

from __future__ import annotations

from numba import njit

from maskrl.kernels.fused.memory import as_int32, as_int64, as_uint8, shift

# Columns of the table: addresses of the array and of the copy, and bytes of one row.
SOURCE, COPY, BYTES, COLUMNS = range(4)

_INNER = {"error_model": "numpy"}


@njit(**_INNER)
def _single(source, copy, index, rows):  # type: ignore[no-untyped-def]
    for i in range(rows):
        copy[i] = source[index[i]]


@njit(**_INNER)
def _several(source, copy, index, rows, size):  # type: ignore[no-untyped-def]
    for i in range(rows):
        here, there = shift(source, index[i] * size), shift(copy, i * size)
        for j in range(size):
            there[j] = here[j]


@njit(**_INNER, nogil=True, cache=True)
def gather(table, arrays, index, rows, limit):  # type: ignore[no-untyped-def]
    """Copy rows `index` int64 `[rows]` of every array in the table int64 `[arrays, COLUMNS]`.

    Returns 0; 1 if a place is not below `limit`, and then copies nothing.
    """
    numbers, places = as_int64(table), as_int64(index)
    outside = 0
    for i in range(rows):
        outside += 1 if places[i] < 0 or places[i] >= limit else 0
    if outside:
        return 1
    for k in range(arrays):
        row = shift(numbers, k * COLUMNS)
        size = row[BYTES]
        if size == 4:
            _single(as_int32(row[SOURCE]), as_int32(row[COPY]), places, rows)
        elif size == 8:
            _single(as_int64(row[SOURCE]), as_int64(row[COPY]), places, rows)
        elif size % 4 == 0:
            _several(as_int32(row[SOURCE]), as_int32(row[COPY]), places, rows, size // 4)
        else:
            _several(as_uint8(row[SOURCE]), as_uint8(row[COPY]), places, rows, size)
    return 0

"""The walk through maps behind `maskrl.kernels.map_rows`, compiled.

It goes plane by plane and takes from each what is asked of it; on the way back it writes
zeros and gradients in the same pass. Addresses and sizes are checked by the caller. It is
imported when it is first called, so that importing distributions compiles nothing.
"""

from __future__ import annotations

from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_float64, as_int64, as_uint8, shift

_INNER = {"error_model": "numpy"}
_COMPILED = {**_INNER, "nogil": True, "cache": True}


@njit(**_INNER)
def _take(source, entry, place, rows, planes, cells, out):  # type: ignore[no-untyped-def]
    first = 0
    while first < rows:
        last = first
        while last < rows and entry[last] == entry[first]:
            last += 1
        for f in range(planes):
            plane = shift(source, (entry[first] * planes + f) * cells)
            for m in range(first, last):
                out[m * planes + f] = plane[place[m]] if place[m] >= 0 else 0
        first = last


@njit(**_COMPILED)
def take(source, entry, place, rows, planes, cells, out, size):  # type: ignore[no-untyped-def]
    """Write `out` [rows, planes]: what `source` [batch, planes, cells] holds; addresses, bytes."""
    entry_, place_ = as_int64(entry), as_int64(place)
    if size == 1:
        _take(as_uint8(source), entry_, place_, rows, planes, cells, as_uint8(out))
    elif size == 4:
        _take(as_float32(source), entry_, place_, rows, planes, cells, as_float32(out))
    else:
        _take(as_float64(source), entry_, place_, rows, planes, cells, as_float64(out))


@njit(**_INNER)
def _put(target, entry, place, rows, planes, cells, source, batch, fills):  # type: ignore[no-untyped-def]
    first = 0
    for b in range(batch):
        last = first
        while last < rows and entry[last] == b:
            last += 1
        for f in range(planes):
            plane = shift(target, (b * planes + f) * cells)
            if fills:
                for i in range(cells):
                    plane[i] = 0
            for m in range(first, last):
                if place[m] >= 0:
                    plane[place[m]] += source[m * planes + f]
        first = last


@njit(**_COMPILED)
def put(target, entry, place, rows, planes, cells, source, batch, fills, size):  # type: ignore[no-untyped-def]
    """Write `target` [batch, planes, cells]: sums of the rows `source` at their cells, else 0.

    `fills` writes those zeros; without it they are there.
    """
    entry_, place_ = as_int64(entry), as_int64(place)
    if size == 4:
        _put(
            as_float32(target),
            entry_,
            place_,
            rows,
            planes,
            cells,
            as_float32(source),
            batch,
            fills,
        )
    else:
        _put(
            as_float64(target),
            entry_,
            place_,
            rows,
            planes,
            cells,
            as_float64(source),
            batch,
            fills,
        )

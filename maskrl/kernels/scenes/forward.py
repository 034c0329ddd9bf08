"""Attention of all heads of some scenes, block of queries by block of queries.

`attention(plan)` packs a head of a scene, then for each block of queries multiplies, masks,
exponentiates and multiplies again. What its way back shares with it is here too.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, float64_from_bits, shift
from maskrl.kernels.scenes.layout import (
    copy_row,
    divide_room,
    look_around,
    pack,
    place_of,
    turn,
    zero,
    zero_absent,
)
from maskrl.kernels.scenes.plan import (
    FIRST,
    GROUP,
    HEADS,
    KEY,
    LAST,
    MASK,
    MASK_ROW,
    OUT,
    QUERIES,
    QUERY,
    SCALE,
    STATISTICS,
    VALUE,
    WIDTH,
)
from maskrl.kernels.scenes.products import INNER, multiply
from maskrl.kernels.scenes.weights import (
    exponentials_of_8,
    exponentials_of_16,
    masked_exponentials_of_8,
    masked_exponentials_of_16,
)

COMPILED = {**INNER, "nogil": True, "cache": True}
ONE = np.float32(1.0)


@njit(**INNER)
def scores_of(room, block, count, nk, width, source, row_stride, scale):  # type: ignore[no-untyped-def]
    """Pack a block of queries, times the scale, and write their scores."""
    lanes, packed = room.lanes, room.width
    places = shift(room.looking, block)
    pack(room.queries, packed, source, row_stride, places, count, lanes, scale, width)
    turn(room.queries_across, lanes, room.queries, packed, room.permitted)
    rows = (nk + GROUP - 1) // GROUP * GROUP
    multiply(
        room.scores, lanes, rows, lanes, room.keys, packed, 1, room.queries_across, lanes, width
    )


@njit(**INNER)
def _exponentials(room, masked, mask, nk, largest, inverse):  # type: ignore[no-untyped-def]
    lanes = room.lanes
    if lanes == 8:
        if masked:
            masked_exponentials_of_8(room.scores, mask, lanes, nk, largest, inverse)
        else:
            exponentials_of_8(room.scores, mask, lanes, nk, largest, inverse)
        return
    for lane in range(0, lanes, 16):
        scores, most, share = shift(room.scores, lane), shift(largest, lane), shift(inverse, lane)
        if masked:
            masked_exponentials_of_16(scores, shift(mask, lane), lanes, nk, most, share)
        else:
            exponentials_of_16(scores, mask, lanes, nk, most, share)


@njit(**COMPILED)
def attention(plan):  # type: ignore[no-untyped-def]
    """Write `out`, and the largest scores and inverse sums of queries if a place is given."""
    numbers = as_int64(plan)
    room = divide_room(numbers)
    queries, heads, width = numbers[QUERIES], numbers[HEADS], numbers[WIDTH]
    scale = np.float32(float64_from_bits(numbers[SCALE]))
    lanes, packed = room.lanes, room.width
    slots = (queries + lanes - 1) // lanes * lanes
    masked = numbers[MASK] != 0 and numbers[MASK_ROW] != 0
    for scene in range(numbers[FIRST], numbers[LAST]):
        nq, nk = look_around(numbers, scene, room)
        for head in range(heads):
            out = place_of(numbers, OUT, scene, head)
            if nk == 0:
                for i in range(queries):
                    zero(shift(out, i * numbers[OUT + 2]), width)
                continue
            zero_absent(out, numbers[OUT + 2], room.looking, nq, queries, width)
            rows = (nk + GROUP - 1) // GROUP * GROUP
            key, value = place_of(numbers, KEY, scene, head), place_of(numbers, VALUE, scene, head)
            pack(room.keys, packed, key, numbers[KEY + 2], room.there, nk, rows, ONE, width)
            pack(room.values, packed, value, numbers[VALUE + 2], room.there, nk, rows, ONE, width)
            query = place_of(numbers, QUERY, scene, head)
            for block in range(0, nq, lanes):
                count = min(lanes, nq - block)
                scores_of(room, block, count, nk, width, query, numbers[QUERY + 2], scale)
                largest, inverse = room.largest, room.inverse
                if numbers[STATISTICS] != 0:
                    place = (scene * heads + head) * 2 * slots + block
                    largest = as_float32(numbers[STATISTICS] + 4 * place)
                    inverse = shift(largest, slots)
                _exponentials(room, masked, shift(room.permitted, block * nk), nk, largest, inverse)
                rows = (count + GROUP - 1) // GROUP * GROUP
                multiply(
                    room.rows, packed, rows, packed, room.scores, 1, lanes, room.values, packed, nk
                )
                for i in range(count):
                    row = shift(out, room.looking[block + i] * numbers[OUT + 2])
                    copy_row(row, shift(room.rows, i * packed), inverse[i], width)
    return 0

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
    lanes_of,
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
def scores_of(room, lanes, nk, width, keys, queries):  # type: ignore[no-untyped-def]
    """Write the scores of a block of packed queries, which have the scale in them."""
    packed = room.width
    turn(room.queries_across, lanes, queries, packed, room.permitted)
    rows = (nk + GROUP - 1) // GROUP * GROUP
    multiply(room.scores, lanes, rows, lanes, keys, packed, 1, room.queries_across, lanes, width)


@njit(**INNER)
def mix(  # type: ignore[no-untyped-def]
    room, lanes, count, nk, masked, permitted, values, largest, inverse
):
    """From the scores of a block to its mixture of values, before the division by the sums."""
    for lane in range(0, lanes, 16):
        scores, most, share = shift(room.scores, lane), shift(largest, lane), shift(inverse, lane)
        flags = shift(permitted, lane)
        if lanes - lane >= 16:
            if masked:
                masked_exponentials_of_16(scores, flags, lanes, nk, most, share)
            else:
                exponentials_of_16(scores, flags, lanes, nk, most, share)
        elif masked:
            masked_exponentials_of_8(scores, flags, lanes, nk, most, share)
        else:
            exponentials_of_8(scores, flags, lanes, nk, most, share)
    packed = room.width
    rows = (count + GROUP - 1) // GROUP * GROUP
    multiply(room.rows, packed, rows, packed, room.scores, 1, lanes, values, packed, nk)


@njit(**COMPILED)
def attention(plan):  # type: ignore[no-untyped-def]
    """Write `out`, and the largest scores and inverse sums of queries if a place is given."""
    numbers = as_int64(plan)
    room = divide_room(numbers)
    queries, heads, width = numbers[QUERIES], numbers[HEADS], numbers[WIDTH]
    scale = np.float32(float64_from_bits(numbers[SCALE]))
    packed = room.width
    slots = (queries + room.lanes - 1) // room.lanes * room.lanes
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
            for block in range(0, nq, room.lanes):
                lanes, count = lanes_of(room, nq - block), min(room.lanes, nq - block)
                places = shift(room.looking, block)
                pack(
                    room.queries, packed, query, numbers[QUERY + 2], places, count, lanes, scale,
                    width,
                )  # fmt: skip
                scores_of(room, lanes, nk, width, room.keys, room.queries)
                largest, inverse = room.largest, room.inverse
                if numbers[STATISTICS] != 0:
                    place = (scene * heads + head) * 2 * slots + block
                    largest = as_float32(numbers[STATISTICS] + 4 * place)
                    inverse = shift(largest, slots)
                permitted = shift(room.permitted, block * nk)
                mix(room, lanes, count, nk, masked, permitted, room.values, largest, inverse)
                for i in range(count):
                    row = shift(out, places[i] * numbers[OUT + 2])
                    copy_row(row, shift(room.rows, i * packed), inverse[i], width)
    return 0

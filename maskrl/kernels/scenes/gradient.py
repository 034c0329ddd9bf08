"""The gradient of attention, scores computed again: `attention_gradient(plan)`; see the package.

`OUT` is where the gradient of the output lies. With d the gradient of a weight and w the weight,
that of its score is w (d - sum over keys of w d); what was excluded has w = 0 and d = 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, float64_from_bits, shift
from maskrl.kernels.scenes.forward import COMPILED, ONE, scores_of
from maskrl.kernels.scenes.layout import (
    copy_row,
    divide_room,
    lanes_of,
    look_around,
    pack,
    place_of,
    turn,
    unpack,
    zero,
    zero_absent,
)
from maskrl.kernels.scenes.plan import (
    FIRST,
    GROUP,
    HEADS,
    KEY,
    KEYS,
    LAST,
    MASK,
    MASK_ROW,
    OF_KEY,
    OF_QUERY,
    OF_VALUE,
    OUT,
    QUERIES,
    QUERY,
    SCALE,
    STATISTICS,
    VALUE,
    WIDTH,
)
from maskrl.kernels.scenes.products import INNER, add_product, multiply
from maskrl.kernels.scenes.weights import (
    masked_retreat_of_8,
    masked_retreat_of_16,
    retreat_of_8,
    retreat_of_16,
)


@njit(**INNER)
def _retreat(room, lanes, nk, masked, mask, largest, inverse):  # type: ignore[no-untyped-def]
    """Scores become weights, gradients of weights those of scores."""
    for lane in range(0, lanes, 16):
        scores, upstream = shift(room.scores, lane), shift(room.of_scores, lane)
        most, share, flags = shift(largest, lane), shift(inverse, lane), shift(mask, lane)
        if lanes - lane >= 16:
            if masked:
                masked_retreat_of_16(scores, upstream, flags, lanes, nk, most, share)
            else:
                retreat_of_16(scores, upstream, flags, lanes, nk, most, share)
        elif masked:
            masked_retreat_of_8(scores, upstream, flags, lanes, nk, most, share)
        else:
            retreat_of_8(scores, upstream, flags, lanes, nk, most, share)


@njit(**INNER)
def walk_back(  # type: ignore[no-untyped-def]
    room, lanes, count, nk, width, masked, permitted, keys, values, queries, upstream, largest,
    inverse, of_queries, of_keys, of_values,
):  # fmt: skip
    """From a block's packed upstream gradient to that of its queries, and more of keys and values.

    Queries have the scale in them; their gradient is that of what they are then.
    """
    packed = room.width
    rows = (nk + GROUP - 1) // GROUP * GROUP
    scores_of(room, lanes, nk, width, keys, queries)
    turn(room.upstream_across, lanes, upstream, packed, room.permitted)
    multiply(
        room.of_scores, lanes, rows, lanes, values, packed, 1, room.upstream_across, lanes, width
    )
    _retreat(room, lanes, nk, masked, permitted, largest, inverse)
    few = (count + GROUP - 1) // GROUP * GROUP
    multiply(of_queries, packed, few, packed, room.of_scores, 1, lanes, keys, packed, nk)
    add_product(of_keys, packed, rows, packed, room.of_scores, lanes, 1, queries, packed, count)
    add_product(of_values, packed, rows, packed, room.scores, lanes, 1, upstream, packed, count)


@njit(**COMPILED)
def attention_gradient(plan):  # type: ignore[no-untyped-def]
    """Write the gradients of queries, keys and values.

    Values at the address of the keys are the keys themselves: the gradient of both goes there.
    """
    numbers = as_int64(plan)
    room = divide_room(numbers)
    queries, keys = numbers[QUERIES], numbers[KEYS]
    heads, width = numbers[HEADS], numbers[WIDTH]
    scale = np.float32(float64_from_bits(numbers[SCALE]))
    packed = room.width
    slots = (queries + room.lanes - 1) // room.lanes * room.lanes
    masked = numbers[MASK] != 0 and numbers[MASK_ROW] != 0
    same = numbers[OF_VALUE] == numbers[OF_KEY]
    of_values = room.of_keys if same else room.of_values
    for scene in range(numbers[FIRST], numbers[LAST]):
        nq, nk = look_around(numbers, scene, room)
        rows = (nk + GROUP - 1) // GROUP * GROUP
        for head in range(heads):
            of_query = place_of(numbers, OF_QUERY, scene, head)
            of_key = place_of(numbers, OF_KEY, scene, head)
            of_value = place_of(numbers, OF_VALUE, scene, head)
            if nk == 0:
                for i in range(queries):
                    zero(shift(of_query, i * numbers[OF_QUERY + 2]), width)
                for j in range(keys):
                    zero(shift(of_key, j * numbers[OF_KEY + 2]), width)
                    zero(shift(of_value, j * numbers[OF_VALUE + 2]), width)
                continue
            zero_absent(of_query, numbers[OF_QUERY + 2], room.looking, nq, queries, width)
            zero_absent(of_key, numbers[OF_KEY + 2], room.there, nk, keys, width)
            zero_absent(of_value, numbers[OF_VALUE + 2], room.there, nk, keys, width)
            key, value = place_of(numbers, KEY, scene, head), place_of(numbers, VALUE, scene, head)
            pack(room.keys, packed, key, numbers[KEY + 2], room.there, nk, rows, ONE, width)
            pack(room.values, packed, value, numbers[VALUE + 2], room.there, nk, rows, ONE, width)
            zero(room.of_keys, rows * packed)
            zero(of_values, rows * packed)
            query, out = place_of(numbers, QUERY, scene, head), place_of(numbers, OUT, scene, head)
            for block in range(0, nq, room.lanes):
                lanes, count = lanes_of(room, nq - block), min(room.lanes, nq - block)
                places = shift(room.looking, block)
                pack(
                    room.queries, packed, query, numbers[QUERY + 2], places, count, lanes, scale,
                    width,
                )  # fmt: skip
                pack(room.upstream, packed, out, numbers[OUT + 2], places, count, lanes, ONE, width)
                place = (scene * heads + head) * 2 * slots + block
                largest = as_float32(numbers[STATISTICS] + 4 * place)
                walk_back(
                    room, lanes, count, nk, width, masked, shift(room.permitted, block * nk),
                    room.keys, room.values, room.queries, room.upstream, largest,
                    shift(largest, slots), room.rows, room.of_keys, of_values,
                )  # fmt: skip
                for i in range(count):
                    row = shift(of_query, places[i] * numbers[OF_QUERY + 2])
                    copy_row(row, shift(room.rows, i * packed), scale, width)
            unpack(of_key, numbers[OF_KEY + 2], room.there, room.of_keys, packed, nk, width)
            if not same:
                unpack(
                    of_value, numbers[OF_VALUE + 2], room.there, room.of_values, packed, nk, width
                )
    return 0

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
def _retreat(room, masked, mask, nk, largest, inverse):  # type: ignore[no-untyped-def]
    """Scores become weights, gradients of weights those of scores."""
    lanes = room.lanes
    if lanes == 8:
        if masked:
            masked_retreat_of_8(room.scores, room.of_scores, mask, lanes, nk, largest, inverse)
        else:
            retreat_of_8(room.scores, room.of_scores, mask, lanes, nk, largest, inverse)
        return
    for lane in range(0, lanes, 16):
        scores, upstream = shift(room.scores, lane), shift(room.of_scores, lane)
        most, share = shift(largest, lane), shift(inverse, lane)
        if masked:
            masked_retreat_of_16(scores, upstream, shift(mask, lane), lanes, nk, most, share)
        else:
            retreat_of_16(scores, upstream, mask, lanes, nk, most, share)


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
    lanes, packed = room.lanes, room.width
    slots = (queries + lanes - 1) // lanes * lanes
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
            for block in range(0, nq, lanes):
                count = min(lanes, nq - block)
                scores_of(room, block, count, nk, width, query, numbers[QUERY + 2], scale)
                places = shift(room.looking, block)
                pack(room.upstream, packed, out, numbers[OUT + 2], places, count, lanes, ONE, width)
                turn(room.upstream_across, lanes, room.upstream, packed, room.permitted)
                multiply(
                    room.of_scores, lanes, rows, lanes, room.values, packed, 1,
                    room.upstream_across, lanes, width,
                )  # fmt: skip
                place = (scene * heads + head) * 2 * slots + block
                largest = as_float32(numbers[STATISTICS] + 4 * place)
                mask = shift(room.permitted, block * nk)
                _retreat(room, masked, mask, nk, largest, shift(largest, slots))
                few = (count + GROUP - 1) // GROUP * GROUP
                multiply(
                    room.rows, packed, few, packed, room.of_scores, 1, lanes, room.keys, packed, nk
                )
                for i in range(count):
                    row = shift(of_query, places[i] * numbers[OF_QUERY + 2])
                    copy_row(row, shift(room.rows, i * packed), scale, width)
                add_product(
                    room.of_keys, packed, rows, packed, room.of_scores, lanes, 1, room.queries,
                    packed, count,
                )  # fmt: skip
                add_product(
                    of_values, packed, rows, packed, room.scores, lanes, 1, room.upstream, packed,
                    count,
                )  # fmt: skip
            unpack(of_key, numbers[OF_KEY + 2], room.there, room.of_keys, packed, nk, width)
            if not same:
                unpack(
                    of_value, numbers[OF_VALUE + 2], room.there, room.of_values, packed, nk, width
                )
    return 0

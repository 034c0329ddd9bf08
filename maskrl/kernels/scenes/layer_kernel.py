"""A whole layer for some scenes, batch by batch: gather, project, attend, project, put back.

`layer(plan)` writes the output, and what the way back needs if a place is given;
`layer_gradient(plan)` writes the gradient of the input and adds to those of the weights. Rows that
are not there are neither read nor computed; theirs are written as zeros. Products come in whole
groups of rows: those behind the last one hold anything, and nobody reads what becomes of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, as_uint8, shift
from maskrl.kernels.scenes.forward import COMPILED, ONE, mix, scores_of
from maskrl.kernels.scenes.gradient import walk_back
from maskrl.kernels.scenes.layer_plan import (
    BATCH,
    DIM,
    INTO,
    MIXED,
    MORE_ROOM,
    OUT_OF,
    RESULT,
    ROWS,
    SAVED,
    SUMS,
    UPSTREAM,
    X,
)
from maskrl.kernels.scenes.layout import (
    copy_row,
    divide_room,
    lanes_of,
    list_there,
    pack,
    turn_mask,
    unpack,
    zero,
    zero_absent,
)
from maskrl.kernels.scenes.plan import (
    EIGHT,
    FIRST,
    GROUP,
    HEADS,
    LAST,
    MASK,
    MASK_ROW,
    MASK_SCENE,
    QUERIES,
    STATISTICS,
    THERE,
    THERE_SCENE,
    WIDTH,
)
from maskrl.kernels.scenes.products import INNER, add_product, multiply


class BatchRoom(NamedTuple):
    """Sizes, and working memory for the rows of a batch."""

    rows: Any  # room for so many
    dim: Any  # padded, as is the next
    inner: Any
    x: Any  # [rows, dim], as is the next
    y: Any
    upstream: Any  # [rows, dim], on the way back only
    blocks: Any  # [3 * heads, rows, width]
    mixed: Any  # [rows, inner] or [heads, rows, width]


@njit(**INNER)
def _divide(numbers, room):  # type: ignore[no-untyped-def]
    rows, dim = numbers[ROWS], (numbers[DIM] + EIGHT - 1) // EIGHT * EIGHT
    inner = numbers[HEADS] * room.width
    begin = (numbers[MORE_ROOM] + 63) // 64 * 64
    of_rows = 4 * rows * dim
    blocks = begin + (2 + (numbers[UPSTREAM] != 0)) * of_rows
    return BatchRoom(
        rows,
        dim,
        inner,
        as_float32(begin),
        as_float32(begin + of_rows),
        as_float32(begin + 2 * of_rows),
        as_float32(blocks),
        as_float32(blocks + 12 * rows * inner),
    )


@njit(**INNER)
def _list(numbers, scene, room):  # type: ignore[no-untyped-def]
    flags = numbers[THERE]
    if flags != 0:
        flags += scene * numbers[THERE_SCENE]
    return list_there(flags, numbers[QUERIES], room.there)


@njit(**INNER)
def _gather(numbers, source, first, last, room, own, target):  # type: ignore[no-untyped-def]
    """Rows that are there of a batch, one behind the other; return how many."""
    entities, dim = numbers[QUERIES], numbers[DIM]
    count = np.int64(0)
    for scene in range(first, last):
        n = _list(numbers, scene, room)
        begin = shift(as_float32(source), scene * entities * dim)
        pack(shift(target, count * own.dim), own.dim, begin, dim, room.there, n, n, ONE, dim)
        count += n
    padded = (count + EIGHT - 1) // EIGHT * EIGHT
    zero(shift(target, count * own.dim), (padded - count) * own.dim)
    return count


@njit(**INNER)
def _put_back(numbers, target, first, last, room, own, source):  # type: ignore[no-untyped-def]
    """Put a batch's rows to their places, and zeros where nobody is."""
    entities, dim = numbers[QUERIES], numbers[DIM]
    count = np.int64(0)
    for scene in range(first, last):
        n = _list(numbers, scene, room)
        begin = shift(as_float32(target), scene * entities * dim)
        unpack(begin, dim, room.there, shift(source, count * own.dim), own.dim, n, dim)
        zero_absent(begin, dim, room.there, n, entities, dim)
        count += n


@njit(**INNER)
def _look(numbers, scene, room):  # type: ignore[no-untyped-def]
    """Who is there, how many, and whether a mask counts among them, which is then turned."""
    n = _list(numbers, scene, room)
    if numbers[MASK] == 0:
        return n, False
    mask = as_uint8(numbers[MASK] + scene * numbers[MASK_SCENE])
    if numbers[MASK_ROW] == 0:
        excluded = 0
        for i in range(n):
            excluded += mask[room.there[i]] == 0
        if excluded == 0:
            return n, False
    for i in range(n):
        room.looking[i] = room.there[i]
    turn_mask(room, mask, numbers[MASK_ROW], n, n)
    return n, True


@njit(**COMPILED)
def layer(plan):  # type: ignore[no-untyped-def]
    """Write `RESULT`, and `SAVED`, `MIXED` and `STATISTICS` if places are given."""
    numbers = as_int64(plan)
    room = divide_room(numbers)
    own = _divide(numbers, room)
    heads, width, dim = numbers[HEADS], numbers[WIDTH], numbers[DIM]
    rows, packed, batch = own.rows, room.width, numbers[BATCH]
    slots = (numbers[QUERIES] + room.lanes - 1) // room.lanes * room.lanes
    into, out_of = as_float32(numbers[INTO]), as_float32(numbers[OUT_OF])
    blocks, mixed = own.blocks, own.mixed
    for first in range(numbers[FIRST], numbers[LAST], batch):
        last = min(first + batch, numbers[LAST])
        if numbers[SAVED] != 0:
            place = 4 * (first // batch) * rows * own.inner
            blocks = as_float32(numbers[SAVED] + 3 * place)
            mixed = as_float32(numbers[MIXED] + place)
        total = _gather(numbers, numbers[X], first, last, room, own, own.x)
        padded = (total + EIGHT - 1) // EIGHT * EIGHT
        for part in range(3 * heads):
            multiply(
                shift(blocks, part * rows * packed), packed, padded, packed, own.x, own.dim, 1,
                shift(into, part * dim * packed), packed, dim,
            )  # fmt: skip
        begin = np.int64(0)
        for scene in range(first, last):
            n, masked = _look(numbers, scene, room)
            for head in range(heads):
                queries = shift(blocks, (head * rows + begin) * packed)
                keys = shift(queries, heads * rows * packed)
                values = shift(keys, heads * rows * packed)
                for block in range(0, n, room.lanes):
                    lanes, count = lanes_of(room, n - block), min(room.lanes, n - block)
                    scores_of(room, lanes, n, width, keys, shift(queries, block * packed))
                    largest, inverse = room.largest, room.inverse
                    if numbers[STATISTICS] != 0:
                        place = (scene * heads + head) * 2 * slots + block
                        largest = as_float32(numbers[STATISTICS] + 4 * place)
                        inverse = shift(largest, slots)
                    mask = shift(room.permitted, block * n)
                    mix(room, lanes, count, n, masked, mask, values, largest, inverse)
                    target = shift(mixed, (begin + block) * own.inner + head * packed)
                    for i in range(count):
                        row = shift(room.rows, i * packed)
                        copy_row(shift(target, i * own.inner), row, inverse[i], packed)
            begin += n
        multiply(own.y, own.dim, padded, own.dim, mixed, own.inner, 1, out_of, own.dim, own.inner)
        _put_back(numbers, numbers[RESULT], first, last, room, own, own.y)
    return 0


@njit(**COMPILED)
def layer_gradient(plan):  # type: ignore[no-untyped-def]
    """Write `RESULT`, the gradient of the input if it is wanted, and add to `SUMS`."""
    numbers = as_int64(plan)
    room = divide_room(numbers)
    own = _divide(numbers, room)
    heads, width, dim = numbers[HEADS], numbers[WIDTH], numbers[DIM]
    rows, packed, batch = own.rows, room.width, numbers[BATCH]
    slots = (numbers[QUERIES] + room.lanes - 1) // room.lanes * room.lanes
    out_of, into = as_float32(numbers[OUT_OF]), as_float32(numbers[INTO])
    of_into = as_float32(numbers[SUMS])
    of_out_of = shift(of_into, 3 * own.inner * own.dim)
    of_blocks, of_mixed = own.blocks, own.mixed
    for first in range(numbers[FIRST], numbers[LAST], batch):
        last = min(first + batch, numbers[LAST])
        place = 4 * (first // batch) * rows * own.inner
        blocks, mixed = as_float32(numbers[SAVED] + 3 * place), as_float32(numbers[MIXED] + place)
        total = _gather(numbers, numbers[X], first, last, room, own, own.x)
        _gather(numbers, numbers[UPSTREAM], first, last, room, own, own.upstream)
        padded = (total + EIGHT - 1) // EIGHT * EIGHT
        for head in range(heads):
            multiply(
                shift(of_mixed, head * rows * packed), packed, padded, packed, own.upstream,
                own.dim, 1, shift(out_of, head * dim * packed), packed, dim,
            )  # fmt: skip
        add_product(
            of_out_of, own.inner, own.dim, own.inner, own.upstream, 1, own.dim, mixed, own.inner,
            total,
        )  # fmt: skip
        begin = np.int64(0)
        for scene in range(first, last):
            n, masked = _look(numbers, scene, room)
            for head in range(heads):
                place = (head * rows + begin) * packed
                queries, of_queries = shift(blocks, place), shift(of_blocks, place)
                upstream, step = shift(of_mixed, place), heads * rows * packed
                keys, of_keys = shift(queries, step), shift(of_queries, step)
                values, of_values = shift(keys, step), shift(of_keys, step)
                whole = (n + GROUP - 1) // GROUP * GROUP
                zero(of_keys, whole * packed)
                zero(of_values, whole * packed)
                for block in range(0, n, room.lanes):
                    lanes, count = lanes_of(room, n - block), min(room.lanes, n - block)
                    place = (scene * heads + head) * 2 * slots + block
                    largest = as_float32(numbers[STATISTICS] + 4 * place)
                    walk_back(
                        room, lanes, count, n, width, masked, shift(room.permitted, block * n),
                        keys, values, shift(queries, block * packed),
                        shift(upstream, block * packed), largest, shift(largest, slots),
                        shift(of_queries, block * packed), of_keys, of_values,
                    )  # fmt: skip
            begin += n
        for part in range(3 * heads):
            block = shift(of_blocks, part * rows * packed)
            add_product(
                shift(of_into, part * packed * own.dim), own.dim, packed, own.dim, block, 1, packed,
                own.x, own.dim, total,
            )  # fmt: skip
        if numbers[RESULT] == 0:
            continue
        zero(own.y, padded * own.dim)
        for part in range(3 * heads):
            add_product(
                own.y, own.dim, padded, own.dim, shift(of_blocks, part * rows * packed), packed, 1,
                shift(into, part * packed * own.dim), own.dim, packed,
            )  # fmt: skip
        _put_back(numbers, numbers[RESULT], first, last, room, own, own.y)
    return 0

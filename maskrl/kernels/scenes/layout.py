"""Rows of scenes into working memory and back, and the mask turned keys first.

Entities that are not there are left out while rows are packed, so what their rows hold is never
read, and nothing is computed for them. Packed rows are a whole number of vectors wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from maskrl.kernels.fused.memory import as_float32, as_int64, as_uint8, shift
from maskrl.kernels.fused.transposing import load_unmasked
from maskrl.kernels.scenes.plan import (
    EIGHT,
    GROUP,
    KEYS,
    LOOKING,
    LOOKING_SCENE,
    MASK,
    MASK_ROW,
    MASK_SCENE,
    MOST_LANES,
    QUERIES,
    ROOM,
    THERE,
    THERE_SCENE,
    WIDTH,
)
from maskrl.kernels.scenes.products import FLOAT, INLINE, INNER, NUMBER, POINTER, at, spread


class Room(NamedTuple):
    """Working memory of one part, for one head of one scene at a time."""

    lanes: Any  # queries side by side at most
    width: Any  # of packed rows
    keys: Any  # [keys, width], as are the next three
    values: Any
    of_keys: Any
    of_values: Any
    queries: Any  # [lanes, width], as are the next two
    upstream: Any
    rows: Any
    queries_across: Any  # [width, lanes], as is the next
    upstream_across: Any
    scores: Any  # [keys, lanes], as is the next
    of_scores: Any
    largest: Any  # [lanes], as is the next
    inverse: Any
    permitted: Any  # bytes [blocks of queries, keys, lanes]
    looking: Any  # int64: the queries that are there
    there: Any  # int64: the keys that are there


@njit(**INNER)
def divide_room(numbers):  # type: ignore[no-untyped-def]
    """Say what lies where in the working memory of a part."""
    queries, keys, width = numbers[QUERIES], numbers[KEYS], numbers[WIDTH]
    lanes = np.int64(MOST_LANES)
    if queries <= 8:
        lanes = np.int64(8)
    elif queries <= 16:
        lanes = np.int64(16)
    keys = (keys + GROUP - 1) // GROUP * GROUP
    width = (width + EIGHT - 1) // EIGHT * EIGHT
    begin = (numbers[ROOM] + 63) // 64 * 64
    of_keys, of_lanes, of_scores = 4 * keys * width, 4 * lanes * width, 4 * keys * lanes
    lanes_at = begin + 4 * of_keys
    scores_at = lanes_at + 5 * of_lanes
    largest_at = scores_at + 2 * of_scores
    lists_at = largest_at + 8 * lanes
    mask_at = lists_at + 8 * (queries + keys)
    return Room(
        lanes,
        width,
        as_float32(begin),
        as_float32(begin + of_keys),
        as_float32(begin + 2 * of_keys),
        as_float32(begin + 3 * of_keys),
        as_float32(lanes_at),
        as_float32(lanes_at + of_lanes),
        as_float32(lanes_at + 2 * of_lanes),
        as_float32(lanes_at + 3 * of_lanes),
        as_float32(lanes_at + 4 * of_lanes),
        as_float32(scores_at),
        as_float32(scores_at + of_scores),
        as_float32(largest_at),
        as_float32(largest_at + 4 * lanes),
        as_uint8(mask_at),
        as_int64(lists_at),
        as_int64(lists_at + 8 * queries),
    )


@intrinsic
def _copy_vectors(typing_context, target, source, factor, count):  # type: ignore[no-untyped-def]
    """Write `factor` times so many vectors of 8 numbers."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        target_, source_, factor_, count_ = args
        vector = ir.VectorType(FLOAT, 8)
        factors = spread(builder, factor_, 8)
        with cgutils.for_range(builder, count_, intp=NUMBER) as loop:
            offset = builder.mul(loop.index, NUMBER(8))
            x = builder.load(at(builder, source_, offset, vector), align=4)
            builder.store(builder.fmul(x, factors), at(builder, target_, offset, vector), align=4)
        return context.get_dummy_value()

    return types.void(POINTER, POINTER, types.float32, types.int64), codegen


@njit(**INLINE)
def copy_row(target, source, factor, width):  # type: ignore[no-untyped-def]
    """Write `factor` times a row."""
    vectors = width >> 3
    _copy_vectors(target, source, factor, vectors)
    for d in range(vectors << 3, width):
        target[d] = factor * source[d]


@njit(**INLINE)
def place_of(numbers, what, scene, head):  # type: ignore[no-untyped-def]
    """Where the rows of one head of one scene begin."""
    offset = scene * numbers[what + 1] + head * numbers[what + 3]
    return as_float32(numbers[what] + 4 * offset)


@njit(**INNER)
def zero(target, count):  # type: ignore[no-untyped-def]
    """Write zeros."""
    for i in range(count):
        target[i] = np.float32(0.0)


@njit(**INNER)
def list_there(flags, count, found):  # type: ignore[no-untyped-def]
    """List the places whose flag is set; address 0 sets all. Return how many there are."""
    if flags == 0:
        for i in range(count):
            found[i] = i
        return count
    marks = as_uint8(flags)
    number = 0
    for i in range(count):
        found[number] = i
        number += marks[i] != 0
    return number


@njit(**INNER)
def pack(target, packed_width, source, row_stride, places, count, padded, factor, width):  # type: ignore[no-untyped-def]
    """Pack the rows at some places, times a factor, and zeros behind and below them."""
    for i in range(count):
        row = shift(target, i * packed_width)
        copy_row(row, shift(source, places[i] * row_stride), factor, width)
        for d in range(width, packed_width):
            row[d] = np.float32(0.0)
    zero(shift(target, count * packed_width), (padded - count) * packed_width)


@njit(**INNER)
def unpack(target, row_stride, places, source, packed_width, count, width):  # type: ignore[no-untyped-def]
    """Put packed rows to their places."""
    for i in range(count):
        row = shift(target, places[i] * row_stride)
        copy_row(row, shift(source, i * packed_width), np.float32(1.0), width)


@njit(**INNER)
def zero_absent(target, row_stride, places, count, rows, width):  # type: ignore[no-untyped-def]
    """Write zeros to the rows that are not listed."""
    if count == rows:
        return
    number = 0
    for i in range(rows):
        if number < count and places[number] == i:
            number += 1
        else:
            zero(shift(target, i * row_stride), width)


@njit(**INNER)
def turn(target, lanes, source, width, no_mask):  # type: ignore[no-untyped-def]
    """Write packed rows [lanes, width] as [width, lanes]."""
    for i in range(0, lanes, 8):
        for d in range(0, width, 8):
            load_unmasked(
                shift(target, d * lanes + i), lanes, shift(source, i * width + d), width, 7,
                no_mask, 0,
            )  # fmt: skip


@njit(**INNER)
def look_around(numbers, scene, room):  # type: ignore[no-untyped-def]
    """List who looks and who is there, and turn their mask keys first; return how many of both.

    A mask that is the same for all queries of a scene becomes a part of the list.
    """
    queries, keys = numbers[QUERIES], numbers[KEYS]
    looking, there = numbers[LOOKING], numbers[THERE]
    if looking != 0:
        looking += scene * numbers[LOOKING_SCENE]
    if there != 0:
        there += scene * numbers[THERE_SCENE]
    nq = list_there(looking, queries, room.looking)
    nk = list_there(there, keys, room.there)
    if numbers[MASK] == 0:
        return nq, nk
    mask = as_uint8(numbers[MASK] + scene * numbers[MASK_SCENE])
    stride = numbers[MASK_ROW]
    if stride == 0:
        number = 0
        for j in range(nk):
            place = room.there[j]
            room.there[number] = place
            number += mask[place] != 0
        return nq, number
    turn_mask(room, mask, stride, nq, nk)
    return nq, nk


@njit(**INLINE)
def lanes_of(room, left):  # type: ignore[no-untyped-def]
    """How many queries the next block has side by side."""
    return min(room.lanes, (left + EIGHT - 1) // EIGHT * EIGHT)


@njit(**INNER)
def turn_mask(room, permission, stride, nq, nk):  # type: ignore[no-untyped-def]
    """Write the mask of those who look and are there, block by block, keys first."""
    if nk == 0:
        return
    for begin in range(0, nq, room.lanes):
        lanes = lanes_of(room, nq - begin)
        block = shift(room.permitted, begin * nk)
        for lane in range(lanes):
            column = shift(block, lane)
            if begin + lane < nq:
                row = shift(permission, room.looking[begin + lane] * stride)
                if room.there[nk - 1] == nk - 1:
                    for j in range(nk):
                        column[j * lanes] = row[j]
                else:
                    for j in range(nk):
                        column[j * lanes] = row[room.there[j]]
            else:
                for j in range(nk):
                    column[j * lanes] = 1

"""Rows into lanes and back, eight by eight, with shuffles instead of single moves.

A tile holds 32 rows as lanes, so that rows are transposed while they are loaded and while
results are stored. Moved one by one, that takes longer than the exponentials. Masks, bytes or
bits, are applied on the way in, where the entries of a row still lie together.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

EIGHT = 8
"""Rows and columns that are transposed together."""

# Three rounds of shuffles transpose 8 x 8: pairs of numbers, pairs of pairs, halves.
_LOW = (0, 8, 1, 9, 4, 12, 5, 13)
_HIGH = (2, 10, 3, 11, 6, 14, 7, 15)
_FIRST_PAIRS = (0, 1, 8, 9, 4, 5, 12, 13)
_SECOND_PAIRS = (2, 3, 10, 11, 6, 7, 14, 15)
_FIRST_HALVES = (0, 1, 2, 3, 8, 9, 10, 11)
_SECOND_HALVES = (4, 5, 6, 7, 12, 13, 14, 15)


def _shuffle(builder: Any, a: Any, b: Any, places: tuple[int, ...]) -> Any:
    """Pick eight of the sixteen numbers of two vectors."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), EIGHT), list(places))
    return builder.shuffle_vector(a, b, mask)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight vectors of eight numbers."""
    ones = []
    for i in range(0, EIGHT, 2):
        ones.append(_shuffle(builder, rows[i], rows[i + 1], _LOW))
        ones.append(_shuffle(builder, rows[i], rows[i + 1], _HIGH))
    twos = []
    for i in (0, 4):
        for k in (0, 1):
            twos.append(_shuffle(builder, ones[i + k], ones[i + k + 2], _FIRST_PAIRS))
            twos.append(_shuffle(builder, ones[i + k], ones[i + k + 2], _SECOND_PAIRS))
    firsts = [_shuffle(builder, twos[i], twos[i + 4], _FIRST_HALVES) for i in range(4)]
    seconds = [_shuffle(builder, twos[i], twos[i + 4], _SECOND_HALVES) for i in range(4)]
    return firsts + seconds


def _vector_at(context: Any, builder: Any, pointer: Any, offset: Any, element: Any) -> Any:
    """The address of eight numbers behind a pointer."""
    return builder.bitcast(
        builder.gep(pointer, [offset]), ir.VectorType(element, EIGHT).as_pointer()
    )


def _number(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _row(builder: Any, k: int, last: Any) -> Any:
    """Row k of a group, or its last one: what lies behind it must not be touched."""
    number = _number(k)
    return builder.select(builder.icmp_signed("<", number, last), number, last)


def _eight_bits(builder: Any, place: Any, skip: Any) -> Any:
    """The eight bits behind the first `skip` of a byte; the byte after it is read only then."""
    wide = ir.IntType(16)
    more = builder.zext(builder.icmp_signed("!=", skip, _number(0)), ir.IntType(64))
    low = builder.zext(builder.load(place, align=1), wide)
    high = builder.zext(builder.load(builder.gep(place, [more]), align=1), wide)
    both = builder.or_(low, builder.shl(high, wide(8)))
    return builder.trunc(builder.lshr(both, builder.trunc(skip, wide)), ir.IntType(8))


def _load_by(mask_is_bits: bool | None) -> Any:
    """Intrinsic that loads eight columns of up to eight rows into lanes of a tile.

    Bits begin `skip` after the lowest of the byte that `mask` points to.
    """

    def write(context, builder, signature, args):  # type: ignore[no-untyped-def]
        tile_, step_, logits_, stride_, last_, mask_, mask_stride_, *skip_ = args
        tile = signature.args[0]
        number = context.get_data_type(tile.dtype)
        size = tile.dtype.bitwidth // 8
        blocked = ir.Constant(ir.VectorType(number, EIGHT), [-math.inf] * EIGHT)
        rows = []
        for k in range(EIGHT):
            row = _row(builder, k, last_)
            at = _vector_at(context, builder, logits_, builder.mul(row, stride_), number)
            x = builder.load(at, align=size)
            if mask_is_bits is not None:
                place = builder.gep(mask_, [builder.mul(row, mask_stride_)])
                if mask_is_bits:
                    flags = _eight_bits(builder, place, skip_[0])
                    allowed = builder.bitcast(flags, ir.VectorType(ir.IntType(1), EIGHT))
                else:
                    eight = ir.VectorType(ir.IntType(8), EIGHT)
                    flags = builder.load(builder.bitcast(place, eight.as_pointer()), align=1)
                    none = ir.Constant(eight, [0] * EIGHT)
                    allowed = builder.icmp_unsigned("!=", flags, none)
                x = builder.select(allowed, x, blocked)
            rows.append(x)
        for k, column in enumerate(_transposed(builder, rows)):
            offset = builder.mul(step_, _number(k))
            at = _vector_at(context, builder, tile_, offset, number)
            builder.store(column, at, align=size)
        return context.get_dummy_value()

    integers = types.int64, types.int64

    @intrinsic
    def load(typing_context, tile, step, logits, stride, last, mask, mask_stride):  # type: ignore[no-untyped-def]
        arguments = (tile, types.int64, logits, *integers, mask, types.int64)
        return types.void(*arguments), write

    @intrinsic
    def load_bits(typing_context, tile, step, logits, stride, last, mask, mask_stride, skip):  # type: ignore[no-untyped-def]
        return types.void(tile, types.int64, logits, *integers, mask, *integers), write

    return load_bits if mask_is_bits else load


load_unmasked = _load_by(None)
load_by_bytes = _load_by(False)
load_by_bits = _load_by(True)


@intrinsic
def store_eight(typing_context, tile, step, out, stride, last):  # type: ignore[no-untyped-def]
    """Write eight steps of eight lanes of a tile to eight columns of up to eight rows."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        tile_, step_, out_, stride_, last_ = args
        number = context.get_data_type(tile.dtype)
        size = tile.dtype.bitwidth // 8
        columns = []
        for k in range(EIGHT):
            offset = builder.mul(step_, _number(k))
            at = _vector_at(context, builder, tile_, offset, number)
            columns.append(builder.load(at, align=size))
        rows = _transposed(builder, columns)
        # From the last to the first: rows that are not there go to the place of the last one,
        # which is written after them.
        for k in reversed(range(EIGHT)):
            at = _vector_at(
                context, builder, out_, builder.mul(_row(builder, k, last_), stride_), number
            )
            builder.store(rows[k], at, align=size)
        return context.get_dummy_value()

    return types.void(tile, types.int64, out, types.int64, types.int64), codegen

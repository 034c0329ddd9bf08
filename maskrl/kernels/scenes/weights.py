"""From scores to weights and back, keys first, 8 or 16 queries in the lanes of a vector.

`exponentials` turns the scores of all keys into exponentials and tells the largest score and the
inverse of the sum of each query; `weights_again` makes the normalised weights from scores with
these two; `retreat` turns the gradient of weights into that of scores. A mask is a byte for each
score, in the same layout. What it excludes has weight 0 and gradient 0 by selection, whatever the
score. A query that may attend to nothing gets largest score 0 and inverse 0. One whose permitted
scores are all -inf gets NaN, as of any other softmax: what overflowed shows.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from maskrl.kernels.scenes.products import CONTRACT, FLOAT, NUMBER, POINTER, at

_BYTES = types.CPointer(types.uint8)
_LOWEST = -87.33


def _constant(lanes: int, value: float) -> Any:
    return ir.Constant(ir.VectorType(FLOAT, lanes), [value] * lanes)


def _exponential(builder: Any, x: Any, lanes: int) -> Any:
    """exp(x) for x <= 0 or NaN, with a relative error near 1e-7; 0 below the normal numbers.

    The same polynomial as `maskrl.kernels.fused.exponential.exp_below`.
    """

    def number(value: float) -> Any:
        return _constant(lanes, value)

    def times_plus(a: Any, b: Any, c: Any) -> Any:
        return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)

    integers = ir.VectorType(ir.IntType(32), lanes)
    rounding = number(12582912.0)
    shifted = times_plus(x, number(1.4426950216293335), rounding)
    n = builder.fsub(shifted, rounding)
    r = times_plus(n, number(-0.693359375), x)
    r = times_plus(n, number(0.00021219444170128554), r)
    p = number(0.0013981999363750219)
    for coefficient in (
        0.008333452045917511,
        0.041665796190500259,
        0.16666665673255920,
        0.5,
    ):
        p = times_plus(p, r, number(coefficient))
    p = times_plus(p, builder.fmul(r, r), builder.fadd(r, number(1.0)))
    bits = builder.shl(builder.bitcast(shifted, integers), ir.Constant(integers, [23] * lanes))
    bits = builder.add(bits, ir.Constant(integers, [0x3F800000] * lanes))
    e = builder.fmul(p, builder.bitcast(bits, p.type))
    below = builder.fcmp_ordered("<", x, number(_LOWEST))
    return builder.select(below, number(0.0), e)


def _allowed(builder: Any, mask: Any, offset: Any, lanes: int) -> Any:
    """Which lanes a mask allows."""
    vector = ir.VectorType(ir.IntType(8), lanes)
    flags = builder.load(at(builder, mask, offset, vector), align=1)
    return builder.icmp_unsigned("!=", flags, ir.Constant(vector, [0] * lanes))


def _exponentials(lanes: int, *, masked: bool) -> Any:
    vector = ir.VectorType(FLOAT, lanes)

    @intrinsic
    def exponentials(typing_context, scores, mask, stride, keys, largest, inverse):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            scores_, mask_, stride_, keys_, largest_, inverse_ = args
            nothing = _constant(lanes, -math.inf)
            zero = _constant(lanes, 0.0)
            most = cgutils.alloca_once(builder, vector)
            total = cgutils.alloca_once(builder, vector)
            flags = ir.VectorType(ir.IntType(1), lanes)
            some = cgutils.alloca_once(builder, flags)
            builder.store(nothing, most)
            builder.store(zero, total)
            builder.store(ir.Constant(flags, [int(not masked)] * lanes), some)
            with cgutils.for_range(builder, keys_, intp=NUMBER) as loop:
                offset = builder.mul(loop.index, stride_)
                place = at(builder, scores_, offset, vector)
                x = builder.load(place, align=4)
                if masked:
                    allowed = _allowed(builder, mask_, offset, lanes)
                    builder.store(builder.or_(builder.load(some), allowed), some)
                    x = builder.select(allowed, x, nothing)
                    builder.store(x, place, align=4)
                before = builder.load(most)
                more = builder.fcmp_ordered(">", x, before)
                builder.store(builder.select(more, x, before), most)
            found = builder.load(most)
            found = builder.select(builder.load(some), found, zero)
            with cgutils.for_range(builder, keys_, intp=NUMBER) as loop:
                place = at(builder, scores_, builder.mul(loop.index, stride_), vector)
                x = builder.fsub(builder.load(place, align=4), found)
                e = _exponential(builder, x, lanes)
                builder.store(e, place, align=4)
                builder.store(builder.fadd(builder.load(total), e), total)
            builder.store(found, at(builder, largest_, NUMBER(0), vector), align=4)
            sums = builder.load(total)
            none = builder.fcmp_ordered("==", sums, zero)
            ones = builder.select(none, zero, _constant(lanes, 1.0))
            sums = builder.select(none, _constant(lanes, 1.0), sums)
            inverses = builder.fdiv(ones, sums)
            builder.store(inverses, at(builder, inverse_, NUMBER(0), vector), align=4)
            return context.get_dummy_value()

        long = types.int64
        return types.void(POINTER, _BYTES, long, long, POINTER, POINTER), codegen

    return exponentials


def _retreat(lanes: int, *, masked: bool) -> Any:
    vector = ir.VectorType(FLOAT, lanes)

    @intrinsic
    def retreat(typing_context, scores, upstream, mask, stride, keys, largest, inverse):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            scores_, upstream_, mask_, stride_, keys_, largest_, inverse_ = args
            zero = _constant(lanes, 0.0)
            most = builder.load(at(builder, largest_, NUMBER(0), vector), align=4)
            share = builder.load(at(builder, inverse_, NUMBER(0), vector), align=4)
            total = cgutils.alloca_once(builder, vector)
            builder.store(zero, total)
            with cgutils.for_range(builder, keys_, intp=NUMBER) as loop:
                offset = builder.mul(loop.index, stride_)
                place = at(builder, scores_, offset, vector)
                x = builder.fsub(builder.load(place, align=4), most)
                weight = builder.fmul(_exponential(builder, x, lanes), share)
                of_weight = at(builder, upstream_, offset, vector)
                g = builder.load(of_weight, align=4)
                if masked:
                    allowed = _allowed(builder, mask_, offset, lanes)
                    weight = builder.select(allowed, weight, zero)
                    g = builder.select(allowed, g, zero)
                    builder.store(g, of_weight, align=4)
                builder.store(weight, place, align=4)
                term = builder.fmul(weight, g, flags=CONTRACT)
                builder.store(builder.fadd(builder.load(total), term, flags=CONTRACT), total)
            mean = builder.load(total)
            with cgutils.for_range(builder, keys_, intp=NUMBER) as loop:
                offset = builder.mul(loop.index, stride_)
                weight = builder.load(at(builder, scores_, offset, vector), align=4)
                of_weight = at(builder, upstream_, offset, vector)
                g = builder.fsub(builder.load(of_weight, align=4), mean)
                builder.store(builder.fmul(g, weight), of_weight, align=4)
            return context.get_dummy_value()

        long = types.int64
        arguments = (POINTER, POINTER, _BYTES, long, long, POINTER, POINTER)
        return types.void(*arguments), codegen

    return retreat


exponentials_of_8 = _exponentials(8, masked=False)
exponentials_of_16 = _exponentials(16, masked=False)
masked_exponentials_of_8 = _exponentials(8, masked=True)
masked_exponentials_of_16 = _exponentials(16, masked=True)
retreat_of_8 = _retreat(8, masked=False)
retreat_of_16 = _retreat(16, masked=False)
masked_retreat_of_8 = _retreat(8, masked=True)
masked_retreat_of_16 = _retreat(16, masked=True)

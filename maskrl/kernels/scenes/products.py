"""Small matrix products on packed rows, held in registers: what attention consists of.

`out[r, c] (+)= sum_k a[r, k] b[k, c]`, in tiles of a few rows and one or two vectors of columns.
Rows of `b` and `out` lie together; `a` has any strides, its numbers are spread over a vector one by
one.
Written as vectors outright, because a loop over an array of sums keeps it in memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from maskrl.kernels.fused.memory import shift

INLINE = {"fastmath": {"contract"}, "forceinline": True, "error_model": "numpy"}
INNER = {"fastmath": {"contract"}, "error_model": "numpy"}

FLOAT = ir.FloatType()
NUMBER = ir.IntType(64)
CONTRACT = ("contract",)

POINTER = types.CPointer(types.float32)


def at(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """The address of a vector behind a pointer."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def spread(builder: Any, number: Any, lanes: int) -> Any:
    """One number in all lanes of a vector."""
    vector = ir.VectorType(number.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), places)


def _product(rows: int, columns: int, lanes: int, *, adds: bool) -> Any:
    """Intrinsic for so many rows and vectors of columns; it adds to `out`, or overwrites it."""
    vector = ir.VectorType(FLOAT, lanes)

    @intrinsic
    def product(typing_context, out, out_stride, a, a_row, a_step, b, b_stride, steps):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            out_, out_stride_, a_, a_row_, a_step_, b_, b_stride_, steps_ = args
            zero = ir.Constant(vector, [0.0] * lanes)
            places, sums = {}, {}
            for r in range(rows):
                row = builder.mul(NUMBER(r), out_stride_)
                for c in range(columns):
                    place = at(builder, out_, builder.add(row, NUMBER(c * lanes)), vector)
                    places[r, c] = place
                    sums[r, c] = cgutils.alloca_once(builder, vector)
                    builder.store(zero, sums[r, c])
            with cgutils.for_range(builder, steps_, intp=NUMBER) as loop:
                k = loop.index
                line = builder.mul(k, b_stride_)
                ours = [
                    builder.load(
                        at(builder, b_, builder.add(line, NUMBER(c * lanes)), vector), align=4
                    )
                    for c in range(columns)
                ]
                begin = builder.mul(k, a_step_)
                for r in range(rows):
                    place = builder.gep(a_, [builder.add(begin, builder.mul(NUMBER(r), a_row_))])
                    factor = spread(builder, builder.load(place), lanes)
                    for c in range(columns):
                        term = builder.fmul(factor, ours[c], flags=CONTRACT)
                        total = builder.fadd(builder.load(sums[r, c]), term, flags=CONTRACT)
                        builder.store(total, sums[r, c])
            for key, place in places.items():
                total = builder.load(sums[key])
                if adds:  # last, so that errors grow with the number of products, not of steps
                    total = builder.fadd(builder.load(place, align=4), total)
                builder.store(total, place, align=4)
            return context.get_dummy_value()

        long = types.int64
        return types.void(POINTER, long, POINTER, long, long, POINTER, long, long), codegen

    return product


def _over_tiles(*, adds: bool) -> Any:
    """A product of any number of rows and columns, tile by tile."""
    four_by_32 = _product(4, 2, 16, adds=adds)
    eight_by_16, four_by_16 = (_product(rows, 1, 16, adds=adds) for rows in (8, 4))
    eight_by_8, four_by_8 = (_product(rows, 1, 8, adds=adds) for rows in (8, 4))

    @njit(**INNER)
    def product(out, out_stride, rows, columns, a, a_row, a_step, b, b_stride, steps):  # type: ignore[no-untyped-def]
        eights = rows - rows % 8
        c = 0
        while c + 32 <= columns:
            y = shift(b, c)
            for r in range(0, rows, 4):
                tile, x = shift(out, r * out_stride + c), shift(a, r * a_row)
                four_by_32(tile, out_stride, x, a_row, a_step, y, b_stride, steps)
            c += 32
        if c + 16 <= columns:
            y = shift(b, c)
            for r in range(0, eights, 8):
                tile, x = shift(out, r * out_stride + c), shift(a, r * a_row)
                eight_by_16(tile, out_stride, x, a_row, a_step, y, b_stride, steps)
            if eights < rows:
                tile, x = shift(out, eights * out_stride + c), shift(a, eights * a_row)
                four_by_16(tile, out_stride, x, a_row, a_step, y, b_stride, steps)
            c += 16
        if c < columns:
            y = shift(b, c)
            for r in range(0, eights, 8):
                tile, x = shift(out, r * out_stride + c), shift(a, r * a_row)
                eight_by_8(tile, out_stride, x, a_row, a_step, y, b_stride, steps)
            if eights < rows:
                tile, x = shift(out, eights * out_stride + c), shift(a, eights * a_row)
                four_by_8(tile, out_stride, x, a_row, a_step, y, b_stride, steps)

    return product


# Arguments: out, out_stride, rows, columns, a, a_row, a_step, b, b_stride, steps. `out` becomes
# a b [rows, columns], or a b is added to it; rows are a multiple of 4, columns of 8.
multiply = _over_tiles(adds=False)
add_product = _over_tiles(adds=True)

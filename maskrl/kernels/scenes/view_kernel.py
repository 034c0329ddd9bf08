"""Attention of single queries, each over a list of entities of its own, compiled.

`views(plan)` writes weights and mixtures of values, `views_gradient(plan)` the way back, and
`table_gradient(plan)` what all pairs together give to a table of biases. Nothing but listed rows
is read, one after the other, so that a query's numbers depend on its own list alone. Weights lie
view by view, in each head by head. Plans are those of `maskrl.kernels.scenes.view_plan`.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from maskrl.kernels.fused.exponential import LOWEST32, exp_below
from maskrl.kernels.fused.memory import as_float32, as_int64, float64_from_bits, shift
from maskrl.kernels.scenes.forward import COMPILED
from maskrl.kernels.scenes.layout import zero
from maskrl.kernels.scenes.products import (
    CONTRACT,
    FLOAT,
    INLINE,
    INNER,
    NUMBER,
    POINTER,
    at,
    spread,
)
from maskrl.kernels.scenes.view_plan import (
    FIRST,
    HEADS,
    KEY,
    LAST,
    MEMORY,
    OF_MEMORY,
    OF_QUERY,
    OF_SCORES,
    OF_TABLE,
    OFFSET,
    OUT,
    PAIR,
    QUERY,
    SCALE,
    TABLE,
    TABLE_SIZE,
    VIEW,
    WEIGHTS,
    WIDTH,
)

EIGHTS = ir.VectorType(FLOAT, 8)


@intrinsic
def _dot_of_vectors(typing_context, a, b, count):  # type: ignore[no-untyped-def]
    """The product of so many vectors of 8 numbers, summed up."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        a_, b_, count_ = args
        sums = cgutils.alloca_once(builder, EIGHTS)
        builder.store(ir.Constant(EIGHTS, [0.0] * 8), sums)
        with cgutils.for_range(builder, count_, intp=NUMBER) as loop:
            offset = builder.mul(loop.index, NUMBER(8))
            x, y = (builder.load(at(builder, p, offset, EIGHTS), align=4) for p in (a_, b_))
            term = builder.fmul(x, y, flags=CONTRACT)
            builder.store(builder.fadd(builder.load(sums), term, flags=CONTRACT), sums)
        total = builder.load(sums)
        for half in (4, 2, 1):
            nothing = ir.Constant(total.type, ir.Undefined)
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(first, first + half)))
                for first in (0, half)
            )
            total = builder.fadd(
                builder.shuffle_vector(total, nothing, low),
                builder.shuffle_vector(total, nothing, high),
            )
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(POINTER, POINTER, types.int64), codegen


@intrinsic
def _add_vectors(typing_context, target, source, factor, count):  # type: ignore[no-untyped-def]
    """Add `factor` times so many vectors of 8 numbers."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        target_, source_, factor_, count_ = args
        factors = spread(builder, factor_, 8)
        with cgutils.for_range(builder, count_, intp=NUMBER) as loop:
            offset = builder.mul(loop.index, NUMBER(8))
            x = builder.load(at(builder, source_, offset, EIGHTS), align=4)
            place = at(builder, target_, offset, EIGHTS)
            term = builder.fmul(factors, x, flags=CONTRACT)
            total = builder.fadd(builder.load(place, align=4), term, flags=CONTRACT)
            builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(POINTER, POINTER, types.float32, types.int64), codegen


@njit(**INLINE)
def dot(a, b, width):  # type: ignore[no-untyped-def]
    """The product of two rows."""
    vectors = width >> 3
    total = _dot_of_vectors(a, b, vectors)
    for d in range(vectors << 3, width):
        total += a[d] * b[d]
    return total


@njit(**INLINE)
def add_row(target, source, factor, width):  # type: ignore[no-untyped-def]
    """Add `factor` times a row."""
    vectors = width >> 3
    _add_vectors(target, source, factor, vectors)
    for d in range(vectors << 3, width):
        target[d] += factor * source[d]


@njit(**INNER)
def normalize(weights, count):  # type: ignore[no-untyped-def]
    """Scores become weights that sum to 1; scores that are all -inf become NaN, and show."""
    most = np.float32(-math.inf)
    for i in range(count):
        if weights[i] > most:
            most = weights[i]
    for i in range(count):
        x = weights[i] - most
        e = exp_below(x)
        weights[i] = np.float32(0.0) if x < LOWEST32 else e
    total = np.float32(0.0)
    for i in range(count):
        total += weights[i]
    share = np.float32(1.0) / total
    for i in range(count):
        weights[i] *= share


@njit(**COMPILED)
def views(plan):  # type: ignore[no-untyped-def]
    """Write `OUT` [views, heads * width] and `WEIGHTS`."""
    numbers = as_int64(plan)
    heads, width = numbers[HEADS], numbers[WIDTH]
    inner, table_size = heads * width, numbers[TABLE_SIZE]
    scale = np.float32(float64_from_bits(numbers[SCALE]))
    view, pair, key = as_int64(numbers[VIEW]), as_int64(numbers[PAIR]), as_int64(numbers[KEY])
    queries, memory = as_float32(numbers[QUERY]), as_float32(numbers[MEMORY])
    table, offset = as_float32(numbers[TABLE]), as_int64(numbers[OFFSET])
    for r in range(view[numbers[FIRST]], view[numbers[LAST]]):
        first, count = pair[r], pair[r + 1] - pair[r]
        out = shift(as_float32(numbers[OUT]), r * inner)
        zero(out, inner)
        if count == 0:
            continue
        query, weights = (
            shift(queries, r * inner),
            shift(as_float32(numbers[WEIGHTS]), first * heads),
        )
        for i in range(count):
            row = shift(memory, 2 * inner * key[first + i])
            for head in range(heads):
                d = head * width
                score = scale * dot(shift(query, d), shift(row, d), width)
                if table_size != 0:
                    score += table[head * table_size + offset[first + i]]
                weights[head * count + i] = score
        for head in range(heads):
            normalize(shift(weights, head * count), count)
        for i in range(count):
            row = shift(memory, 2 * inner * key[first + i] + inner)
            for head in range(heads):
                d = head * width
                add_row(shift(out, d), shift(row, d), weights[head * count + i], width)
    return 0


@njit(**COMPILED)
def views_gradient(plan):  # type: ignore[no-untyped-def]
    """Write `OF_QUERY` and `OF_SCORES`, and add to `OF_MEMORY`; `OUT` is the gradient of it."""
    numbers = as_int64(plan)
    heads, width = numbers[HEADS], numbers[WIDTH]
    inner = heads * width
    scale = np.float32(float64_from_bits(numbers[SCALE]))
    view, pair, key = as_int64(numbers[VIEW]), as_int64(numbers[PAIR]), as_int64(numbers[KEY])
    queries, memory = as_float32(numbers[QUERY]), as_float32(numbers[MEMORY])
    for r in range(view[numbers[FIRST]], view[numbers[LAST]]):
        first, count = pair[r], pair[r + 1] - pair[r]
        query, upstream = shift(queries, r * inner), shift(as_float32(numbers[OUT]), r * inner)
        of_query = shift(as_float32(numbers[OF_QUERY]), r * inner)
        zero(of_query, inner)
        weights = shift(as_float32(numbers[WEIGHTS]), first * heads)
        of_scores = shift(as_float32(numbers[OF_SCORES]), first * heads)
        for i in range(count):
            place = 2 * inner * key[first + i] + inner
            value, of_value = shift(memory, place), shift(as_float32(numbers[OF_MEMORY]), place)
            for head in range(heads):
                d = head * width
                g = shift(upstream, d)
                of_scores[head * count + i] = dot(g, shift(value, d), width)
                add_row(shift(of_value, d), g, weights[head * count + i], width)
        for head in range(heads):
            mean = dot(shift(weights, head * count), shift(of_scores, head * count), count)
            for i in range(head * count, (head + 1) * count):
                of_scores[i] = weights[i] * (of_scores[i] - mean)
        for i in range(count):
            place = 2 * inner * key[first + i]
            row, of_row = shift(memory, place), shift(as_float32(numbers[OF_MEMORY]), place)
            for head in range(heads):
                d, g = head * width, scale * of_scores[head * count + i]
                add_row(shift(of_query, d), shift(row, d), g, width)
                add_row(shift(of_row, d), shift(query, d), g, width)
    return 0


@njit(**COMPILED)
def table_gradient(plan):  # type: ignore[no-untyped-def]
    """Add the gradients of scores to `OF_TABLE` [heads, offsets], pair after pair."""
    numbers = as_int64(plan)
    heads, table_size = numbers[HEADS], numbers[TABLE_SIZE]
    view, pair = as_int64(numbers[VIEW]), as_int64(numbers[PAIR])
    of_table, offset = as_float32(numbers[OF_TABLE]), as_int64(numbers[OFFSET])
    for r in range(view[numbers[FIRST]], view[numbers[LAST]]):
        first, count = pair[r], pair[r + 1] - pair[r]
        of_scores = shift(as_float32(numbers[OF_SCORES]), first * heads)
        for head in range(heads):
            line = shift(of_table, head * table_size)
            for i in range(count):
                line[offset[first + i]] += of_scores[head * count + i]
    return 0

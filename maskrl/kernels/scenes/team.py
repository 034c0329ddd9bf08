"""Parts of a call on the threads that torch's matrix products have just used.

Attention stands between two matrix products. Their OpenMP threads keep spinning for a while when a
product is done, so that threads of our own would share a processor with them and be late; the same
threads begin at once. Where torch has no OpenMP of GNU, in a forked process and for little work,
`maskrl.kernels.fused.threads.run` takes over.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from llvmlite import ir
from numba import cfunc, types
from numba.extending import intrinsic

from maskrl.kernels.fused import threads
from maskrl.kernels.fused.memory import as_int64
from maskrl.kernels.fused.plan import Plan
from maskrl.kernels.scenes.forward import attention
from maskrl.kernels.scenes.gradient import attention_gradient
from maskrl.kernels.scenes.layer_kernel import layer, layer_gradient
from maskrl.kernels.scenes.layer_plan import LayerPlan
from maskrl.kernels.scenes.plan import ScenePlan
from maskrl.kernels.scenes.view_kernel import table_gradient, views, views_gradient
from maskrl.kernels.scenes.view_plan import ViewPlan

WORTH_A_TEAM = 30_000
"""Scores from which threads are used: about 100 microseconds of work, there and back."""

PARTS = 4  # for each thread, so that one that is late leaves its share to the others


@intrinsic
def _take(typing_context, counter):  # type: ignore[no-untyped-def]
    """The number behind a pointer, which becomes one more at the same instant."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw("add", args[0], ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(types.CPointer(types.int64)), codegen


@intrinsic
def _address(typing_context, pointer):  # type: ignore[no-untyped-def]
    """A pointer as a number."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(types.voidptr), codegen


_BODY = types.void(types.voidptr)


@cfunc(_BODY, cache=True)
def _forward_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        attention(numbers[2 + i])
        i = _take(numbers)


@cfunc(_BODY, cache=True)
def _gradient_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        attention_gradient(numbers[2 + i])
        i = _take(numbers)


@cfunc(_BODY, cache=True)
def _layer_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        layer(numbers[2 + i])
        i = _take(numbers)


@cfunc(_BODY, cache=True)
def _layer_gradient_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        layer_gradient(numbers[2 + i])
        i = _take(numbers)


@cfunc(_BODY, cache=True)
def _views_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        views(numbers[2 + i])
        i = _take(numbers)


@cfunc(_BODY, cache=True)
def _views_gradient_parts(shared):  # type: ignore[no-untyped-def]
    numbers = as_int64(_address(shared))
    i = _take(numbers)
    while i < numbers[1]:
        views_gradient(numbers[2 + i])
        i = _take(numbers)


def _find_parallel() -> Callable[..., Any] | None:
    """GNU OpenMP's entry, of the library that this torch has loaded; None if there is none."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        with contextlib.suppress(OSError, AttributeError):
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
            parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            parallel.restype = None
            return parallel
    return None


_parallel = _find_parallel()


def _leave_team() -> None:
    """In a forked process GNU OpenMP waits for threads that are not there."""
    global _parallel
    _parallel = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_team)


def run_forward(plan: ScenePlan) -> None:
    """Write the output of all scenes of a plan."""
    _run(attention, _forward_parts, plan)


def run_gradient(plan: ScenePlan) -> None:
    """Write the gradients of all scenes of a plan."""
    _run(attention_gradient, _gradient_parts, plan)


def run_layer(plan: LayerPlan) -> None:
    """Write the output of a layer."""
    _run(layer, _layer_parts, plan)


def run_layer_gradient(plan: LayerPlan) -> None:
    """Write the gradients of a layer."""
    _run(layer_gradient, _layer_gradient_parts, plan)


def run_views(plan: ViewPlan) -> None:
    """Write weights and mixtures of all views."""
    _run(views, _views_parts, plan)


def run_views_gradient(plan: ViewPlan) -> None:
    """Write the gradients of queries and scores, and add to those of keys and values."""
    _run(views_gradient, _views_gradient_parts, plan)


def run_table_gradient(plan: ViewPlan) -> None:
    """Add to the gradient of the table; on one thread, so that any number gives the same sums."""
    table_gradient(plan.address)


def _run(kernel: Callable[..., int], body: Any, plan: ScenePlan | ViewPlan) -> None:
    count = torch.get_num_threads()
    if count == 1 or plan.rows == 1 or plan.rows * plan.entries < WORTH_A_TEAM:
        kernel(plan.address)
        return
    if _parallel is None:
        threads.run(kernel, cast(Plan, plan))  # it has all that is read there
        return
    parts = plan.parts(PARTS * count)
    shared = np.array([0, len(parts), *(part.address for part in parts)], np.int64)
    _parallel(body.address, shared.ctypes.data, count, 0)

"""How the kernels of worlds are compiled, and the one instruction that Numba has no word for.

A kernel that is handed all its memory and keeps none needs no reference counts. Numba
counts references at every row that a kernel looks at unless it is told not to, and in
loops as small as these the counting takes longer than the work: with it a step takes
three and a half times as long.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.options import DefaultOptions
from numba.extending import intrinsic

KERNEL: dict[str, Any] = {"cache": True, "error_model": "numpy"}
"""Options of kernels that allocate nothing and return numbers: `@njit(**KERNEL)`."""
if hasattr(DefaultOptions, "_nrt"):  # a Numba that knows no such option counts, and is slower
    KERNEL["_nrt"] = False

PART: dict[str, Any] = KERNEL | {"forceinline": True}
"""Options of what a kernel calls in every step: passing it twenty arrays would take longer."""


@intrinsic
def copy_block(typing_context, target, target_start, source, source_start, count):
    """Copy `count` neighbouring entries between contiguous arrays of one dtype.

    `copy_block(target, target_start, source, source_start, count)`: starts count entries
    from the first, whatever the shapes, and nothing is checked. A constant `count` becomes
    a few vector moves.
    """
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        to, to_start, source, start, entries = arguments
        arrays = signature.args[0], signature.args[2]
        to, source = (
            context.make_array(kind)(context, builder, array)
            for kind, array in zip(arrays, (to, source), strict=True)
        )
        size = context.get_abi_sizeof(context.get_data_type(arrays[0].dtype))
        cgutils.raw_memcpy(
            builder,
            builder.gep(to.data, [to_start]),
            builder.gep(source.data, [start]),
            entries,
            size,
        )
        return context.get_dummy_value()

    return signature, generate

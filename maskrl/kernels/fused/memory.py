"""Raw memory inside compiled kernels: addresses, typed pointers, bits and the stack.

Kernels take addresses as integers, because handing over a tensor's `data_ptr()` costs a tenth
of what handing over an array does. Each intrinsic below is one or two instructions. Pointers
are not bounds-checked: the callers' sizes are what keeps them inside.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _cast_from_address(pointee: Any) -> Any:
    """Intrinsic that reads an int64 as the address of numbers of one type."""

    @intrinsic
    def cast(typing_context, address):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(pointee)(types.int64), codegen

    return cast


as_float32 = _cast_from_address(types.float32)
as_float64 = _cast_from_address(types.float64)
as_int32 = _cast_from_address(types.int32)
as_int64 = _cast_from_address(types.int64)
as_uint8 = _cast_from_address(types.uint8)


@intrinsic
def as_like(typing_context, pointer, address):  # type: ignore[no-untyped-def]
    """Read an int64 as an address of the same kind of numbers as `pointer`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[1], context.get_value_type(signature.return_type))

    return pointer(pointer, types.int64), codegen


@intrinsic
def words_of(typing_context, pointer):  # type: ignore[no-untyped-def]
    """Read the memory behind a pointer as 64-bit words."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint64)(pointer), codegen


@intrinsic
def shift(typing_context, pointer, elements):  # type: ignore[no-untyped-def]
    """Move a pointer by a number of elements."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic
def fetch(typing_context, pointer):  # type: ignore[no-untyped-def]
    """Ask for the cache line behind a pointer, to be read soon; harmless for any address."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        number = ir.IntType(32)
        address = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(call, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(pointer), codegen


@intrinsic
def stack_like(typing_context, pointer, elements):  # type: ignore[no-untyped-def]
    """Reserve memory on the stack of the calling kernel for a literal number of elements.

    It has the element type of `pointer`, and the optimiser knows that nothing else points
    to it, which is what lets loops vectorise without checks at run time.
    """
    if not isinstance(elements, types.IntegerLiteral):
        return None
    count = elements.literal_value

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        element = context.get_data_type(pointer.dtype)
        with builder.goto_entry_block():
            array = builder.alloca(ir.ArrayType(element, count))
            array.align = 64
        return builder.bitcast(array, element.as_pointer())

    return pointer(pointer, elements), codegen


@intrinsic
def element(typing_context, pointer, number):  # type: ignore[no-untyped-def]
    """Convert a number to the element type of `pointer`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return context.cast(builder, args[1], signature.args[1], pointer.dtype)

    return pointer.dtype(pointer, number), codegen


def _reinterpret(target: Any) -> Any:
    """Intrinsic that reads the bits of a number as another type of the same width."""

    @intrinsic
    def reinterpret(typing_context, number):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(number), codegen

    return reinterpret


int32_bits = _reinterpret(types.int32)
int64_bits = _reinterpret(types.int64)
float32_from_bits = _reinterpret(types.float32)
float64_from_bits = _reinterpret(types.float64)

"""A desk at which threads share out the parts of a kernel call, all of it compiled.

Waking a thread takes longer than most calls. A helper that has just done a part therefore
stays at the desk for a moment and looks whether the next call is laid out; it is compiled code
that looks, so that neither the interpreter nor its lock is needed to hand a part over. A part
is taken by adding one to a word that holds the number of parts as well: whoever did that owns
it, and nobody waits for a helper that has not taken one.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import struct
import sys
import time
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from maskrl.kernels.fused.memory import as_int64, shift
from maskrl.kernels.fused.plan import Plan
from maskrl.kernels.fused.tiles import COMPILED, INNER

# Places at the desk, in int64 numbers; what different threads write lies in lines of its own.
# WORD holds a call's number, its parts, and how many of them were taken.
WORD, DONE, AWAKE, STATUS, SPINS, NAP = 0, 8, 16, 24, 25, 26
KERNEL, COUNT, REST, PLANS = 32, 33, 34, 64
MOST_REST, MOST_PARTS = 16, 256
SIZE = PLANS + MOST_PARTS
FAILED = 1 << 32
_PART_BITS, _CALL_BIT = 0xFFFF, 1 << 32

_CALIBRATION = 2000

# What a caller sleeps at a time, in what the system's function counts in: microseconds, or
# milliseconds on Windows.
_NAP_LENGTH = 1 if sys.platform == "win32" else 50


@intrinsic
def _load(typing_context, pointer):  # type: ignore[no-untyped-def]
    """Read a number that others write; what they wrote before is there too."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(args[0], "acquire", 8, typ=ir.IntType(64))

    return types.int64(pointer), codegen


@intrinsic
def _store(typing_context, pointer, value):  # type: ignore[no-untyped-def]
    """Write a number that others read, after whatever was written before."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.store_atomic(args[1], args[0], "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64), codegen


def _change(operation: str) -> Any:
    """Intrinsic that changes a number in one step, whoever else does."""

    @intrinsic
    def change(typing_context, pointer, value):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.atomic_rmw(operation, args[0], args[1], "seq_cst")

        return types.int64(pointer, types.int64), codegen

    return change


_add = _change("add")
_or = _change("or")


@intrinsic
def _replace(typing_context, pointer, old, new):  # type: ignore[no-untyped-def]
    """Write `new` if `old` stands there; whether it did."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pair = builder.cmpxchg(args[0], args[1], args[2], "seq_cst", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(pointer, types.int64, types.int64), codegen


_PAUSE = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}.get(platform.machine())


@intrinsic
def _rest_a_little(typing_context):  # type: ignore[no-untyped-def]
    """Tell the processor, if there is a way, that the thread waits for another."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        if _PAUSE is not None:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, _PAUSE), [])
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _call_system(typing_context, function, number):  # type: ignore[no-untyped-def]
    """Call a function of the system, by its address, that takes one number."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        short = ir.IntType(32)
        kind = ir.FunctionType(short, [short]).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), [builder.trunc(args[1], short)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _call(typing_context, kernel, plan, rest, count):  # type: ignore[no-untyped-def]
    """Call a compiled function of `1 + count` int64 by its address: its result, or FAILED."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kernel_, plan_, rest_, count_ = args
        number, short = ir.IntType(64), ir.IntType(32)
        byte = ir.IntType(8).as_pointer()
        result = cgutils.alloca_once_value(builder, number(FAILED))
        answer = cgutils.alloca_once_value(builder, number(0))
        problem = cgutils.alloca_once_value(builder, ir.Constant(byte, None))
        end = builder.append_basic_block("called")
        switch = builder.switch(count_, end)
        for n in range(MOST_REST + 1):
            block = builder.append_basic_block(f"call_{n}")
            switch.add_case(number(n), block)
            with builder.goto_block(block):
                given = [builder.load(builder.gep(rest_, [number(i)])) for i in range(n)]
                kinds = [number.as_pointer(), byte.as_pointer(), *[number] * (1 + n)]
                function = builder.inttoptr(kernel_, ir.FunctionType(short, kinds).as_pointer())
                code = builder.call(function, [answer, problem, plan_, *given])
                fine = builder.icmp_signed("==", code, short(0))
                builder.store(builder.select(fine, builder.load(answer), number(FAILED)), result)
                builder.branch(end)
        builder.position_at_end(end)
        return builder.load(result)

    return types.int64(types.int64, types.int64, rest, types.int64), codegen


@njit(**INNER)
def _take(desk):  # type: ignore[no-untyped-def]
    """Do one part of the call that is laid out, if one is left; whether that is so."""
    word = _load(shift(desk, WORD))
    part = word & _PART_BITS
    if part >= (word >> 16) & _PART_BITS:
        return False
    if _replace(shift(desk, WORD), word, word + 1):
        status = _call(desk[KERNEL], desk[PLANS + part], shift(desk, REST), desk[COUNT])
        if status != 0:
            _or(shift(desk, STATUS), status)
        _add(shift(desk, DONE), 1)
    return True


@njit(**INNER)
def _sleep(desk):  # type: ignore[no-untyped-def]
    """Leave the processor to others for a moment."""
    if desk[NAP] != 0:
        _call_system(desk[NAP], _NAP_LENGTH)
    else:
        _rest_a_little()


@njit(**COMPILED)
def lead(address, parts, patience):  # type: ignore[no-untyped-def]
    """Lay out a call of so many parts, help with it, and wait for those that others took.

    Comes back when all parts are done: they use the caller's memory, and here no interrupt can
    make the caller leave before. Returns how often it looked while waiting, or if that was
    `patience` times, -1 minus how often it then slept.
    """
    desk = as_int64(address)
    desk[DONE] = 0
    desk[STATUS] = 0
    number = ((_load(shift(desk, WORD)) >> 32) + 1) & 0x7FFFFFFF
    _store(shift(desk, WORD), number * _CALL_BIT + (parts << 16))
    while _take(desk):
        pass
    for waited in range(patience):
        if _load(shift(desk, DONE)) == parts:
            return waited
        _rest_a_little()
    naps = 0
    while _load(shift(desk, DONE)) != parts:
        _sleep(desk)
        naps += 1
    return -1 - naps


@njit(**COMPILED)
def attend(address):  # type: ignore[no-untyped-def]
    """Do parts of whatever is laid out, until nothing was for as long as the desk says."""
    desk = as_int64(address)
    _add(shift(desk, AWAKE), 1)
    idle = 0
    while idle <= _load(shift(desk, SPINS)):
        if _take(desk):
            idle = 0
        else:
            _rest_a_little()
            idle += 1
    _add(shift(desk, AWAKE), -1)
    return 0


@njit(**COMPILED)
def pause(times):  # type: ignore[no-untyped-def]
    """Wait for nobody, so many times, to learn how long that takes."""
    for _ in range(times):
        _rest_a_little()
    return times


@njit(**COMPILED)
def sleep(address, times):  # type: ignore[no-untyped-def]
    """Sleep so many times as a caller does, to learn how long that takes."""
    for _ in range(times):
        _sleep(as_int64(address))
    return times


def _find_sleep() -> int:
    """The address of the system's function that sleeps for a number of moments; 0 if unknown."""
    function: Any = None
    with contextlib.suppress(OSError, AttributeError, TypeError):
        if sys.platform == "win32":
            function = ctypes.windll.kernel32.Sleep
        else:
            function = ctypes.CDLL(None).usleep
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0


_addresses: dict[Any, int] = {}


def address_of(kernel: Any, count: int) -> int | None:
    """Where the machine code of a kernel of so many int64 begins; None if it has none."""
    if not isinstance(kernel, Dispatcher) or count > MOST_REST + 1:
        return None
    found = _addresses.get(kernel)
    if found is None:
        signature = (types.int64,) * count
        kernel.compile(signature)
        compiled = kernel.overloads[signature]
        name = compiled.fndesc.llvm_func_name
        found = _addresses[kernel] = compiled.library.get_pointer_to_function(name)
    return found


class Desk:
    """Memory through which a caller and its helpers share out one call at a time.

    Attributes:
        address: What `lead` and `attend` take.
        per_second: How often a waiting thread looks in a second.
    """

    def __init__(self) -> None:
        self._memory = ctypes.create_string_buffer(8 * SIZE + 64)
        # Never freed: a helper may still look at it when the interpreter ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))
        begin = ctypes.addressof(self._memory)
        self.address = begin + -begin % 64
        self._offset = self.address - begin
        self._numbers = (ctypes.c_int64 * SIZE).from_address(self.address)
        self._numbers[NAP] = _find_sleep()
        self._laid_out: list[Plan] = []
        self.per_second = _CALIBRATION / _seconds(pause, _CALIBRATION)
        self._of_a_nap = _seconds(sleep, self.address, 1)

    @property
    def awake(self) -> int:
        """How many helpers are at the desk."""
        return self._numbers[AWAKE]

    def stay(self, seconds: float) -> None:
        """How long helpers look for the next call before they leave."""
        self._numbers[SPINS] = int(seconds * self.per_second)

    def share(
        self, kernel: int, parts: list[Plan], rest: tuple[int, ...], patience: float
    ) -> tuple[int, float]:
        """Do all parts of a call, with whoever is there to help.

        Args:
            kernel: As `address_of` gave it.
            parts: At most `MOST_PARTS`.
            rest: What else the kernel takes, at most `MOST_REST`.
            patience: Seconds to look for parts that others took before sleeping in between.

        Returns:
            Flags that any part gave, and the seconds that were waited.

        Raises:
            MemoryError: A kernel found no memory for its work.
        """
        count = len(rest)
        struct.pack_into(
            f"{2 + count}q", self._memory, self._offset + 8 * KERNEL, kernel, count, *rest
        )
        if self._laid_out is not parts:
            addresses = [part.address for part in parts]
            struct.pack_into(
                f"{len(addresses)}q", self._memory, self._offset + 8 * PLANS, *addresses
            )
            self._laid_out = parts
        looks = int(patience * self.per_second)
        begin = time.perf_counter()
        looked = lead(self.address, len(parts), looks)
        waited = looked / self.per_second
        if looked < 0:  # how long a nap takes was measured once, maybe on a busy machine
            napped = patience + (-1 - looked) * self._of_a_nap
            waited = min(napped, time.perf_counter() - begin)
        status = self._numbers[STATUS]
        if status & FAILED:
            raise MemoryError("a kernel found no memory for its work")
        return status, waited


def _seconds(compiled: Any, *arguments: int) -> float:
    """How long a call takes, the shortest of three after one that may have to compile it."""
    compiled(*arguments)
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        compiled(*arguments)
        took.append(time.perf_counter() - begin)
    return max(min(took), 1e-9)

"""Kernel calls on several threads, with plain Python threads.

Kernels release the interpreter, so a few waiting threads can share a large call. Nobody waits
for a thread that has not begun: the parts of a call lie in one bag, the caller takes from it as
well, and a thread that wakes too late finds it empty. Calls from several threads do not know of
each other, and a forked process starts threads of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable

import torch

from maskrl.kernels.fused.plan import Plan

# Entries from which threads are used: about 100 microseconds of work, of which waking one takes
# 20 to 50. Where other processes share the cores it may be put off in the middle of a part,
# which a call then waits for. And parts for each thread.
WORTH_THREADS = 150_000
PARTS = 4


class _Call:
    """The parts of one call that are still to do, and what came of the others."""

    def __init__(self, kernel: Callable[..., int], plans: list[Plan], rest: tuple[int, ...]):
        self._kernel = kernel
        self._rest = rest
        self._bag = list(plans)
        self._open = len(plans)
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._error: BaseException | None = None
        self._helping = 0
        self.status = 0

    def join(self) -> None:
        """Help as another thread than the caller, who may have left before it begins."""
        with self._lock:
            self._helping += 1
        try:
            self.help()
        finally:
            with self._lock:
                self._helping -= 1

    def help(self) -> None:
        """Do parts until none is left in the bag."""
        while True:
            try:
                plan = self._bag.pop()
            except IndexError:
                return
            status, error = 0, None
            try:
                status = self._kernel(plan.address, *self._rest)
            except BaseException as raised:
                error = raised
            with self._lock:
                self.status |= status
                self._error = self._error or error
                self._open -= 1
                if self._open == 0:
                    self._finished.set()

    def wait(self) -> int:
        """Wait for parts that others began; return the flags of all."""
        self._finished.wait()
        if self._error is not None:
            raise self._error
        return self.status

    def leave(self) -> None:
        """End the call early, after the parts that others are at: they use the caller's memory."""
        self._bag.clear()
        while self._helping > 0:
            # An impatient user interrupts twice.
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(1e-4)


class _Helpers:
    """Threads that wait for calls, kept off the processor that the caller is on.

    A thread that is woken by another is often put on the same processor, beside the one that
    woke it, where the scheduler expects what both need; for calls that take less than a
    millisecond that means one after the other.
    """

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._avoided = -1

    def _serve(self) -> None:
        while True:
            self.calls.get().join()

    def offer(self, call: _Call, count: int) -> None:
        """Have at least `count` threads wait for calls, and give them this one."""
        if len(self._threads) < count:
            self._start(count)
        if _current_processor is not None:
            processor = _current_processor()
            if processor != self._avoided:
                self._avoid(processor)
        for _ in range(count):
            self.calls.put(call)

    def _start(self, count: int) -> None:
        with self._starting:
            while len(self._threads) < count:
                thread = threading.Thread(target=self._serve, name="maskrl-kernels", daemon=True)
                thread.start()
                self._threads.append(thread)
                self._avoided = -1

    def _avoid(self, processor: int) -> None:
        """Let the threads run on all processors that the process may use, but not on this one."""
        with self._starting:
            self._avoided = processor
            others = os.sched_getaffinity(0) - {processor}
            if others:
                for thread in self._threads:
                    with contextlib.suppress(OSError, TypeError):
                        os.sched_setaffinity(thread.native_id, others)  # type: ignore[arg-type]


def _find_current_processor() -> Callable[[], int] | None:
    """Return the function that tells which processor its caller is on; None if there is none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    with contextlib.suppress(OSError, AttributeError):
        tell: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
        return tell
    return None


_current_processor = _find_current_processor()
_helpers = _Helpers()


def _forget_threads() -> None:
    """Start anew in a forked process, where only the forking thread lives on."""
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def run(kernel: Callable[..., int], plan: Plan, *rest: int) -> int:
    """Call `kernel(plan.address, *rest)`, on as many threads as torch has where it pays.

    Args:
        kernel: A compiled function that takes the address of a plan first.
        plan: What to do; its parts are done in any order.
        rest: The other arguments, the same for every part.

    Returns:
        The flags that any part gave.
    """
    if plan.rows * plan.entries < WORTH_THREADS:
        return kernel(plan.address, *rest)
    threads = torch.get_num_threads()
    if threads == 1 or (plan.rows == 1 and plan.heads == 1):
        return kernel(plan.address, *rest)
    call = _Call(kernel, plan.parts(PARTS * threads), rest)
    try:
        _helpers.offer(call, threads - 1)
        call.help()
        return call.wait()
    except BaseException:
        # Such as an interrupt by the user, after whom memory is freed that kernels may be at.
        call.leave()
        raise

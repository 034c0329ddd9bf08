"""Kernel calls on several threads, with plain Python threads.

Kernels release the interpreter, so a few waiting threads can share a large call. Nobody waits
for a thread that has not begun: the parts of a call lie in one bag, the caller takes from it as
well, and a thread that wakes too late finds it empty. Calls from several threads do not know of
each other, and a forked process starts threads of its own.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

import torch

from maskrl.kernels.fused.plan import Plan

# Entries from which threads are used: about a millisecond of work. Waking one takes 20 to 50
# microseconds, but where other processes share the cores it may be put off in the middle of a
# part, and the call then waits for milliseconds. And parts for each thread.
WORTH_THREADS = 1_000_000
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
        self.status = 0

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


_calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
_started = 0
_starting = threading.Lock()


def _forget_threads() -> None:
    """Start anew in a forked process, where only the forking thread lives on."""
    global _calls, _started, _starting
    _calls, _started, _starting = queue.SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _serve(calls: queue.SimpleQueue[_Call]) -> None:
    """What a waiting thread does."""
    while True:
        calls.get().help()


def _start(count: int) -> None:
    """See to it that at least `count` threads wait for calls."""
    global _started
    with _starting:
        while _started < count:
            threading.Thread(
                target=_serve, args=(_calls,), name="maskrl-kernels", daemon=True
            ).start()
            _started += 1


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
    _start(threads - 1)
    for _ in range(threads - 1):
        _calls.put(call)
    call.help()
    return call.wait()

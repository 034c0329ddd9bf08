"""Kernel calls on several threads, with plain Python threads.

Kernels release the interpreter, so a few waiting threads can share a large call. Nobody waits
for a thread that has not begun: the caller does parts as well, and a thread that wakes too late
finds none left. One call at a time is laid out on a desk (`desk`), where helpers look for the
next one as long as it is expected soon; while it is taken, other callers have their parts in
bags of their own. A forked process starts threads of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable

import torch

from maskrl.kernels.fused.desk import MOST_PARTS, Desk, address_of, attend
from maskrl.kernels.fused.plan import Plan

# Entries from which threads are woken: about 100 microseconds of work, of which waking one takes
# 20 to 50. And those from which helpers are used that are there anyhow: they have to read what
# another processor wrote, which takes away the gain of less.
WORTH_THREADS = 150_000
WORTH_HELP = 40_000
# Parts for each thread.
PARTS = 4

# Seconds: how soon the next call has to follow for helpers to stay, how long they look for one
# that does not, and how long a caller looks before it sleeps in between.
SOON, GLANCE, PATIENCE = 150e-6, 2e-6, 1e-3
# Where other processes share the cores, a helper may be put off in the middle of a part. After
# waiting so long, small calls do without help for a while.
PUT_OFF, WHILE = 200e-6, 0.1


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
                while self._helping > 0:
                    time.sleep(1e-4)


class _Helpers:
    """Threads that wait for calls, kept off the processor that the caller is on.

    A thread that is woken by another is often put on the same processor, beside the one that
    woke it, where the scheduler expects what both need; for calls that take less than a
    millisecond that means one after the other.
    """

    def __init__(self) -> None:
        # None calls a helper to the desk.
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._avoided = -1

    def _serve(self, desk: Desk) -> None:
        while True:
            call = self.calls.get()
            if call is None:
                attend(desk.address)
            else:
                call.join()

    def offer(self, call: _Call | None, desk: Desk, present: int, count: int) -> None:
        """Have at least `count` threads wait for calls; give this one to those not `present`."""
        if len(self._threads) < count:
            self._start(desk, count)
        if _current_processor is not None:
            processor = _current_processor()
            if processor != self._avoided:
                self._avoid(processor)
        for _ in range(count - present - (0 if call is not None else self.calls.qsize())):
            self.calls.put(call)

    def _start(self, desk: Desk, count: int) -> None:
        with self._starting:
            while len(self._threads) < count:
                thread = threading.Thread(
                    target=self._serve, args=(desk,), name="maskrl-kernels", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    return  # no more threads for this process, or it ends: the caller does all
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


class _Sharing:
    """One desk with its helpers, and what is known of the calls so far."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.helpers = _Helpers()
        self.taken = threading.Lock()
        self._ended = -1.0
        self._last: Callable[..., int] | None = None
        self._alone_until = 0.0
        # Seconds from the end of a kernel's call to the next call of any kernel.
        self._pauses: dict[Callable[..., int], float] = {}

    def run(
        self, kernel: Callable[..., int], code: int, plan: Plan, rest: tuple[int, ...], threads: int
    ) -> int:
        """Call a kernel while the desk is this caller's, with helpers if that pays."""
        begin = time.perf_counter()
        since = begin - self._ended
        if self._last is not None:
            self._pauses[self._last] = since
        self._last = kernel
        is_calm = begin > self._alone_until
        if plan.rows * plan.entries < WORTH_THREADS and not (since < SOON and is_calm):
            status = kernel(plan.address, *rest)
            self._ended = time.perf_counter()
            return status
        desk = self.desk
        desk.stay(SOON if is_calm and self._pauses.get(kernel, 0.0) < SOON else GLANCE)
        self.helpers.offer(None, desk, desk.awake, threads - 1)
        parts = plan.parts(min(PARTS * threads, MOST_PARTS))
        status, waited = desk.share(code, parts, rest, PATIENCE)
        self._ended = time.perf_counter()
        if waited > PUT_OFF + (self._ended - begin - waited):
            self._alone_until = self._ended + WHILE
        return status


_sharing: _Sharing | None = None
_making = threading.Lock()


def _forget_threads() -> None:
    """Start anew in a forked process, where only the forking thread lives on."""
    global _sharing, _making
    _sharing = None
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _shared() -> _Sharing:
    """The desk and the helpers of this process."""
    global _sharing
    if _sharing is None:
        with _making:
            if _sharing is None:
                _sharing = _Sharing()
                # Nobody shall be in compiled code when it is taken down.
                atexit.register(_sharing.desk.stay, -1.0)
    return _sharing


def run(kernel: Callable[..., int], plan: Plan, *rest: int) -> int:
    """Call `kernel(plan.address, *rest)`, on as many threads as torch has where it pays.

    Args:
        kernel: A compiled function that takes the address of a plan first.
        plan: What to do; its parts are done in any order.
        rest: The other arguments, the same for every part.

    Returns:
        The flags that any part gave.
    """
    entries = plan.rows * plan.entries
    if entries < WORTH_HELP:
        return kernel(plan.address, *rest)
    threads = torch.get_num_threads()
    if threads == 1 or (plan.rows == 1 and plan.heads == 1):
        return kernel(plan.address, *rest)
    sharing = _shared()
    code = address_of(kernel, 1 + len(rest))
    if code is not None and sharing.taken.acquire(blocking=False):
        try:
            return sharing.run(kernel, code, plan, rest, threads)
        finally:
            sharing.taken.release()
    if entries < WORTH_THREADS:
        return kernel(plan.address, *rest)
    call = _Call(kernel, plan.parts(PARTS * threads), rest)
    try:
        sharing.helpers.offer(call, sharing.desk, 0, threads - 1)
        call.help()
        return call.wait()
    except BaseException:
        # Such as an interrupt by the user, after whom memory is freed that kernels may be at.
        call.leave()
        raise

"""The desk: every part is done once, by whoever is there, and nobody waits for who is not."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
import torch
from numba import njit

from maskrl.kernels.fused import threads
from maskrl.kernels.fused.desk import (
    DONE,
    MOST_PARTS,
    MOST_REST,
    NAP,
    Desk,
    _add,
    _load,
    address_of,
    attend,
    pause,
)
from maskrl.kernels.fused.forward import pass32
from maskrl.kernels.fused.memory import as_int64
from maskrl.kernels.fused.plan import BYTES, Plan
from maskrl.kernels.fused.tiles import FIRST, LAST

PLAN = Plan(10_000, [0, 6], 6, BYTES, 6)


@njit(nogil=True)
def count_rows(plan, counts, work, flags):
    """Count every row of a part; `work` rounds of nothing; a flag if the part begins the plan."""
    first, last = as_int64(plan)[FIRST], as_int64(plan)[LAST]
    total = 0
    for i in range(work):
        total += i * i % 7
    for row in range(first, last):
        as_int64(counts)[row] += 1 if total >= 0 else 2
    return flags if first == 0 else 2


@njit(nogil=True)
def meet(plan, present, patience):
    """Wait until another part has begun; 1 if this one was the first of the two, 2 if alone."""
    before = _add(as_int64(present), 1)
    for _ in range(patience):
        if _load(as_int64(present)) > 1:
            return 1 if before == 0 else 0
    return 2


@njit(nogil=True)
def stay(plan, present, rounds):
    """Of two parts the first to begin ends when the other has begun, which stays for long."""
    if _add(as_int64(present), 1) == 0:
        while _load(as_int64(present)) < 2:
            pass
    else:
        pause(rounds)
    return 0


@njit(nogil=True)
def no_memory(plan, size):
    """Fail as kernels fail that find no memory."""
    return np.empty(size, np.float64).size


@njit(nogil=True)
def seventeen(plan, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p):  # noqa: E741
    """Tell arguments apart by their places."""
    ten = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j
    return ten + 11 * k + 12 * l + 13 * m + 14 * n + 15 * o + 16 * p


@pytest.fixture
def helper():
    """A desk at which somebody helps for a second."""
    desk = Desk()
    desk.stay(1.0)
    thread = threading.Thread(target=attend, args=(desk.address,), daemon=True)
    thread.start()
    while desk.awake == 0:
        time.sleep(1e-3)
    yield desk
    desk.stay(-1.0)
    thread.join()
    assert desk.awake == 0


@pytest.mark.parametrize("parts", [1, 8, MOST_PARTS])
def test_every_part_is_done_once(helper, parts):
    counts = np.zeros(PLAN.rows, np.int64)
    rest = counts.ctypes.data, 100, 1
    code = address_of(count_rows, 4)
    for _ in range(50):
        status, waited = helper.share(code, PLAN.parts(parts), rest, 1.0)
        assert status == (1 if parts == 1 else 3)
        assert 0 <= waited < 1.0
    assert (counts == 50).all()


def test_a_caller_alone_does_all_parts():
    desk = Desk()
    counts = np.zeros(PLAN.rows, np.int64)
    status, waited = desk.share(
        address_of(count_rows, 4), PLAN.parts(8), (counts.ctypes.data, 0, 4), 1.0
    )
    assert (status, waited) == (6, 0.0)
    assert (counts == 1).all()


@pytest.mark.parametrize("helped", [True, False])
def test_a_helper_is_at_a_part_while_the_caller_is_at_another(helped, request):
    desk = request.getfixturevalue("helper") if helped else Desk()
    met = 0
    for _ in range(50 if helped else 1):
        present = np.zeros(1, np.int64)
        met |= desk.share(address_of(meet, 3), PLAN.parts(2), (present.ctypes.data, 10**7), 1.0)[0]
        assert present[0] == 2
    assert met & 1 == helped


@pytest.mark.parametrize("napping", [True, False])
def test_the_seconds_that_are_waited_are_told(helper, napping):
    if not napping:
        helper._numbers[NAP] = 0  # a system without a known function
    helper._of_a_nap *= 10  # as if measured while others used the machine
    rounds = int(0.02 * helper.per_second)
    longest = 0.0
    for _ in range(20):
        present = np.zeros(1, np.int64)
        rest = present.ctypes.data, rounds
        begin = time.perf_counter()
        _, waited = helper.share(address_of(stay, 3), PLAN.parts(2), rest, 1e-4)
        assert waited >= 0
        longest = max(longest, waited)
        assert not napping or waited <= time.perf_counter() - begin
    assert longest > (1e-3 if napping else 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no timer signals")
def test_no_interrupt_makes_a_caller_leave_before_all_parts_are_done(helper):
    """Impatient users interrupt again and again; helpers write to what the caller would free."""

    def interrupt(number, frame):
        while frame is not None:
            if frame.f_code is Desk.share.__code__:
                raise KeyboardInterrupt
            frame = frame.f_back

    rounds = int(5e-3 * helper.per_second)
    interrupted = left = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-3, 2e-4)
        for _ in range(40):
            present = np.zeros(1, np.int64)
            try:
                helper.share(
                    address_of(stay, 3), PLAN.parts(2), (present.ctypes.data, rounds), 1e-4
                )
            except KeyboardInterrupt:
                interrupted += 1
            left += helper._numbers[DONE] != 2
            while present[0] != 0 and helper._numbers[DONE] != 2:
                time.sleep(1e-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 0
    assert left == 0


def test_arguments_arrive_in_their_order():
    desk = Desk()
    rest = tuple(10**k % 97 for k in range(MOST_REST))
    want = sum((i + 1) * x for i, x in enumerate(rest))
    code = address_of(seventeen, 1 + MOST_REST)
    assert desk.share(code, PLAN.parts(1), rest, 1.0)[0] == want


def test_a_kernel_that_finds_no_memory():
    desk = Desk()
    with pytest.raises(MemoryError, match="memory"):
        desk.share(address_of(no_memory, 2), PLAN.parts(2), (2**60,), 1.0)
    assert desk.share(address_of(no_memory, 2), PLAN.parts(2), (4,), 1.0)[0] == 4


def test_only_compiled_functions_have_an_address():
    assert address_of(lambda plan: 0, 1) is None
    assert address_of(pass32, MOST_REST + 2) is None
    assert address_of(pass32, 9) == address_of(pass32, 9) != 0


def test_helpers_leave_when_no_call_follows_soon():
    desk = Desk()
    desk.stay(1e-4)
    attend(desk.address)
    assert desk.awake == 0


def test_calls_that_follow_each_other_find_the_helper_again(monkeypatch):
    monkeypatch.setattr(threads, "SOON", 0.5)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    plan = Plan(100_000, [0, 6], 6, BYTES, 6)
    counts = np.zeros(plan.rows, np.int64)
    calls = found = 0
    until = time.monotonic() + 60.0
    try:
        while not found and time.monotonic() < until:
            for _ in range(200):
                threads.run(count_rows, plan, counts.ctypes.data, 1000, 1)
                assert threads._sharing is not None
                found += threads._sharing.desk.awake
            calls += 200
    finally:
        torch.set_num_threads(before)
    assert (counts == calls).all()
    assert found > 0


def test_small_calls_do_without_help_after_a_helper_was_put_off(monkeypatch):
    sharing = threads._Sharing()
    shared = []

    class Slow:
        awake = 0

        def stay(self, seconds):
            pass

        def share(self, code, parts, rest, patience):
            shared.append(code)
            return 0, 0.5

    sharing.desk = Slow()
    monkeypatch.setattr(sharing.helpers, "offer", lambda *arguments: None)
    small = Plan(1000, [0, 60], 60, BYTES, 60)
    large = Plan(10_000, [0, 60], 60, BYTES, 60)
    alone = []
    sharing.run(lambda *call: alone.append(call) or 0, 5, small, (), 2)
    assert (len(alone), shared) == (1, [])  # nothing is known of calls that follow
    sharing.run(lambda *call: alone.append(call) or 0, 6, small, (), 2)
    assert (len(alone), shared) == (1, [6])  # this one followed soon, and was put off
    sharing.run(lambda *call: alone.append(call) or 0, 7, small, (), 2)
    assert (len(alone), shared) == (2, [6])
    sharing.run(lambda *call: alone.append(call) or 0, 8, large, (), 2)
    assert (len(alone), shared) == (2, [6, 8])

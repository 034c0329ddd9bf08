"""The desk: every part is done once, by whoever is there, and nobody waits for who is not."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from numba import njit

from maskrl.kernels.fused import threads
from maskrl.kernels.fused.desk import MOST_PARTS, MOST_REST, Desk, _add, _load, address_of, attend
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
    try:
        found = 0
        for _ in range(200):
            threads.run(count_rows, plan, counts.ctypes.data, 1000, 1)
            assert threads._sharing is not None
            found += threads._sharing.desk.awake
    finally:
        torch.set_num_threads(before)
    assert (counts == 200).all()
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

"""Calls on several threads: every part once, flags joined, errors passed on, forks survived."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch

from maskrl.kernels.fused import threads
from maskrl.kernels.fused.plan import BYTES, Plan

LARGE = Plan(1000, [0, 1000], 1000, BYTES, 1000)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(threads, "WORTH_THREADS", 100_000)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_part_is_done_once_and_flags_are_joined():
    seen = []

    def kernel(address, *rest):
        seen.append((address, rest))
        return 1 << (len(seen) % 3)

    assert threads.run(kernel, LARGE, 5, 6) == 7
    parts = LARGE.parts(threads.PARTS * 3)
    assert sorted(seen) == sorted((part.address, (5, 6)) for part in parts)


def test_a_small_call_stays_on_its_thread():
    plan = Plan(4, [0, 6], 6, BYTES, 6)
    seen = []
    threads.run(lambda *call: seen.append((call, threading.current_thread())) or 0, plan, 7)
    assert seen == [((plan.address, 7), threading.current_thread())]


def test_an_error_of_any_part_reaches_the_caller():
    def kernel(address):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.run(kernel, LARGE)
    assert threads.run(lambda address: 2, LARGE) == 2


def test_others_help():
    names = set()

    def kernel(address):
        time.sleep(0.01)
        names.add(threading.current_thread().name)
        return 0

    threads.run(kernel, LARGE)
    assert len(names) > 1


@pytest.mark.parametrize("compiled", [True, False])
def test_a_process_that_may_start_no_more_threads(monkeypatch, compiled, make_case, hand_case):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_sharing", None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    if not compiled:
        assert threads.run(lambda address: 2, LARGE) == 2
        return
    case = hand_case(torch.randn(500, 700), torch.rand(500, 700) < 0.5, [700], BYTES)
    normalizer = torch.empty(500, 1, 2, dtype=torch.float64)
    rest = (*case.source()[1:], 0, 0, 0, normalizer.data_ptr(), 0)
    threads.run(case.kernels.forward, case.plan, *rest)
    assert torch.equal(normalizer, case.forward().normalizer)


def test_threads_that_call_at_once(make_case, hand_case):
    logits = torch.randn(500, 700)
    mask = torch.rand(500, 700) < 0.5
    case = hand_case(logits, mask, [700], BYTES)
    want = case.forward()
    wrong = []

    def call():
        for _ in range(20):
            normalizer = torch.empty(500, 1, 2, dtype=torch.float64)
            rest = (*case.source()[1:], 0, 0, 0, normalizer.data_ptr(), 0)
            threads.run(case.kernels.forward, case.plan, *rest)
            if not torch.equal(normalizer, want.normalizer):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    def kernel(address):
        time.sleep(0.001)
        return 4

    assert threads.run(kernel, LARGE) == 4
    child = os.fork()
    if child == 0:
        os._exit(0 if threads.run(kernel, LARGE) == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals reach no thread")
def test_an_interrupted_call_ends_after_the_parts_that_others_are_at():
    begun, ended = [], []
    interrupt = threading.main_thread().ident, signal.SIGINT

    def kernel(address):
        if threading.current_thread() is threading.main_thread():
            while not begun:
                time.sleep(1e-3)
        else:
            begun.append(address)
            if len(begun) == 1:
                threading.Timer(0.05, signal.pthread_kill, interrupt).start()
            time.sleep(0.3)
            ended.append(address)
        return 0

    # A process that a shell started in the background ignores this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.run(kernel, LARGE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(begun) == sorted(ended)

"""Python threads that call at once, and processes that were forked: the same bits as alone.

Calls are large enough to be shared out, in shapes that change all the time, so that plans are made
and forgotten while others use them. Every thread compares with what it got alone.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl import MaskedCategorical, MaskedMultiCategorical
from maskrl.kernels.fused import layout, threads
from maskrl.masks import pack_mask

SIZES = (300, 7, 49, 1644)
SHAPES = [(200, 2000), (33, 2000), (1, 2000), (2000, 78), (5, 40_000)]


@pytest.fixture(autouse=True)
def few_entries_are_shared_out(monkeypatch):
    monkeypatch.setattr(threads, "WORTH_THREADS", 10_000)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def work(seed):
    """Act on and learn from rows drawn by a seed; all results."""
    generator = torch.Generator().manual_seed(seed)
    shape = SHAPES[seed % len(SHAPES)]
    dtype = torch.float32 if seed % 2 else torch.float64
    logits = torch.randn(shape, generator=generator, dtype=dtype) * 3
    mask = torch.rand(shape, generator=generator) < 0.4
    mask[:, [0, 300, 307, 356] if shape[1] == sum(SIZES) else 0] = True
    leaf = logits.requires_grad_()
    given = pack_mask(mask) if seed % 3 else mask
    if shape[1] == sum(SIZES):
        d = MaskedMultiCategorical(leaf, SIZES, given)
        other = MaskedMultiCategorical(leaf.detach().flip(0), SIZES, given)
    else:
        d, other = MaskedCategorical(leaf, given), MaskedCategorical(leaf.detach().flip(0), given)
    with torch.no_grad():
        actions = d.mode
    scores, entropy, kl = d.log_prob(actions), d.entropy(), kl_divergence(d, other)
    (scores * 2 + entropy + kl).sum().backward()
    return scores.detach(), entropy.detach(), kl.detach(), d.probs.detach(), leaf.grad


def are_same(results, others):
    return all(torch.equal(a, b) for a, b in zip(results, others, strict=True))


@pytest.mark.parametrize("most_plans", [512, 2])
def test_threads_that_call_at_once_get_what_they_get_alone(most_plans, monkeypatch):
    monkeypatch.setattr(layout, "_MOST_PLANS", most_plans)
    seeds = range(30)
    alone = {seed: work(seed) for seed in seeds}
    wrong, gate = [], threading.Barrier(4)

    def call(first):
        gate.wait()
        for seed in (*seeds[first:], *seeds[:first]):
            try:
                if not are_same(work(seed), alone[seed]):
                    wrong.append(seed)
            except BaseException as error:
                wrong.append((seed, error))

    callers = [threading.Thread(target=call, args=(first,)) for first in (0, 0, 7, 19)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_threads_that_ask_one_distribution():
    logits = torch.randn(300, 3000)
    mask = torch.rand(300, 3000) < 0.5
    alone = MaskedCategorical(logits, mask)
    actions = alone.mode
    want = alone.log_prob(actions), alone.entropy(), alone.probs, actions
    d = MaskedCategorical(logits, mask, validate_args=False)
    wrong, gate = [], threading.Barrier(4)

    def call():
        gate.wait()
        if not are_same((d.log_prob(actions), d.entropy(), d.probs, d.mode), want):
            wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def status_of(child, seconds=20):
    """The exit status of a forked process, which is ended if it takes too long."""
    for _ in range(100 * seconds):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_the_same():
    # Below the size at which torch itself uses OpenMP, whose threads do not survive a fork.
    def act():
        generator = torch.Generator().manual_seed(5)
        logits = torch.randn(40, 700, generator=generator)
        d = MaskedCategorical(logits, torch.rand(40, 700, generator=generator) < 0.3)
        return d.log_prob(d.mode), d.entropy(), d.sample((2,), generator=generator), d.probs

    want = act()
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            act()

    others = [threading.Thread(target=keep_busy) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(3):
            child = os.fork()
            if child == 0:
                try:
                    code = 0 if are_same(act(), want) else 1
                except BaseException:
                    code = 2
                os._exit(code)
            assert status_of(child) == 0
    finally:
        stop.set()
        for other in others:
            other.join()

"""Seconds per call on a machine that others use too: in turns, many times, medians.

In every repeat all contenders run once, in an order drawn anew, so that a slow spell of
the machine falls on all of them. One turn calls the work often enough to last a few
milliseconds, after a pause in which threads that the last one left spinning fall asleep. What
happens only once (imports, compilation, caches) is over before.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np

Work = Callable[[], object]
TimedWork = Callable[[int], float]
"""Does the work so many times and returns the seconds that count."""

WARM_UPS = 3
LONG = 1.0
MOST_CALLS = 100_000
# Before a turn: libgomp, which torch uses, spins for 8 ms after every operation on several threads.
PAUSE = 10e-3


def timed(
    work: Work,
    surroundings: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
) -> TimedWork:
    """Make a timed loop of a function.

    Args:
        work: What is timed.
        surroundings: Entered before the clock starts and left after it stopped.
    """

    def loop(calls: int) -> float:
        with surroundings():
            start = time.perf_counter()
            for _ in range(calls):
                work()
            return time.perf_counter() - start

    return loop


def warm_up(work: TimedWork) -> None:
    """Let everything happen that happens once; long work runs a single time."""
    for _ in range(WARM_UPS):
        if work(1) > LONG:
            break


def calls_for(work: TimedWork, seconds: float) -> int:
    """How many calls last about so long, at least 1."""
    calls = 1
    while True:
        took = work(calls)
        if took >= seconds / 2 or calls >= MOST_CALLS:
            return int(min(MOST_CALLS, max(1, round(calls * seconds / max(took, 1e-9)))))
        calls *= 2


def time_in_turns(
    works: Mapping[str, TimedWork], *, repeats: int, seconds: float, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Time several functions against each other.

    Args:
        works: By name.
        repeats: Turns of each.
        seconds: About how long one turn lasts; work that takes longer is called once. Shorter work
            is called once more before the clock starts, because nobody's threads are awake.
        seed: Of the order of turns.

    Returns:
        Seconds per call float64 `[repeats]`, and calls per turn, by name.
    """
    for work in works.values():
        warm_up(work)
    calls = {name: calls_for(work, seconds) for name, work in works.items()}
    took = {name: np.empty(repeats) for name in works}
    order = list(works)
    shuffle = random.Random(seed).shuffle
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for repeat in range(repeats):
            shuffle(order)
            for name in order:
                time.sleep(PAUSE)
                if calls[name] > 1:
                    works[name](1)
                took[name][repeat] = works[name](calls[name]) / calls[name]
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return took, calls

"""Turns, warm-ups and counts; with clocks that are made up, so that nothing depends on speed."""

from __future__ import annotations

import contextlib
import gc

import pytest

from maskrl.bench.timing import MOST_CALLS, calls_for, time_in_turns, timed, warm_up


@pytest.mark.parametrize(
    ("per_call", "seconds", "calls"),
    [(1e-3, 5e-3, 5), (1.0, 5e-3, 1), (1e-5, 5e-3, 500), (0.0, 5e-3, MOST_CALLS)],
)
def test_a_turn_lasts_about_as_long_as_asked(per_call, seconds, calls):
    assert calls_for(lambda number: number * per_call, seconds) == pytest.approx(calls, rel=0.01)


def test_everybody_takes_a_turn_in_every_repeat():
    log = []

    def work(name, per_call):
        def loop(calls):
            log.append((name, calls))
            return calls * per_call

        return loop

    works = {"a": work("a", 1e-3), "b": work("b", 4e-3)}
    took, calls = time_in_turns(works, repeats=8, seconds=4e-3)
    assert calls == {"a": 4, "b": 1}
    assert log[-24:].count(("a", 1)) == 8  # after the pause, before the clock
    turns = [turn for turn in log if turn != ("a", 1)][-16:]
    assert all(sorted(turns[i : i + 2]) == [("a", 4), ("b", 1)] for i in range(0, 16, 2))
    assert len({tuple(turns[i : i + 2]) for i in range(0, 16, 2)}) == 2  # the order varies
    assert took["a"].tolist() == pytest.approx([1e-3] * 8)
    assert took["b"].tolist() == pytest.approx([4e-3] * 8)


def test_collecting_is_off_meanwhile_and_on_again():
    seen = []

    def loop(calls):
        seen.append(gc.isenabled())
        return 1.0

    time_in_turns({"a": loop}, repeats=2, seconds=0.1)
    assert seen[-2:] == [False, False] and gc.isenabled()


def test_surroundings_are_entered_outside_of_the_loop():
    log = []

    @contextlib.contextmanager
    def around():
        log.append("in")
        yield
        log.append("out")

    seconds = timed(lambda: log.append("work"), around)(3)
    assert log == ["in", "work", "work", "work", "out"] and seconds >= 0


def test_long_work_is_warmed_up_once():
    calls = []
    warm_up(lambda number: calls.append(number) or 2.0)
    assert calls == [1]
    warm_up(lambda number: calls.append(number) or 1e-3)
    assert calls == [1, 1, 1, 1]

"""Tables as a reader sees them: ratios, brackets around wrong numbers, missing libraries."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from maskrl.bench.display import duration, group_table, print_results
from maskrl.bench.results import CellResult, Goal, Timing


def printed(*renderables):
    console = Console(file=io.StringIO(), width=160, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()


def row(text, *begin):
    (found,) = [
        line.split() for line in text.splitlines() if line.split()[: len(begin)] == [*begin]
    ]
    return found


def test_everything_is_printed(results):
    results.goals = [Goal("a figure", 2.0, 3.0, where="somewhere"), Goal("other", 1.0, 3.0, False)]
    results.notes = ["a note [in brackets]"]
    console = Console(file=io.StringIO(), width=160)
    print_results(results, console)
    text = console.file.getvalue()
    assert "Abacus 5000, 2 cores, 1 threads" in text and "over 20 interleaved repeats" in text
    assert "MISSING, cannot be imported: none" in text and "sb3-contrib 2.9.2" in text
    assert row(text, "1x6", "2", "%", "acting")[4:] == ["100", "µs", "4.00", "3.00"]
    assert row(text, "1x6", "2", "%", "learning")[4:] == ["100", "µs", "4.00", "(3.00)"]
    assert row(text, "2048x8", "100", "%", "acting")[4:] == ["100", "µs", "25.0", "3.00"]
    assert "torch, 1x6, 100 % allowed, learning: entropy off by inf" in text
    assert "a note [in brackets]" in text
    assert row(text, "a", "figure")[2:] == ["2", "at", "least", "3", "missed", "somewhere"]
    assert row(text, "other")[1:] == ["1", "at", "most", "3", "reached"]


def test_few_cells_stand_side_by_side():
    timings = (Timing("maskrl", 0.5, (0.4, 0.6), 20, 1), Timing("copy", 0.25, (0.2, 0.3), 20, 1))
    rates = CellResult("worlds", "panda", "steps", None, timings, steps=1000)
    text = printed(group_table("worlds", [rates]))
    assert row(text, "maskrl")[1:] == ["2,000", "steps/s", "1.00"]
    assert row(text, "copy")[1:] == ["4,000", "steps/s", "0.50"]
    sizes = CellResult("memory", "4x5", "learning", 0.3, timings[:1], unit="bytes")
    assert "5e-07 MB" in printed(group_table("memory", [sizes]))


def test_without_maskrl_there_are_no_ratios():
    lone = CellResult("memory", "4x5", "learning", None, (Timing("copy", 1.0, (1.0, 1.0), 1, 1),))
    assert row(printed(group_table("memory", [lone])), "copy")[1:] == ["1", "s", "-"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234e-7, "123 ns"),
        (1.234e-5, "12.3 µs"),
        (9.999e-4, "1 ms"),
        (0.05, "50 ms"),
        (12.34, "12.3 s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text

"""All runs at a glance: a table in a terminal that fits, lines in a log that say enough."""

from __future__ import annotations

import io
import math

from rich.console import Console

from maskrl.cli.compare_display import CompareDisplay
from maskrl.trainers.compare_worker import FAILED, FINISHED, STARTING, TRAINING, Report

NAMES = ["panda, seed 0", "panda, seed 1", "panda, seed 2"]


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)


def fill(display):
    display(0, Report(STARTING))
    half = {"steps": 5000, "fraction": 0.5, "speed": 1000.0, "mean": 0.25, "score": 0.6}
    display(0, Report(TRAINING, half))
    display(1, Report(FINISHED, {"steps": 10_000, "mean": 0.9, "score": 0.95}))
    display(2, Report(FAILED, message="a reason"))


def test_a_terminal_gets_a_row_per_run():
    with CompareDisplay(NAMES, console=console(True)) as display:
        fill(display)
        text = Console(width=80, file=io.StringIO(), record=True)
        text.print(display.table())
    rows = {line.strip().split("  ")[0]: line for line in text.export_text().splitlines()}
    assert "training" in rows["panda, seed 0"] and "5,000" in rows["panda, seed 0"]
    assert "0.250" in rows["panda, seed 0"] and "0.600" in rows["panda, seed 0"]
    assert "finished" in rows["panda, seed 1"] and "0.950" in rows["panda, seed 1"]
    assert "failed" in rows["panda, seed 2"]
    assert "panda, seed 2: a reason" in rows


def test_a_name_that_looks_like_markup_is_shown_as_it_is():
    display = CompareDisplay(["w, map=[bold], seed 0", "w, map=[/x], seed 0"])
    text = Console(width=120, file=io.StringIO(), record=True)
    text.print(display.table())
    shown = text.export_text()
    assert "w, map=[bold], seed 0" in shown and "w, map=[/x], seed 0" in shown


def test_a_log_gets_a_line_per_change():
    with CompareDisplay(NAMES, console=console(False), line_seconds=1000) as display:
        fill(display)
        display(0, Report(TRAINING, {"fraction": 0.75, "mean": 0.5}))
        display(0, Report(FAILED, message="gone"))
        display(0, Report(FAILED))
    lines = display.console.file.getvalue().splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "panda, seed 0: starting",
        "panda, seed 0: training, 50%, ? left, 1,000 steps/s, return 0.250, score 0.600",
        "panda, seed 1: finished, return 0.900, score 0.950",
        "panda, seed 2: failed, a reason",
        "panda, seed 0: failed, gone, return 0.500",
    ]
    assert lines[0].startswith("[0 of 3 runs, 0%]") and lines[1].startswith("[0 of 3 runs, 17%")
    assert lines[3].startswith("[1 of 3 runs, 1 failed, 50%")


def test_before_the_first_episode_ends_a_log_says_nothing_of_the_return():
    begun = {"fraction": 0.01, "speed": 1000.0, "mean": math.nan}
    with CompareDisplay(NAMES, console=console(False)) as display:
        display(0, Report(TRAINING, begun))
        display(0, Report(FAILED, message="gone"))
    lines = display.console.file.getvalue().splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "panda, seed 0: training, 1%, ? left, 1,000 steps/s",
        "panda, seed 0: failed, gone, 1,000 steps/s",
    ]


def test_more_runs_than_lines_leave_those_at_work_and_how_far_all_are():
    names = [f"panda, seed {n}" for n in range(60)]
    small = Console(file=io.StringIO(), force_terminal=True, width=90, height=20)
    with CompareDisplay(names, console=small) as display:
        for number in range(30):
            display(number, Report(FINISHED, {"steps": 10.0, "mean": 1.0}))
        display(45, Report(TRAINING, {"fraction": 0.5, "steps": 5.0}))
        display(46, Report(FAILED, message="a reason"))
        text = Console(width=90, file=io.StringIO(), record=True)
        text.print(display.table())
    lines = text.export_text().splitlines()
    assert len(lines) <= 18
    assert any("seed 45" in line and "training" in line for line in lines)
    assert any("seed 46" in line and "failed" in line for line in lines)
    assert any(line.startswith("30 of 60 runs, 1 failed, 51%") for line in lines)
    assert any("seed 29" in line for line in lines) and not any("seed 50" in s for s in lines)


def test_how_much_time_is_left_counts_from_the_first_training(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("maskrl.cli.compare_display.time.monotonic", lambda: now[0])
    display = CompareDisplay(NAMES[:2], console=console(False))
    display(0, Report(FINISHED))  # in an earlier call: no work of this one
    display(1, Report(TRAINING, {"fraction": 0.0}))
    now[0] = 100.0
    display(1, Report(TRAINING, {"fraction": 0.25}))
    assert display.overall() == "1 of 2 runs, 62%, 5:00 left"

"""All runs at a glance: a table in a terminal, lines in a log, and the table at the end."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from maskrl.cli.compare_display import CompareDisplay, print_summary
from maskrl.trainers.compare_summary import EnvSummary
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


def test_a_log_gets_a_line_per_change():
    with CompareDisplay(NAMES, console=console(False), line_seconds=1000) as display:
        fill(display)
        display(0, Report(TRAINING, {"fraction": 0.75, "mean": 0.5}))
        display(0, Report(FAILED, message="gone"))
        display(0, Report(FAILED))
    assert display.console.file.getvalue().splitlines() == [
        "panda, seed 0: starting",
        "panda, seed 0: training, 50%, ? left, return 0.250, score 0.600",
        "panda, seed 1: finished, return 0.900, score 0.950",
        "panda, seed 2: failed, a reason",
        "panda, seed 0: failed, gone, return 0.500",
    ]


@pytest.fixture
def summaries():
    full = EnvSummary(
        "world?sight=full",
        "score",
        (0, 1),
        (0.9, 1.0),
        0.95,
        0.95,
        (0.9, 1.0),
        None,
        0.1,
        -0.8,
        1.0,
        0,
    )
    trees = EnvSummary(
        "world", "score", (0,), (0.76,), 0.76, 0.76, (0.76, 0.76), 0.8, 0.1, -0.8, 1.0, 0
    )
    return [full, trees]


def test_the_last_table_has_every_seed_and_the_price(summaries):
    out = console(False)
    print_summary(summaries, out)
    text = out.file.getvalue()
    rows = {
        cells[0].strip(): [c.strip() for c in cells[1:]]
        for line in text.splitlines()
        if "│" in line and (cells := line.strip("│ ").split("│"))
    }
    assert rows["seed 0"] == ["0.900", "0.760"]
    assert rows["seed 1"] == ["1.000", "not finished"]
    assert rows["interquartile mean"] == ["0.950", "0.760"]
    assert rows["95% interval"][0] == "0.900 to 1.000"
    assert rows["mean / mean of world?sight=full"] == ["1", "0.800"]
    assert rows["illegal actions"] == ["0", "0"]
    assert (
        "world reaches 80.0% of the score of world?sight=full: the price of the difference is 20.0%"
        in " ".join(text.split())
    )


def test_another_environment_has_no_price(summaries):
    out = console(False)
    print_summary([summaries[0], replace(summaries[1], label="elsewhere")], out)
    assert "price" not in out.file.getvalue()


def test_nothing_finished_is_said():
    out = console(False)
    print_summary([], out)
    assert "no run is finished yet" in out.file.getvalue()

"""Tables as files: readable by anybody, the same every time, no time in them."""

from __future__ import annotations

import csv
import json

import pytest

from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures
from maskrl.runs.comparison_tables import write_tables


@pytest.fixture
def written(tmp_path, write_comparison):
    variants = [
        {"label": "toy", "env": "toy", "tests": [{"mean": 9.0}, {"mean": 9.5}]},
        {
            "label": "toy, penalty:1",
            "env": "toy",
            "regime": "penalty:1",
            "tests": [{"mean": 0.0, "mask_removed": {"greedy": {"mean": 0.5}}}, None],
        },
    ]
    folder = write_comparison(tmp_path / "out", variants, seeds=(0, 1), threshold=4.5)
    comparison = read_comparison(folder)
    return folder, write_tables(comparison, comparison_figures(comparison))


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_is_json_for_everybody(written):
    folder, paths = written
    assert [path.name for path in paths] == [
        "summary.json",
        "summary.csv",
        "curves.csv",
        "speeds.csv",
    ]
    text = paths[0].read_text()
    assert "NaN" not in text and "Infinity" not in text
    masked, punished = json.loads(text)["environments"]
    assert masked["values"] == [9.0, 9.5] and masked["interquartile_mean"] == 9.25
    assert masked["steps_to"] == [600, 600] and punished["steps_to"] == [None]
    assert masked["groups"] == [[9.0, 9.5]] and masked["illegal_actions"] == 0
    assert punished["waste"]["disallowed_mass"] is None
    assert punished["improvement"] == [0.0, 0.0, 0.0] and punished["removed"]["values"] == [0.5]


def test_every_run_has_a_row(written):
    folder, paths = written
    rows = rows_of(paths[1])
    assert [(r["label"], r["seed"], r["mean"]) for r in rows] == [
        ("toy", "0", "9.0"),
        ("toy", "1", "9.5"),
        ("toy, penalty:1", "0", "0.0"),
    ]
    assert rows[0]["steps_to_threshold"] == "600" and rows[2]["steps_to_threshold"] == "never"
    assert rows[2]["removed_mean"] == "0.5" and rows[2]["folder"] == "toy-penalty-1/seed-0"


def test_curves_and_speeds(written):
    _, paths = written
    curves = rows_of(paths[2])
    assert len(curves) == 50
    last = curves[24]
    assert (last["label"], last["step"], last["seed_1"]) == ("toy", "1000", "9.5")
    assert float(last["interquartile_mean"]) == 9.25
    assert curves[-1]["seed_1"] == "" and curves[-1]["interquartile_mean"] == ""
    speeds = rows_of(paths[3])
    assert [s["steps_per_second"] for s in speeds] == ["100.0"] * 4


def test_the_same_again_is_the_same_bytes(written):
    folder, paths = written
    before = [path.read_bytes() for path in paths[:3]]
    comparison = read_comparison(folder)
    write_tables(comparison, comparison_figures(comparison))
    assert [path.read_bytes() for path in paths[:3]] == before

"""Results as data: ratios, a round trip through JSON, and messages for damaged files."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from maskrl.bench.results import Goal, Results, Timing, geometric_mean
from maskrl.errors import ConfigError, RunFolderError


def test_medians_and_quartiles():
    timing = Timing.of("a", np.array([4.0, 1.0, 2.0, 3.0, 100.0]), 7, error=0.5)
    assert (timing.median, timing.quartiles, timing.repeats) == (3.0, (2.0, 4.0), 5)
    assert timing.calls == 7 and timing.error == 0.5 and timing.wrong is None


def test_ratios_are_of_medians_within_a_cell(results):
    cell = results.cells[0]
    assert cell.ratio("sb3-contrib") == pytest.approx(4.0)
    assert cell.ratio("nobody") is None
    without = dataclasses.replace(cell, timings=cell.timings[1:])
    assert without.ratio("sb3-contrib") is None


def test_json_round_trip(results, tmp_path):
    results.goals = [Goal("a figure", 2.0, 3.0), Goal("another", 2.0, 3.0, at_least=False)]
    results.notes = ["a note"]
    path = results.write(tmp_path / "deep" / "results.json")
    data = json.loads(path.read_text("utf-8"))
    assert data["format"] == 1 and data["machine"]["processor"] == "Abacus 5000"
    assert [goal["reached"] for goal in data["goals"]] == [False, True]
    assert data["participants"][3]["missing"] == "cannot be imported: none"
    first = data["cells"][0]["timings"][1]
    assert first["contender"] == "sb3-contrib" and first["ratio"] == pytest.approx(4.0)
    again = Results.read(path)
    assert again == results


def test_infinite_errors_are_null_in_json(results, tmp_path):
    data = json.loads(results.write(tmp_path / "results.json").read_text("utf-8"))
    wrong = [t for c in data["cells"] for t in c["timings"] if t["wrong"]]
    assert len(wrong) == 2 and all(t["error"] is None for t in wrong)


def test_other_files_are_refused(results, tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(RunFolderError, match="cannot read .*results.json"):
        Results.read(path)
    path.write_text("{")
    with pytest.raises(RunFolderError, match="cannot read"):
        Results.read(path)
    path.write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="format is 99, expected 1"):
        Results.read(path)
    with pytest.raises(RunFolderError, match="Choose another --out"):
        results.write(path / "results.json")


def test_geometric_mean():
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert math.isnan(geometric_mean([]))

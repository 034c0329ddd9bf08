"""The page on speed names every group and every contender, and its program runs."""

from __future__ import annotations

import re
from pathlib import Path

from maskrl.bench import GROUPS
from maskrl.bench.contenders import CONTENDERS
from maskrl.bench.groups.rows import COPY
from maskrl.bench.results import CellResult, Results, Timing

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text("utf-8")


def first_cells() -> set[str]:
    """What stands in the first column of the tables before those with figures."""
    tables = PAGE.partition("## What was measured")[0]
    return {found.strip("` ") for found in re.findall(r"^\|([^|]+)\|", tables, re.MULTILINE)}


def test_groups_and_contenders_are_explained():
    named = first_cells()
    assert set(GROUPS) <= named
    assert {contender.name for contender in CONTENDERS} | {COPY} <= named
    assert len(named - set(GROUPS) - {c.name for c in CONTENDERS}) == 4  # two heads, a rule, COPY


def test_the_program_reads_results(tmp_path, monkeypatch, capsys):
    timings = (Timing("maskrl", 1.0, (1.0, 1.0), 20, 1), Timing("torch", 3.0, (3.0, 3.0), 20, 1))
    cell = CellResult("rows", "1x6", "acting", 0.3, timings)
    Results({}, {}, [], [cell]).write(tmp_path / "runs" / "bench" / "results.json")
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out == ("1x6, 30 % allowed, acting {'maskrl': 1.0, 'torch': 3.0}\n")

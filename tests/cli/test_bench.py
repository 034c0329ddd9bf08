"""`maskrl bench`: options, what is printed, the files, and messages; nothing that is timed."""

from __future__ import annotations

import json
import shutil

import pytest

from maskrl.bench.results import Results
from maskrl.bench.run import GROUPS
from maskrl.cli import main


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_a_quick_comparison(tmp_path, capsys, no_browser):
    out = tmp_path / "bench"
    words = ["--quick", "--threads=1", "--only=rows", "--against", "torch", f"--out={out}"]
    assert main(["bench", *words]) == 0
    text = capsys.readouterr().out
    assert "who takes part" in text and "rows of actions" in text and "64x6" in text
    assert "no Chromium was found" in text and str(out / "results.json") in text
    results = Results.read(out / "results.json")
    assert results.settings["quick"] is True and results.settings["repeats"] == 3
    names = {p.name for p in results.participants}
    assert {"maskrl", "torch", "torchrl"} <= names and "sb3-contrib" not in names
    assert {cell.case for cell in results.cells} == {"1x6", "64x6"}
    assert (out / "ratios.html").is_file() and not (out / "ratios.png").exists()
    data = json.loads((out / "results.json").read_text("utf-8"))
    assert data["notes"] == results.notes


def test_missing_libraries_are_listed(tmp_path, capsys, no_browser, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tianshou", None)
    words = ["--quick", "--threads=1", "--only=greedy", "--only=64x6", f"--out={tmp_path}"]
    assert main(["bench", *words]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.strip().startswith("tianshou")]
    assert "MISSING, cannot be imported" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--against", "jax"], "--against jax: no such contender"),
        (["--only", "rows", "--only", "7x7", "--quick"], "nothing matches"),
        (["--repeats", "0"], "--repeats: expected a positive whole number"),
    ],
)
def test_what_cannot_be_measured_is_one_message(words, message, capsys, tmp_path):
    assert main(["bench", *words, "--threads=1", f"--out={tmp_path}"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_help_tells_how_to_get_the_others(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "make bench" in text and "--against" in text and "runs/bench" in text
    assert all(name in text.partition("Groups:")[2].partition("Examples:")[0] for name in GROUPS)

"""`maskrl audit`: a table, an exit code, and the same as data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from maskrl.audit.report import Check, Finding, Report
from maskrl.cli import main
from maskrl.cli.audit import print_report

SHORT = ["--steps=30", "--trials=40"]


def test_right_masks_exit_with_0(here, capsys):
    assert main(["audit", "panda-open", *SHORT, "--strict"]) == 0
    out = capsys.readouterr().out
    assert "audit of panda-open: passed" in out
    assert "share allowed" in out and "checked: rules" in out


def test_errors_exit_with_1_and_tell_code_place_and_advice(here, capsys):
    assert main(["audit", "ownenvs:Steps", "--env", "kind=short", *SHORT]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "FAILED" in out and "wrong-length" in out and "shape" in out


def test_strict_makes_doubts_count(here, capsys):
    # every action of Steps only counts up: none can be told from another, so nothing is found
    words = ["audit", "ownenvs:Steps", *SHORT]
    assert main([*words, "--strict"]) == 0
    assert main([*words, "--env", "kind=polarity"]) == 1
    assert main([*words, "--env", "kind=polarity", "--ignore", "not-flags"]) in (0, 1)
    capsys.readouterr()


def test_the_report_as_data(here, capsys):
    assert main(["audit", "ownenvs:Steps", *SHORT, "--json", "audit.json"]) == 0
    data = json.loads((here / "audit.json").read_text("utf-8"))
    assert data["target"] == "ownenvs:Steps" and data["passed"] and data["measures"]["steps"] == 30
    capsys.readouterr()
    assert main(["audit", "ownenvs:Steps", *SHORT, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "ownenvs:Steps"


def test_what_cannot_be_asked_exits_with_2(here, capsys):
    assert main(["audit", "pnada"]) == 2
    assert "Did you mean panda" in capsys.readouterr().err
    assert main(["audit", "panda", "--ignore", "nonsense"]) == 2
    assert "there is no code 'nonsense'" in capsys.readouterr().err
    assert main(["audit", "ownenvs:Steps", *SHORT, "--json", "no/such/place.json"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_everything_is_printed_as_it_is(capsys):
    report = Report("a[b]")
    report.add([Finding("inverted", "see [this]", "step 1", 2, "[1]", "[0]", 3)])
    report.unchecked.append(Check("copies", "[none]"))
    print_report(report)
    out = capsys.readouterr().out
    for text in ("a[b]", "see [this]", "step 1", "3 times", "expected: [1]", "got: [0]", "[none]"):
        assert text in out, text


@pytest.mark.parametrize("words", [["--help"]])
def test_help_teaches(words, capsys):
    with pytest.raises(SystemExit):
        main(["audit", *words])
    assert "maskrl audit gymnasium:Taxi-v4" in capsys.readouterr().out


def test_no_torch_is_loaded(here):
    program = (
        "import sys; from maskrl.cli import main; "
        "code = main(['audit', 'panda-open', '--steps=10', '--trials=5']); "
        "print(code, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip().splitlines()[-1] == "0 False", run.stderr

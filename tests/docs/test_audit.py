"""The page on audits is true: its program runs, prints what is shown, and finds what it says."""

from __future__ import annotations

from pathlib import Path

from maskrl.cli.audit import print_report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"


def test_the_program_prints_what_is_shown(program):
    ran = program(PAGE).run()
    assert ran.statements >= 4


def test_the_table_is_the_one_that_is_printed(program, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    report = program(PAGE).run().namespace["report"]
    print_report(report)
    timed = ("microseconds", "share of the environment's time")  # of another machine
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    page = {line.rstrip() for line in PAGE.read_text("utf-8").splitlines()}
    missing = [line for line in printed if line not in page and not line.startswith(timed)]
    assert missing == []

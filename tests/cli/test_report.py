"""`maskrl report`: the file is written and named."""

from __future__ import annotations

import shutil

import pytest

from maskrl.cli import main


@pytest.fixture
def run(here, trained):
    shutil.copytree(trained, "run")
    return here / "run"


def test_the_report_is_written_where_asked_and_opened(run, here, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("maskrl.cli.report.webbrowser.open", opened.append)
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out == f"report   {(run / 'report.html').resolve()}\n"
    assert (run / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")
    assert opened == []
    assert main(["report", "run", "--out", "page.html", "--open"]) == 0
    assert opened == [(here / "page.html").resolve().as_uri()]


def test_no_run_is_one_message(here, capsys):
    assert main(["report", "nowhere"]) == 2
    assert "there is no run folder nowhere" in capsys.readouterr().err


def test_the_folder_of_a_comparison_has_a_report_of_its_own(here, write_comparison, capsys):
    variants = [{"label": "toy", "env": "toy", "tests": [{"mean": 1.0}]}]
    folder = write_comparison(here / "both", variants, seeds=(0,))
    assert main(["report", "both"]) == 0
    assert capsys.readouterr().out == f"report   {(folder / 'report.html').resolve()}\n"
    assert "maskrl comparison" in (folder / "report.html").read_text(encoding="utf-8")

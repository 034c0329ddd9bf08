"""`maskrl compare`: one command, again and again, until all is done."""

from __future__ import annotations

import json

import pytest

from maskrl.cli import main

SMALL = ["--seeds=2", "--total-steps=64", "--out=out"]


@pytest.mark.slow
def test_a_comparison_from_words_to_files(here, quick, capsys):
    words = ["compare", "ownenvs:Steps", "ownenvs:Steps?limit=3", *SMALL, *quick]
    assert main(words) == 0
    out = capsys.readouterr().out
    for expected in (
        "4 runs in out",
        "ownenvs:Steps?limit=3, seed 1: finished",
        "interquartile mean",
        "95% interval",
        "seed 0",
        "steps/s",
        "random valid agent",
        "illegal actions",
        "out/summary.csv",
    ):
        assert expected in out, expected
    summary = json.loads((here / "out" / "summary.json").read_text())["environments"]
    assert [s["label"] for s in summary] == ["ownenvs:Steps", "ownenvs:Steps?limit=3"]
    assert all(s["illegal_actions"] == 0 and s["seeds"] == [0, 1] for s in summary)
    assert len((here / "out" / "summary.csv").read_text().splitlines()) == 5
    stamps = [path.stat().st_mtime_ns for path in (here / "out").rglob("metrics.csv")]
    assert main(words) == 0
    assert stamps == [path.stat().st_mtime_ns for path in (here / "out").rglob("metrics.csv")]


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_code_says_so(here, quick, capsys):
    words = ["compare", "ownenvs:Steps?kind=stuck", "--seeds=1", "--total-steps=64", "--out=out"]
    assert main([*words, *quick]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "failed, ownenvs:Steps" in out and "allows no action" in out
    assert "no run is finished yet" in out and "some runs failed" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "at least one environment"),
        (["pnda"], "Did you mean panda"),
        (["gymnasium:CartPole-v1"], "offers no mask"),
        (["ownenvs:Steps", "ownenvs:Steps"], "ownenvs:Steps is given more than once"),
        (["ownenvs:Steps", "--seeds", "0"], "--seeds: expected a positive number"),
        (["ownenvs:Steps", "--workers", "0"], "--workers: expected a positive number"),
        (["ownenvs:Steps", "--first-seed", "-1"], "seed: expected a whole number"),
        (["ownenvs:Steps", "--total-steps", "0"], "--total-steps: expected"),
        (["ownenvs:Steps", "--out", "a_file/x"], "cannot write the folder"),
        (["ownenvs:Steps", "--out", "."], "is not empty and holds no comparison"),
        (["ownenvs:Steps", "--algorithm", "dqm"], "Did you mean dqn"),
        (["ownenvs:Steps", "--dqn.gamma=1"], "add --algorithm dqn"),
        (["ownenvs:Steps", "--vary", "gamma"], "expected key=value,value"),
        (["ownenvs:Steps", "--vary", "gama=0.5,1"], "Did you mean gamma"),
        (["ownenvs:Steps", "--vary", "gamma=0.5,2"], "gamma: expected a number"),
        (["ownenvs:Steps", "--vary", "gamma=1,1"], "the value 1 is given more than once"),
        (["ownenvs:Steps", "--vary", "ratio=agent"], "ratio: 'agent' has no meaning"),
        (["ownenvs:Steps", "--vary", "env.limt=3,4"], "limt"),
        (["ownenvs:Steps", "--vary", "gamma=1", "--vary", "gamma=0.5"], "put its values in one"),
        (["ownenvs:Steps", "--preset", "published"], "has no such preset for ppo"),
        (["ownenvs:Steps", "--removed", "withheld"], "does not tell how many steps"),
        (["ownenvs:Steps", "--window", "0"], "--window: expected a positive number"),
        (["ownenvs:Steps", "--regimes", "fine:1"], "expected masked, none, penalty:P"),
        (["ownenvs:Steps", "--regimes", "none"], "does not tell how many steps"),
    ],
)
def test_what_cannot_be_done_is_one_message(here, capsys, words, complaint):
    (here / "a_file").touch()
    assert main(["compare", *words]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in here.iterdir()] == ["a_file"]


@pytest.mark.slow
def test_regimes_of_dqn_are_compared(here, quick_dqn, capsys):
    words = ["compare", "ownenvs:Steps", "--algorithm=dqn", "--seeds=1", "--out=out"]
    words += ["--total-steps=128", "--regimes", "masked", "naive", "penalty:0.5:native"]
    assert main([*words, *quick_dqn]) == 0
    out = capsys.readouterr().out
    assert "3 runs in out" in out and "ownenvs:Steps, naive, seed 0: finished" in out
    found = json.loads((here / "out" / "summary.json").read_text())["environments"]
    assert [s["label"].partition(", ")[2] for s in found] == ["", "naive", "penalty:0.5:native"]
    masked, naive, punished = (s["illegal_actions"] for s in found)
    assert masked == naive == 0 < punished


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "the price of not seeing" in out
    assert 'maskrl compare "panda?sight=full" panda --seeds 4' in out

"""`maskrl evaluate`: the table, kept where it is the run's usual test."""

from __future__ import annotations

import shutil

import pytest

from maskrl.cli import main
from maskrl.runs.run_dir import RunDir


@pytest.fixture
def run(here, trained):
    shutil.copytree(trained, "run")
    return RunDir.open("run")


def test_a_first_result_is_printed_and_kept(run, capsys):
    run.evaluation_path.unlink()
    assert main(["evaluate", "run", "--episodes", "5", "--seed", "3", "--which", "last"]) == 0
    out = capsys.readouterr().out
    assert "ownenvs:Steps: last checkpoint, step 128, on 5 test episodes" in out
    assert "random valid agent" in out
    evaluation = run.read_evaluation()
    assert (evaluation["episodes"], evaluation["seed"]) == (5, 3)
    assert evaluation["checkpoint"] == "last"


def test_another_test_does_not_replace_the_runs_own(run, capsys):
    before = run.read_evaluation()
    assert main(["evaluate", "run", "--episodes", "5"]) == 0
    assert "not kept: evaluation.json holds the run's test" in capsys.readouterr().out
    assert run.read_evaluation() == before


def test_the_usual_test_is_renewed(run):
    run.write_evaluation({"stale": True})
    assert main(["evaluate", "run"]) == 0
    assert run.read_evaluation()["episodes"] == 200


def test_a_run_of_a_comparison_keeps_its_test_without_the_mask(run, capsys):
    taken = {"env_kwargs": {"mask_regime": "penalty:0:native"}, "greedy": {"mean": -99.0}}
    run.write_evaluation({**run.read_evaluation(), "mask_removed": taken})
    assert main(["evaluate", "run"]) == 0
    found = run.read_evaluation()["mask_removed"]
    assert found["env_kwargs"] == {"mask_regime": "penalty:0:native"}
    # As many episodes as of the test beside it, played anew: nobody returns -99 here.
    assert found["greedy"]["episodes"] == 200 == found["sampled"]["episodes"]
    assert 0.0 <= found["greedy"]["mean"] <= 30.0
    assert "with its mask taken away it returns" in capsys.readouterr().out
    assert main(["evaluate", "run", "--episodes", "3"]) == 0
    assert run.read_evaluation()["mask_removed"] == found


def test_another_environment_is_for_the_eyes_only(run, capsys):
    before = run.read_evaluation()
    assert main(["evaluate", "run", "--episodes", "5", "--env", "limit=2"]) == 0
    out = capsys.readouterr().out
    assert "2.0" in out and "not kept" in out
    assert run.read_evaluation() == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "there is no run folder nowhere. Runs near it: run"),
        (["run", "--episodes", "0"], "--episodes: expected a positive number"),
        (["run", "--env", "limit"], "expected key=value"),
        (["run", "--env", "lymit=3"], "lymit"),
        (["run", "--seed", "-2"], "seed: expected a whole number"),
    ],
)
def test_what_cannot_be_done_is_one_message(run, capsys, words, complaint):
    assert main(["evaluate", *words]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_damaged_checkpoint_is_named_with_the_other(run, capsys):
    (run.best_checkpoint / "state.json").unlink()
    assert main(["evaluate", "run"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "state.json is missing" in err and "last is there too" in err
    assert main(["evaluate", "run", "--which", "last", "--episodes", "2"]) == 0

"""A run folder as data: what is missing is NaN, what is damaged is an error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskrl.errors import RunFolderError
from maskrl.reports.run_data import RunData, thinned


def test_a_complete_folder(run_folder):
    run = RunData.read(run_folder)
    assert (run.env_id, run.seed, run.steps) == ("panda", 3, 1_200_000)
    assert run.env_kwargs == {"sight": "trees"}
    assert run.score == 0.8725 and run.planner_return == 0.91 and run.random_return == -0.58
    assert run.seconds == 291.5
    assert run.has_reference and run.illegal_actions == 0
    assert np.isfinite(run.column("eval_score")).sum() == 1


def test_settings_alone_are_enough(run_folder):
    for name in ("metrics.csv", "timings.csv", "evaluation.json"):
        (run_folder / name).unlink()
    run = RunData.read(run_folder)
    assert run.steps == 0 and run.column("return_mean").size == 0
    for value in (run.score, run.mean_return, run.seconds, run.illegal_actions, run.mean("x")):
        assert math.isnan(value)


def test_illegal_actions_of_training_and_evaluation_add_up(make_run):
    run = make_run(evaluation={"illegal_actions": 2})
    run.metrics["illegal_actions"][:] = 3
    assert run.illegal_actions == 5


def test_damage_is_named(run_folder, tmp_path):
    (run_folder / "evaluation.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"evaluation\.json is damaged"):
        RunData.read(run_folder)
    with pytest.raises(RunFolderError, match="no run folder"):
        RunData.read(tmp_path / "nothing")


def test_thinning_keeps_evaluations_and_the_last_row():
    rows = 5000
    score = np.full(rows, np.nan)
    score[[1234, 4321]] = 0.5
    short = thinned({"step": np.arange(rows, dtype=float), "eval_score": score}, rows=100)
    assert 100 <= short["step"].size <= 102
    assert short["step"][-1] == rows - 1
    assert np.isfinite(short["eval_score"]).sum() == 2
    assert thinned({}) == {}

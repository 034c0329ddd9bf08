"""Summaries of comparisons, against hand-made numbers."""

from __future__ import annotations

import json

import pytest

from maskrl.runs.run_dir import RunDir
from maskrl.trainers.compare import Contender
from maskrl.trainers.compare_summary import summarize, write_summary
from maskrl.trainers.compare_worker import Job


@pytest.fixture
def comparison(tmp_path):
    """Two environments with scores, one with returns only; one run is missing."""
    figures = {
        "full": [0.9, 1.0, 0.8, 0.9],
        "trees": [0.8, 0.9, 0.7, None],
        "taxi": [7.0, 8.0, 7.5, 7.9],
    }
    contenders = [Contender(name, name, {}, {}, 100) for name in figures]
    jobs = []
    for name, values in figures.items():
        for seed, value in enumerate(values):
            job = Job(name, {}, seed, {}, 100, None, 50, tmp_path / name / f"seed-{seed}")
            jobs.append(job)
            if value is None:
                continue
            run = RunDir.create(job.folder)
            run.write_config({})
            scored = {"score": value, "planner_mean": 1.0} if name != "taxi" else {}
            run.write_evaluation(
                {
                    "episodes": 50,
                    "mean": value,
                    "random_mean": -1.0,
                    "untrained_mean": -0.5,
                    "illegal_actions": 0,
                    "training_illegal_actions": 1 if name == "taxi" else 0,
                    "sampled": {"mean": 0.1, "illegal_actions": 0},
                    "step": 100,
                    **scored,
                }
            )
    return contenders, jobs, tmp_path


def test_scores_are_summed_up_and_set_against_the_first(comparison):
    contenders, jobs, _ = comparison
    full, trees, taxi = summarize(contenders, jobs)
    assert full.values == (0.9, 1.0, 0.8, 0.9)
    assert full.mean == pytest.approx(0.9)
    assert full.interquartile_mean == pytest.approx(0.9)  # of 0.9 and 0.9
    assert full.interval[0] <= 0.9 <= full.interval[1]
    assert full.ratio is None and full.figure == "score"
    assert trees.seeds == (0, 1, 2)
    assert trees.ratio == pytest.approx(0.8 / 0.9)
    assert full.untrained == pytest.approx(0.25)  # (-0.5 + 1) / (1 + 1)
    assert (taxi.figure, taxi.ratio, taxi.untrained) == ("return", None, -0.5)
    assert (full.illegal_actions, taxi.illegal_actions) == (0, 4)


def test_both_files_hold_the_figures(comparison):
    contenders, jobs, out = comparison
    summaries = summarize(contenders, jobs)
    json_path, csv_path = write_summary(summaries, contenders, jobs, out)
    written = json.loads(json_path.read_text())["environments"]
    assert [w["label"] for w in written] == ["full", "trees", "taxi"]
    assert written[1]["ratio"] == summaries[1].ratio
    lines = csv_path.read_text().splitlines()
    assert len(lines) == 1 + 11
    assert lines[0].startswith("env,seed,score,mean,planner_mean")
    assert lines[1].startswith("full,0,0.9,0.9,1.0,-1.0,-0.5,0.1,0,0,100,50,full/seed-0")


def test_nothing_finished_is_an_empty_summary(comparison):
    contenders, _, out = comparison
    assert summarize(contenders, []) == []
    json_path, _ = write_summary([], contenders, [], out)
    assert json.loads(json_path.read_text())["environments"] == []

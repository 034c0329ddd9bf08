"""Many runs at once: planned, not repeated, stopped, and gone on with."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time

import pytest

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.comparison import read_comparison
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.compare import Contender, finished_evaluation, plan_jobs, run_jobs
from maskrl.trainers.compare_worker import (
    FAILED,
    FINISHED,
    STARTING,
    STOPPED,
    TRAINING,
)
from maskrl.trainers.final_evaluation import evaluate_run


@pytest.fixture
def contender(small_config):
    return Contender("panda-open", "panda-open", {}, small_config.to_json(), 128)


def test_every_run_has_its_folder_seed_by_seed(contender, tmp_path):
    other = Contender("panda?sight=full", "panda", {"sight": "full"}, contender.config, 64, 2.0)
    jobs = plan_jobs([contender, other], [7, 8], tmp_path / "out", episodes=3)
    folders = [str(job.folder.relative_to(tmp_path / "out")) for job in jobs]
    assert folders == [
        "panda-open/seed-7",
        "panda-sight-full/seed-7",
        "panda-open/seed-8",
        "panda-sight-full/seed-8",
    ]
    last = jobs[3]
    assert (last.env_id, last.env_kwargs, last.total_steps) == ("panda", {"sight": "full"}, 64)
    assert (last.max_minutes, last.episodes) == (2.0, 3)


def test_a_comparison_goes_on_only_with_its_own_settings(contender, tmp_path):
    out = tmp_path / "out"
    plan_jobs([contender], [0], out, episodes=3)
    assert len(plan_jobs([contender], [0, 1, 2], out, episodes=5)) == 3
    changed = Contender(**{**vars(contender), "config": {**contender.config, "clip": 0.3}})
    with pytest.raises(RunFolderError, match=r"ppo\.clip was 0\.2 and is now 0\.3"):
        plan_jobs([changed], [0], out, episodes=3)
    with pytest.raises(RunFolderError, match="total_steps was 128 and is now 256"):
        plan_jobs([Contender(**{**vars(contender), "total_steps": 256})], [0], out, episodes=3)


def test_a_setting_that_did_not_exist_yet_and_is_not_used_is_no_difference(contender, tmp_path):
    out = tmp_path / "out"
    before = {k: v for k, v in contender.config.items() if k != "workers"}
    plan_jobs([Contender(**{**vars(contender), "config": before})], [0], out, episodes=3)
    plan_jobs([contender], [0], out, episodes=3)
    used = Contender(**{**vars(contender), "config": {**contender.config, "workers": 2}})
    with pytest.raises(RunFolderError, match=r"ppo\.workers was None and is now 2"):
        plan_jobs([used], [0], out, episodes=3)


def test_what_cannot_be_planned_is_named(contender, tmp_path):
    with pytest.raises(ConfigError, match="at least one environment"):
        plan_jobs([], [0], tmp_path / "a", episodes=1)
    with pytest.raises(ConfigError, match="at least one seed"):
        plan_jobs([contender], [], tmp_path / "a", episodes=1)
    with pytest.raises(ConfigError, match="the seed 3 is given more than once"):
        plan_jobs([contender], [3, 3], tmp_path / "a", episodes=1)
    with pytest.raises(ConfigError, match="the environment panda-open is given more than once"):
        plan_jobs([contender, contender], [0], tmp_path / "a", episodes=1)
    (tmp_path / "thesis").touch()
    with pytest.raises(RunFolderError, match="is not empty and holds no comparison"):
        plan_jobs([contender], [0], tmp_path, episodes=1)
    with pytest.raises(RunFolderError, match="cannot write the folder"):
        plan_jobs([contender], [0], tmp_path / "thesis" / "a", episodes=1)
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        run_jobs([], workers=0, listen=print)


def test_finished_runs_are_not_repeated(contender, tmp_path, small_run):
    (job,) = plan_jobs([contender], [5], tmp_path / "out", episodes=4)
    assert finished_evaluation(job) is None
    shutil.copytree(small_run.path, job.folder)
    assert finished_evaluation(job) is None
    run = RunDir(job.folder)
    run.write_evaluation(evaluate_run(run, episodes=4).to_json())
    heard = []
    assert run_jobs([job], workers=1, listen=lambda n, r: heard.append((n, r.state))) == [FINISHED]
    assert heard == [(0, FINISHED)]
    (more,) = plan_jobs([contender], [5], tmp_path / "out", episodes=6)
    assert finished_evaluation(more) is None


def test_a_test_in_between_does_not_finish_a_run(contender, tmp_path, small_run):
    longer = Contender(**{**vars(contender), "total_steps": 256})
    (job,) = plan_jobs([longer], [5], tmp_path / "out", episodes=4)
    shutil.copytree(small_run.path, job.folder)
    run = RunDir(job.folder)
    run.write_evaluation(evaluate_run(run, episodes=4).to_json())  # as `maskrl evaluate` does
    assert finished_evaluation(job) is None
    timed = Contender(**{**vars(longer), "label": "timed", "max_minutes": 1.0})
    (job,) = plan_jobs([timed], [5], tmp_path / "timed", episodes=4)
    shutil.copytree(small_run.path, job.folder)
    RunDir(job.folder).write_evaluation(run.read_evaluation())
    assert finished_evaluation(job) is not None


def without_evaluations(contender, total_steps):
    config = {**contender.config, "evaluate_every": 0, "checkpoint_every": 640}
    return Contender(**{**vars(contender), "total_steps": total_steps, "config": config})


@pytest.mark.slow
def test_processes_stop_saved_and_the_same_call_finishes(contender, tmp_path):
    longer = without_evaluations(contender, 64 * 60)
    jobs = plan_jobs([longer], [0, 1], tmp_path / "out", episodes=4)
    heard = []

    def listen(number, report):
        heard.append((number, report.state))
        if report.state == TRAINING:
            # As Ctrl-C does; a little later, so that training goes on when it comes.
            threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    assert run_jobs(jobs, workers=1, listen=listen) == [STOPPED, STOPPED]
    assert heard[0] == (0, STARTING) and heard[-1] == (0, STOPPED)
    assert all(number == 0 for number, _ in heard)  # the second was never started
    state = RunDir.open(jobs[0].folder)
    assert state.last_checkpoint.is_dir()
    assert run_jobs(jobs, workers=2, listen=lambda *_: None) == [FINISHED, FINISHED]


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_others_go_on(contender, tmp_path):
    longer = without_evaluations(contender, 64 * 60)
    jobs = plan_jobs([longer], [0, 1], tmp_path / "out", episodes=4)
    killed = []

    def listen(number, report):
        if number == 0 and report.state == TRAINING and not killed:
            holder = int((jobs[0].folder / ".lock").read_text())
            killed.append(report)
            os.kill(holder, signal.SIGKILL)

    heard = {}

    def keep(number, report):
        heard[number] = report
        listen(number, report)

    assert run_jobs(jobs, workers=2, listen=keep) == [FAILED, FINISHED]
    assert "ended by signal 9" in heard[0].message
    time.sleep(0.1)
    assert run_jobs(jobs, workers=2, listen=keep) == [FINISHED, FINISHED]


def test_what_was_compared_before_stays_with_its_runs(contender, tmp_path):
    out = tmp_path / "out"
    plan_jobs([contender], [0, 1], out, episodes=3)
    other = Contender(**{**vars(contender), "label": "panda-open, naive", "regime": "naive"})
    plan_jobs([other], [1, 2], out, episodes=3, threshold=0.5)
    found = read_comparison(out)
    assert [(v.label, v.regime, v.env) for v in found.variants] == [
        ("panda-open", "masked", "panda-open"),
        ("panda-open, naive", "naive", "panda-open, naive"),
    ]
    assert found.seeds == (0, 1, 2) and found.threshold == 0.5
    with pytest.raises(ConfigError, match="would share the folder panda-open-naive"):
        twin = Contender(**{**vars(contender), "label": "panda-open?naive"})
        plan_jobs([other, twin], [0], out, episodes=3)


def test_a_test_without_the_mask_is_part_of_being_finished(contender, tmp_path, small_run):
    removed = {"mask_regime": "none"}
    looked = Contender(**{**vars(contender), "removed": removed})
    (job,) = plan_jobs([looked], [5], tmp_path / "out", episodes=4)
    shutil.copytree(small_run.path, job.folder)
    run = RunDir(job.folder)
    run.write_evaluation(evaluate_run(run, episodes=4).to_json())
    assert finished_evaluation(job) is None
    assert run_jobs([job], workers=1, listen=lambda *_: None) == [FINISHED]
    found = finished_evaluation(job)["mask_removed"]
    assert found["env_kwargs"] == removed
    # What is disallowed is withheld now, and the untaught network tries it.
    assert found["sampled"]["illegal_actions"] > 0 and found["greedy"]["episodes"] == 4


def test_a_comparison_of_an_older_format_is_refused(contender, tmp_path):
    out = tmp_path / "out"
    plan_jobs([contender], [0], out, episodes=3)
    path = out / "compare.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(RunFolderError, match="has format 1, this version of maskrl writes 2"):
        plan_jobs([contender], [0], out, episodes=3)

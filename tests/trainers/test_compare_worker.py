"""One run of a comparison: made, gone on with, begun anew, and ended with its parent."""

from __future__ import annotations

import logging
import os
import shutil

import pytest

from maskrl.errors import MaskrlError
from maskrl.runs.checkpoint import load_checkpoint, save_checkpoint
from maskrl.runs.episode_log import read_episodes
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.compare_worker import (
    FAILED,
    FINISHED,
    STARTING,
    TESTING,
    TRAINING,
    Job,
    train_and_test,
    work,
)


class Listener:
    """Takes the worker's messages, called like `tell` and used like a pipe."""

    def __init__(self):
        self.told = []

    def __call__(self, state, message="", **facts):
        self.told.append((state, message, facts))

    def send(self, report):
        self(report.state, report.message, **report.facts)

    def close(self):
        self.closed = True

    @property
    def states(self):
        return [state for state, _, _ in self.told]


@pytest.fixture
def job(tmp_path, small_config):
    return Job("panda-open", {}, 5, small_config.to_json(), 128, None, 4, tmp_path / "run")


def test_a_run_is_trained_tested_and_told_about(job, small_run):
    tell = Listener()
    train_and_test(job, tell, os.getppid())
    assert tell.states == [STARTING, TRAINING, TESTING, FINISHED]
    _, _, facts = tell.told[1]
    assert facts["steps"] == 64 and facts["fraction"] == 0.5
    assert "score" in tell.told[-1][2]
    run = RunDir.open(job.folder)
    assert run.read_evaluation()["episodes"] == 4
    episodes = read_episodes(run.episodes_path)
    metrics = read_metrics(run.metrics_path)
    assert len(episodes) == metrics["episodes"][-1] > 0 and episodes.step[-1] <= 128
    recent = episodes.returned[-100:]
    assert recent.mean() == pytest.approx(metrics["return_mean"][-1])
    # The same seed alone, in this process, gave the same numbers.
    ours, theirs = (read_metrics(r.metrics_path) for r in (run, small_run))
    assert ours["policy_loss"].tolist() == theirs["policy_loss"].tolist()


def test_a_stopped_run_goes_on_from_its_checkpoint(job, small_run):
    shutil.copytree(small_run.path, job.folder)
    longer = Job(**{**vars(job), "total_steps": 192})
    tell = Listener()
    train_and_test(longer, tell, os.getppid())
    assert tell.told[1][2]["steps"] == 192  # 128 were there already
    assert read_metrics(job.folder / "metrics.csv")["step"].tolist() == [64, 128, 192]


def test_a_trained_run_is_only_tested(job, small_run):
    shutil.copytree(small_run.path, job.folder)
    tell = Listener()
    train_and_test(job, tell, os.getppid())
    assert tell.states == [STARTING, TESTING, FINISHED]


def test_a_run_whose_environment_was_not_saved_begins_anew(job, small_run):
    shutil.copytree(small_run.path, job.folder)
    tensors, state = load_checkpoint(small_run.last_checkpoint)
    save_checkpoint(RunDir(job.folder).last_checkpoint, tensors, {**state, "env_state": None})
    tell = Listener()
    train_and_test(Job(**{**vars(job), "total_steps": 192}), tell, os.getppid())
    assert tell.told[1][2]["steps"] == 64


def test_a_worker_without_its_parent_saves_and_ends(job):
    tell = Listener()
    train_and_test(job, tell, parent=-1)
    assert tell.states == [STARTING]
    assert load_checkpoint(RunDir(job.folder).last_checkpoint)[1]["progress"]["steps"] == 64
    assert RunDir(job.folder).read_evaluation() is None


@pytest.fixture
def quiet_afterwards():
    """A worker silences maskrl's warnings in its process, which here is the tests'."""
    yield
    logging.getLogger("maskrl").setLevel(logging.NOTSET)


def test_errors_become_messages(job, monkeypatch, quiet_afterwards):
    monkeypatch.setattr(os, "setpgrp", lambda: None)
    tell = Listener()
    work(Job(**{**vars(job), "env_kwargs": {"sight": "half"}}), tell, os.getppid())
    state, message, _ = tell.told[-1]
    assert state == FAILED and "sight must be one of" in message and tell.closed

    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("maskrl.trainers.compare_worker.train_and_test", broken)
    work(job, tell, os.getppid())
    state, message, _ = tell.told[-1]
    assert state == FAILED and message.startswith("RuntimeError: a bug (the traceback is in ")
    assert "a bug" in (job.folder / "error.txt").read_text()


def test_a_bug_before_there_is_a_folder_is_told(job, monkeypatch, quiet_afterwards):
    monkeypatch.setattr(os, "setpgrp", lambda: None)

    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("maskrl.trainers.compare_worker.train_and_test", broken)
    deep = Job(**{**vars(job), "folder": job.folder / "not" / "there"})
    tell = Listener()
    work(deep, tell, os.getppid())
    assert tell.told[-1][0] == FAILED and tell.closed
    assert "a bug" in (deep.folder / "error.txt").read_text()
    # Where nothing can be written the message is all there is.
    job.folder.with_name("file").write_text("")
    tell = Listener()
    work(Job(**{**vars(job), "folder": job.folder.with_name("file") / "run"}), tell, os.getppid())
    state, message, _ = tell.told[-1]
    assert state == FAILED and "error.txt cannot be written: Not a directory" in message
    assert message.startswith("RuntimeError: a bug (File ") and "in broken" in message


def test_a_traceback_goes_when_the_run_is_made(job, small_run):
    shutil.copytree(small_run.path, job.folder)
    (job.folder / "error.txt").write_text("of the try before")
    train_and_test(job, Listener(), os.getppid())
    assert not (job.folder / "error.txt").exists()


def test_a_damaged_checkpoint_is_named(job, small_run):
    shutil.copytree(small_run.path, job.folder)
    (job.folder / "checkpoints" / "last" / "state.json").write_text("{")
    with pytest.raises(MaskrlError, match="damaged"):
        train_and_test(job, Listener(), os.getppid())


def test_a_penalised_run_logs_the_returns_of_the_task(job):
    punished = Job(**{**vars(job), "env_kwargs": {"mask_regime": "penalty:0.5"}})
    train_and_test(punished, Listener(), os.getppid())
    run = RunDir(job.folder)
    episodes, metrics = read_episodes(run.episodes_path), read_metrics(run.metrics_path)
    assert (episodes.charged > 0).any() and not (episodes.charged % 0.5).any()
    charged, paid = metrics["return_mean"][-1], metrics["task_return_mean"][-1]
    assert paid == pytest.approx(episodes.returned[-100:].mean())
    assert charged == pytest.approx((episodes.returned - episodes.charged)[-100:].mean())
    # What the episodes were charged is what the environment counted, but for those under way.
    assert 0 < episodes.charged.sum() <= 0.5 * metrics["illegal_actions"][-1]

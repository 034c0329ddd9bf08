"""Around the updates: files, evaluations, checkpoints, hooks, signals."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest

from maskrl.errors import RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluate import Evaluation
from maskrl.trainers.interrupt import TrainingInterrupted
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.training_loop import TrainingLoop, evaluation_metrics

BATCH = 32
SMALL = PPOConfig(
    num_envs=4,
    rollout_steps=8,
    minibatch_size=32,
    epochs=1,
    threads=1,
    evaluate_every=2 * BATCH,
    checkpoint_every=3 * BATCH,
    network=NetworkConfig(hidden=(8,)),
)


class Recorder(Callback):
    """Writes down what happens; may send a signal or stop at an update."""

    def __init__(self, *, stop_at=None, signal_at=None, number=signal.SIGINT):
        self.events = []
        self.stop_at, self.signal_at, self.number = stop_at, signal_at, number

    def on_start(self, trainer):
        self.events.append("start")

    def on_rollout(self, trainer, metrics):
        self.events.append(trainer.steps)
        if trainer.updates == self.signal_at:
            signal.raise_signal(self.number)
        return trainer.updates != self.stop_at

    def on_evaluation(self, trainer, result):
        self.events.append(result)

    def on_end(self, trainer):
        self.events.append("end")


def scores(*values):
    """An evaluator that gives these scores, one after the other."""
    numbers = iter(values)
    return lambda policy: {"score": next(numbers)}


def saved_steps(folder):
    return load_checkpoint(folder)[1]["progress"]["steps"]


def test_order_of_events_and_files(corridor, tmp_path):
    recorder = Recorder()
    trainer = PPO(corridor(4), SMALL, seed=3)
    trainer.learn(
        5 * BATCH,
        run_dir=tmp_path / "run",
        callbacks=[recorder],
        evaluator=scores(0.1, 0.4, 0.2),
    )
    assert recorder.events == [
        "start",
        BATCH,
        {"score": 0.1},
        2 * BATCH,
        3 * BATCH,
        {"score": 0.4},
        4 * BATCH,
        5 * BATCH,
        {"score": 0.2},
        "end",
    ]
    run = RunDir.open(tmp_path / "run")
    assert trainer.run_dir == run
    assert (trainer.best, saved_steps(run.best_checkpoint)) == (0.4, 4 * BATCH)
    assert saved_steps(run.last_checkpoint) == 5 * BATCH
    config = run.read_config()
    assert (config["seed"], config["threads"], config["total_steps"]) == (3, 1, 5 * BATCH)
    assert PPOConfig.from_json(config["ppo"]) == SMALL.replace(ratio="joint")  # as resolved
    metrics = read_metrics(run.metrics_path)
    assert metrics["step"].tolist() == [BATCH * n for n in range(1, 6)]
    np.testing.assert_array_equal(metrics["eval_score"], [np.nan, 0.1, np.nan, 0.4, 0.2])
    assert not {"elapsed", "steps_per_second"} & metrics.keys()
    assert (read_metrics(run.timings_path)["elapsed"] > 0).all()


def test_of_equal_evaluations_the_later_is_best(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL)
    trainer.learn(6 * BATCH, run_dir=tmp_path / "run", evaluator=scores(0.5, 0.5, 0.4))
    assert saved_steps(trainer.run_dir.best_checkpoint) == 4 * BATCH


def test_a_run_can_be_resumed_from_its_first_moment(corridor, tmp_path):
    """Killed within the first update: the same run follows, to the digit."""
    straight, run = tmp_path / "straight", tmp_path / "run"
    PPO(corridor(4), SMALL).learn(2 * BATCH, run_dir=straight, evaluator=scores(1))

    class Killed(Callback):
        def on_start(self, trainer):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        PPO(corridor(4), SMALL).learn(2 * BATCH, run_dir=run, callbacks=[Killed()])
    PPO.load(run, env=corridor(4)).learn(2 * BATCH, run_dir=run, evaluator=scores(1))
    assert (run / "metrics.csv").read_bytes() == (straight / "metrics.csv").read_bytes()


def test_metrics_files_of_equal_runs_are_equal(corridor, tmp_path):
    for name in ("a", "b"):
        PPO(corridor(4), SMALL).learn(3 * BATCH, run_dir=tmp_path / name)
    first, second = (tmp_path / name / "metrics.csv" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_says_how_to_go_on_and_loses_nothing(corridor, tmp_path, number):
    straight = PPO(corridor(4), SMALL)
    straight.learn(6 * BATCH, run_dir=tmp_path / "straight", evaluator=scores(1, 2, 3))

    run = tmp_path / "run"
    recorder = Recorder(signal_at=3, number=number)
    trainer = PPO(corridor(4), SMALL)
    with pytest.raises(TrainingInterrupted) as caught:
        trainer.learn(6 * BATCH, run_dir=run, callbacks=[recorder], evaluator=scores(1))
    assert recorder.events[-1] == "end"
    message = str(caught.value)
    assert ("Ctrl-C" if number == signal.SIGINT else "SIGTERM") in message
    assert f"after {3 * BATCH:,} of {6 * BATCH:,} steps" in message
    assert f"maskrl train --resume {run}" in message
    assert caught.value.signal_name == number.name

    resumed = PPO.load(run, env=corridor(4))
    resumed.learn(6 * BATCH, run_dir=run, evaluator=scores(2, 3))
    files = [folder / "metrics.csv" for folder in (run, tmp_path / "straight")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_rows_past_the_last_checkpoint_are_learned_again(corridor, tmp_path):
    """A kill after update 5: the checkpoint is of update 3, the rows of 4 and 5 are stale."""
    config = SMALL.replace(evaluate_every=0)
    straight, run = tmp_path / "straight", tmp_path / "run"
    PPO(corridor(4), config).learn(6 * BATCH, run_dir=straight)

    class Killed(Callback):
        def on_rollout(self, trainer, metrics):
            if trainer.updates == 5:
                trainer.save = None  # dies before it can save again
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        PPO(corridor(4), config).learn(6 * BATCH, run_dir=run, callbacks=[Killed()])
    assert saved_steps(run / "checkpoints" / "last") == 3 * BATCH
    PPO.load(run, env=corridor(4)).learn(6 * BATCH, run_dir=run)
    assert (run / "metrics.csv").read_bytes() == (straight / "metrics.csv").read_bytes()


def test_callback_ends_training_and_the_rest_can_follow(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL)
    trainer.learn(6 * BATCH, run_dir=tmp_path / "run", callbacks=[Recorder(stop_at=1)])
    assert trainer.updates == 1
    assert saved_steps(tmp_path / "run" / "checkpoints" / "last") == BATCH
    trainer.learn(2 * BATCH, run_dir=tmp_path / "run")
    assert read_metrics(tmp_path / "run" / "metrics.csv")["step"].tolist() == [BATCH, 2 * BATCH]


def test_error_ends_the_hooks_too(corridor):
    class Broken(Recorder):
        def on_rollout(self, trainer, metrics):
            raise RuntimeError("broken")

    recorder = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        PPO(corridor(4), SMALL).learn(BATCH, callbacks=[recorder])
    assert recorder.events == ["start", "end"]


def test_existing_run_is_not_overwritten(corridor, tmp_path):
    PPO(corridor(4), SMALL).learn(BATCH, run_dir=tmp_path / "run")
    with pytest.raises(RunFolderError, match="holds a run already"):
        PPO(corridor(4), SMALL).learn(BATCH, run_dir=tmp_path / "run")


def test_settings_written_before_are_kept_and_completed(corridor, tmp_path):
    run = RunDir.create(tmp_path / "run")
    run.write_config({"command": "train", "threads": None})
    PPO(corridor(4), SMALL.replace(threads=None)).learn(BATCH, run_dir=run)
    config = run.read_config()
    assert (config["command"], config["threads"], config["ppo"]["threads"]) == ("train", 1, 1)


def test_environment_by_id_is_evaluated_without_being_asked(tmp_path):
    config = SMALL.replace(evaluation_episodes=2, evaluate_every=BATCH)
    recorder = Recorder()
    trainer = PPO("gymnasium:Taxi-v4", config)
    trainer.learn(BATCH, callbacks=[recorder])
    (result,) = [event for event in recorder.events if isinstance(event, Evaluation)]
    assert result.episodes == 2
    assert trainer.best == result.mean


def test_numbers_of_an_evaluation():
    result = Evaluation(
        env="x",
        env_kwargs={},
        seed=0,
        deterministic=True,
        returns=np.array([1.0, 3.0]),
        lengths=np.array([4, 4]),
        planner=np.array([4.0, 4.0]),
        random=np.array([0.0, 0.0]),
    )
    assert evaluation_metrics(result) == {
        "eval_return": 2.0,
        "eval_score": 0.5,
        "eval_planner": 4.0,
        "eval_random": 0.0,
        "eval_illegal_actions": 0.0,
    }
    assert evaluation_metrics({"return": 2, "name": "x", "gap": math.nan}) == {"eval_return": 2.0}
    assert evaluation_metrics({"score": np.float32(0.5)}) == {"eval_score": 0.5}
    assert evaluation_metrics(None) == {}


@pytest.mark.parametrize(("seconds", "due"), [(1.0, [120.0, 599.0, 600.0]), (30.0, [600.0])])
def test_a_checkpoint_that_takes_long_is_written_less_often(corridor, tmp_path, seconds, due):
    """Every two minutes, or every 20 times what saving takes."""
    trainer = PPO(corridor(4), SMALL)
    loop = TrainingLoop(trainer, tmp_path / "run", (), None)
    loop._save_seconds = seconds
    found = []
    for waited in (119.0, 120.0, 599.0, 600.0):
        trainer.elapsed = loop._saved_at + waited
        if loop._unsaved(10_000_000):
            found.append(waited)
    assert found == due
    trainer.steps, trainer.elapsed = trainer.last_checkpoint + 64, loop._saved_at
    assert loop._unsaved(64)  # what was asked for is done whatever it takes

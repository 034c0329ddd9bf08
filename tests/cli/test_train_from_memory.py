"""`maskrl train --algorithm dqn|sac`: settings, the end, a stop and the way on."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from maskrl.cli import main
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.algorithms import ALGORITHMS


def train(*words):
    return main(["train", "ownenvs:Steps", "--no-report", *words])


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_help_explains_the_settings_of_the_algorithm_alone(capsys, name):
    with pytest.raises(SystemExit):
        main(["train", "--algorithm", name, "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert f"--{name}.replay-size" in out and f"--{name}.network.hidden" in out
    assert "Transitions that are remembered" in out and "--ppo.clip" not in out
    assert "maskrl train --algorithm dqn --help" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--algorithm", "dnq"], "there is no such algorithm. Did you mean dqn?"),
        (["--dqn.gamma", "0.9"], "--dqn.gamma is a setting of dqn, and this would train with ppo"),
        (["--algorithm=dqn", "--ppo.clip=0.1"], "add --algorithm ppo, or leave it out"),
    ],
)
def test_what_does_not_go_together_is_one_message(here, capsys, words, complaint):
    assert train(*words) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_team_is_told_to_train_by_ppo(here, capsys):
    assert main(["train", "pandas", "--algorithm=dqn", "--dqn.threads=1"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "has a team of" in err and "train the team with PPO" in err
    assert not list(here.iterdir())


def test_a_run_and_its_end(here, from_memory, capsys):
    name, words = from_memory
    assert train("--total-steps=128", "--out=run", *words) == 0
    out = capsys.readouterr().out
    for expected in (
        f"{name}    num_envs=4",
        "step 128 of 128",
        "checkpoint, step",
        "untrained agent",
        "random valid agent",
        "illegal actions executed in training: 0",
    ):
        assert expected in out, expected
    # Samples of a policy by Q-values are nobody's policy; soft actor-critic's are its own.
    assert ("agent, sampling actions" in out) == (name == "sac")
    assert ("epsilon" in out) == (name == "dqn")
    run = RunDir.open("run")
    config, evaluation = run.read_config(), run.read_evaluation()
    assert config["algorithm"] == name and config[name]["replay_size"] == 64
    assert "ppo" not in config
    assert evaluation["illegal_actions"] == evaluation["training_illegal_actions"] == 0
    metrics = read_metrics(run.metrics_path)
    assert {"td_error", "replay_size", "return_mean", "allowed_share"} <= set(metrics)
    assert {"epsilon"} <= set(metrics) if name == "dqn" else {"temperature"} <= set(metrics)


def test_equal_seeds_and_a_resumed_run_give_equal_metrics(here, from_memory, capsys):
    name, words = from_memory
    still = [f"--{name}.anneal-learning-rate=False", *words]
    still[0] = f"--{name}.no-anneal-learning-rate"
    fixed = ["--dqn.epsilon=0.5", "--dqn.epsilon-final=0.5"] if name == "dqn" else []
    fixed = fixed or ["--sac.entropy-share-final=None"]
    assert train("--total-steps=192", "--out=straight", *still, *fixed) == 0
    assert train("--total-steps=96", "--out=parts", *still, *fixed) == 0
    words = ["train", "--resume=parts", "--total-steps=192", "--no-report", "--episodes=3"]
    assert main(words) == 0
    assert "going on with parts after 96 steps" in capsys.readouterr().out
    straight, parts = (read_metrics(f"{run}/metrics.csv") for run in ("straight", "parts"))
    assert straight["step"][-1] == parts["step"][-1] == 192
    for column in ("td_error", "return_mean", "grad_norm"):
        assert straight[column][-1] == parts[column][-1], column
    assert RunDir.open("parts").read_config()["algorithm"] == name


def test_ctrl_c_saves_and_the_run_goes_on(here, from_memory, capsys, monkeypatch):
    name, words = from_memory
    trainer = ALGORITHMS[name].trainer
    step = trainer.step

    def interrupted(self):
        answer = step(self)
        if self.steps == 64:
            os.kill(os.getpid(), signal.SIGINT)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", interrupted)
        assert train("--total-steps=128", "--out=run", *words) == 130
    err = " ".join(capsys.readouterr().err.split())
    assert "stopped by Ctrl-C after 64 of 128 steps; saved in" in err
    assert "maskrl train --resume" in err and f"{trainer.__name__}.load(" in err
    assert main(["train", "--resume=run", "--no-report", "--episodes=2"]) == 0
    assert RunDir.open("run").read_evaluation()["episodes"] == 2
    assert read_metrics("run/metrics.csv")["step"][-1] == 128


def test_worker_processes_change_nothing_and_a_run_with_them_is_resumed(here, quick_dqn, capsys):
    words = ["--algorithm=dqn", *quick_dqn]
    assert train("--total-steps=128", "--out=here", *words) == 0
    assert train("--total-steps=128", "--out=there", "--dqn.workers=2", *words) == 0
    ours, theirs = ((here / run / "metrics.csv").read_bytes() for run in ("here", "there"))
    assert ours == theirs
    assert main(["train", "--resume=there", "--total-steps=160", "--no-report"]) == 0
    assert RunDir.open("there").read_config()["dqn"]["workers"] == 2
    assert train("--total-steps=64", "--out=many", "--dqn.workers=9", *words) == 2
    assert "workers is 9; expected a whole number from 1 to num_envs = 4" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (here / "many").exists()


@pytest.mark.parametrize("words", [["--algorithm=ppo"], ["--dqn.gamma=0.5"], ["--sac.gamma=0.5"]])
def test_a_resumed_run_keeps_algorithm_and_settings(here, trained, capsys, words):
    shutil.copytree(trained, "run")
    assert main(["train", "--resume", "run", *words]) == 2
    assert "cannot be changed when a run is resumed" in " ".join(capsys.readouterr().err.split())


def test_what_was_trained_is_evaluated_watched_and_reported(here, from_memory, capsys):
    name, words = from_memory
    assert train("--total-steps=64", "--out=run", *words) == 0
    assert main(["evaluate", "run", "--episodes=3", "--seed=1"]) == 0
    assert "on 3 test episodes" in capsys.readouterr().out
    assert main(["watch", "run"]) == 0
    out = capsys.readouterr().out
    assert "masked" in out and ("Q-value" in out) and "return" in out
    assert ("probability" in out) == (name == "sac")
    assert main(["report", "run"]) == 0
    page = (here / "run" / "report.html").read_text()
    assert "One decision by value" in page
    assert ("A DQN agent" if name == "dqn" else "A discrete SAC agent") in page
    data = json.loads(page.split('id="page-data">')[1].split("</script>")[0])
    assert data["episodes"]["values"]["shown"] == ("only" if name == "dqn" else "beside")

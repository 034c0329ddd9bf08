"""`maskrl train`: from an id to a tested agent; what cannot be done is said before anything is."""

from __future__ import annotations

import json
import shutil

import pytest

from maskrl.cli import main
from maskrl.cli.train import TrainOptions, _defaults
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir


def train(*words):
    return main(["train", "ownenvs:Steps", "--no-report", *words])


def test_a_run_folder_holds_everything(trained):
    run = RunDir.open(trained)
    config = run.read_config()
    assert config["env"] == "ownenvs:Steps" and config["env_kwargs"] == {}
    assert (config["seed"], config["total_steps"]) == (0, 128)
    assert config["ppo"]["num_envs"] == 4 and config["ppo"]["network"]["hidden"] == [8]
    assert "torch" in config["versions"]
    assert read_metrics(run.metrics_path)["step"].tolist() == [64, 128]
    evaluation = run.read_evaluation()
    assert evaluation["episodes"] == 3
    assert evaluation["illegal_actions"] == evaluation["training_illegal_actions"] == 0
    assert run.last_checkpoint.is_dir() and run.best_checkpoint.is_dir()
    assert any(run.tensorboard_path.iterdir())


def test_the_end_is_a_table_and_the_way_on(here, quick, capsys):
    assert train("--total-steps=64", "--env", "limit=4", "--seed=2", *quick) == 0
    out = capsys.readouterr().out
    for expected in (
        "train  ownenvs:Steps limit=4, seed 2, 64 steps",
        "num_envs=4",
        "runs/ownenvs-Steps-2-1",
        "checkpoint, step 64, on 3 test episodes",
        "agent, sampling actions",
        "untrained agent",
        "random valid agent",
        "illegal actions executed in training: 0",
        "maskrl watch runs/ownenvs-Steps-2-1",
    ):
        assert expected in out, expected
    assert RunDir.open("runs/ownenvs-Steps-2-1").read_config()["env_kwargs"] == {"limit": 4}
    assert train("--total-steps=64", "--seed=2", *quick) == 0
    assert RunDir.open("runs/ownenvs-Steps-2-2")


def test_equal_seeds_give_equal_metrics(here, trained, quick):
    assert train("--total-steps=128", "--out=again", *quick) == 0
    ours, theirs = (path / "metrics.csv" for path in (here / "again", trained))
    assert ours.read_bytes() == theirs.read_bytes()
    assert train("--total-steps=128", "--out=other", "--seed=1", *quick) == 0
    assert (here / "other" / "metrics.csv").read_bytes() != theirs.read_bytes()


def test_a_resumed_run_equals_an_uninterrupted_one(here, trained, quick, capsys):
    assert train("--total-steps=192", "--out=straight", *quick) == 0
    shutil.copytree(trained, "resumed")
    words = ["train", "--resume=resumed", "--total-steps=192", "--no-report", "--episodes=3"]
    # The learning rate falls towards the end of all steps, so the two halves differ in it.
    assert main(words) == 0
    assert "going on with resumed after 128 steps" in capsys.readouterr().out
    assert read_metrics("resumed/metrics.csv")["step"].tolist() == [64, 128, 192]
    assert RunDir.open("resumed").read_config()["total_steps"] == 192
    assert main(words) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "resumed is complete: 192 steps" in err and "larger --total-steps" in err


def test_a_run_that_was_not_tested_is_tested_by_resuming(here, trained):
    shutil.copytree(trained, "run")
    (here / "run" / "evaluation.json").unlink()
    assert main(["train", "--resume=run", "--no-report", "--episodes=2"]) == 0
    assert RunDir.open("run").read_evaluation()["episodes"] == 2


def test_a_resumed_run_ends_as_it_was_to_end(here, trained):
    shutil.copytree(trained, "run")
    (here / "run" / "evaluation.json").unlink()
    run = RunDir.open("run")
    assert run.read_config()["conclusion"]["report"] is False
    run.write_config(run.read_config() | {"conclusion": {"episodes": 4, "report": False}})
    assert main(["train", "--resume=run"]) == 0
    assert run.read_evaluation()["episodes"] == 4
    assert not run.report_path.exists()


def test_the_report_is_written_and_named(here, trained, capsys):
    shutil.copytree(trained, "run")
    (here / "run" / "evaluation.json").unlink()
    assert main(["train", "--resume=run", "--episodes=2", "--report"]) == 0
    out = capsys.readouterr().out
    assert f"report   {(here / 'run' / 'report.html').resolve()}" in out
    assert (here / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["train"], "which environment? As in: maskrl train panda"),
        (["train", "pnda"], "unknown environment 'pnda'. Did you mean panda"),
        (["train", "--seed", "1", "pnda"], "unknown environment 'pnda'"),
        (["train", "ownenvs:Stepps"], "Steps"),
        (["train", "nowhere:Env"], "no module 'nowhere'"),
        (["train", "gymnasium:CartPole-v1"], "offers no mask. Looked for: an entry action_mask"),
        (["train", "ownenvs:Steps?kind=none"], "no mask"),
        (["train", "ownenvs:Steps?kind=short"], "has shape (4,), expected (6,)"),
        (["train", "ownenvs:Steps?kind=polarity"], "-1"),
        (["train", "ownenvs:Steps?kynd=x"], "kynd"),
        (["train", "panda", "--env", "sight"], "expected key=value, as in --env sight=full"),
        (["train", "panda", "--env", "sight=half"], "sight must be one of trees, full"),
        (["train", "ownenvs:Steps", "--seed", "-1"], "seed: expected a whole number from 0"),
        (["train", "ownenvs:Steps", "--total-steps", "0"], "--total-steps: expected a positive"),
        (["train", "ownenvs:Steps", "--max-minutes", "0"], "--max-minutes: expected a positive"),
        (["train", "ownenvs:Steps", "--episodes", "0"], "--episodes: expected a positive"),
        (["train", "ownenvs:Steps", "--out", "a_file"], "is a file; a run needs a folder"),
        (["train", "ownenvs:Steps", "--out", "a_file/x"], "cannot write the folder"),
        (["train", "ownenvs:Steps", "--out", "."], "is not empty and is not a run folder"),
        (["train", "--resume", "nowhere"], "there is no run folder nowhere"),
        (["train", "--resume", "."], "is not a run folder"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_leaves_nothing(here, capsys, words, complaint):
    (here / "a_file").touch()
    before = sorted(path.name for path in here.rglob("*"))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert complaint in " ".join(err.split()), err
    assert "Traceback" not in err
    assert sorted(path.name for path in here.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ppo.num-envs", "0"], "num_envs: expected a positive whole number"),
        (["--ppo.clip", "-1"], "clip: expected a number above 0"),
        (["--lr", "3"], "Unrecognized options"),
        (["--seed", "x"], "--seed"),
    ],
)
def test_what_the_parser_refuses_exits_with_2(here, capsys, words, complaint):
    with pytest.raises(SystemExit) as leaving:
        main(["train", "ownenvs:Steps", *words])
    assert leaving.value.code == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_row_that_allows_nothing_names_environment_and_step(here, quick, capsys):
    assert train("--env=kind=stuck", "--total-steps=64", *quick) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "ownenvs:Steps" in err and "step 2" in err and "all False" in err


def test_after_a_failure_of_the_mask_the_same_command_works(here, quick):
    assert train("--env=kind=stuck", "--total-steps=64", "--out=run", *quick) == 2
    assert not (here / "run").exists()
    assert train("--total-steps=64", "--no-report", "--out=run", *quick) == 0


def test_a_run_stopped_before_its_first_update_is_resumed(here, quick, monkeypatch):
    def stopped(trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("maskrl.trainers.ppo.PPO.step", stopped)
        assert train("--total-steps=64", "--no-report", "--out=run", *quick) == 130
    assert main(["train", "--resume=run", "--no-report", "--episodes=2"]) == 0
    assert RunDir.open("run").read_evaluation()["step"] == 64


def test_an_existing_run_is_kept(here, trained, capsys):
    shutil.copytree(trained, "run")
    assert train("--out=run") == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "run holds a run already. Go on with it: maskrl train --resume run" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seed", "4"], "--seed cannot be changed when a run is resumed"),
        (["--ppo.clip=0.3"], "--ppo.clip cannot be changed"),
        (["panda"], "knows its environment: leave out 'panda'"),
    ],
)
def test_resuming_ignores_nothing(here, trained, capsys, words, complaint):
    shutil.copytree(trained, "run")
    assert main(["train", "--resume", "run", *words]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda run: (run / "config.json").write_text("{"), "config.json is damaged"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "has no checkpoint"),
        (
            lambda run: (run / "checkpoints/last/tensors.safetensors").write_bytes(b"x"),
            "tensors.safetensors is damaged",
        ),
    ],
)
def test_a_damaged_run_is_named(here, trained, capsys, damage, complaint):
    shutil.copytree(trained, "run")
    damage(here / "run")
    assert main(["train", "--resume", "run"]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_damaged_curve_does_not_cost_the_checkpoint(here, trained, capsys):
    shutil.copytree(trained, "run")
    (here / "run" / "metrics.csv").write_text("nonsense\n")
    before = load_checkpoint(here / "run" / "checkpoints" / "last")[1]["progress"]
    words = ["train", "--resume", "run", "--total-steps", "192", "--no-report"]
    assert main(words) == 2
    assert "Delete the file to go on" in " ".join(capsys.readouterr().err.split())
    assert load_checkpoint(here / "run" / "checkpoints" / "last")[1]["progress"] == before


def test_help_teaches_with_the_presets_of_the_environment(capsys):
    with pytest.raises(SystemExit):
        main(["train", "panda", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for expected in ("maskrl train gymnasium:Taxi-v4", "--resume RUN", "Where all randomness"):
        assert expected in out
    assert f"(default: {_defaults('panda').ppo.num_envs})" in out


def test_a_preset_by_name_brings_settings_of_the_environment_too(here):
    small = ("--ppo.rollout-steps=16", "--ppo.minibatch-size=8", "--ppo.epochs=1", "--episodes=1")
    asked = ("mining-4x4", "--preset", "as_published", "--total-steps=16", "--no-report", *small)
    assert main(["train", *asked, "--out=published"]) == 0
    config = RunDir.open("published").read_config()
    assert config["env_kwargs"]["masks"] == "published"
    assert config["ppo"]["ratio"] == "head" and config["ppo"]["entropy_coef"] == -0.01
    assert config["ppo"]["rollout_steps"] == 16 and config["total_steps"] == 16
    # What the user says of the environment stands above the preset.
    assert main(["train", *asked, "--out=own", "--env", "masks=heads"]) == 0
    assert RunDir.open("own").read_config()["env_kwargs"]["masks"] == "heads"


def test_an_unknown_preset_is_named_with_those_there_are(here, capsys):
    assert main(["train", "mining-4x4", "--preset", "wrong"]) == 2
    assert "it has as_published, corrected" in " ".join(capsys.readouterr().err.split())
    assert main(["train", "panda", "--preset", "wrong"]) == 2
    assert "none but the usual one" in " ".join(capsys.readouterr().err.split())


def test_every_option_is_explained():
    from dataclasses import fields

    from maskrl.trainers.ppo_config import PPOConfig

    source = json.dumps([f.name for f in fields(TrainOptions)])
    assert "max_minutes" in source
    for cls in (TrainOptions, PPOConfig):
        import ast
        import inspect
        import textwrap

        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
        for node, after in zip(body, body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and node.target.id != "ppo":
                assert isinstance(after, ast.Expr), f"{cls.__name__}.{node.target.id}"

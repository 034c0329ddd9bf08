"""The page on training is true: its programs and commands run, its table names every column."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskrl import PPO, PPOConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def corridor(tmp_path, monkeypatch):
    """The page's environment, in a module of the current folder."""
    (tmp_path / "corridor.py").write_text(blocks("python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("corridor", None)


def test_every_column_of_the_metrics_is_explained(corridor):
    config = PPOConfig(num_envs=2, rollout_steps=8, minibatch_size=16, threads=1, evaluate_every=16)
    PPO("corridor:Corridor", config).learn(16, run_dir="run")
    with (corridor / "run" / "metrics.csv").open() as file:
        columns = set(next(csv.reader(file)))
    explained = {
        name
        for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert columns - explained == set()
    assert {"eval_score", "eval_planner", "eval_random"} <= explained


@pytest.mark.slow
def test_commands_and_programs_run(corridor):
    commands = "".join(blocks("sh"))
    assert re.findall(r"^maskrl (\w+)", commands, re.MULTILINE)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    programs = "\n".join(blocks("python")[1:])
    for arguments in (["sh", "-e", "-c", commands], [sys.executable, "-c", programs]):
        run = subprocess.run(arguments, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

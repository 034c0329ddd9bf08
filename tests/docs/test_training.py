"""The page on training is true: its programs and commands run, its table names every column."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskrl import DQN, PPO, DiscreteSAC, DQNConfig, PPOConfig, SACConfig

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


SMALL = {
    "num_envs": 2,
    "replay_size": 32,
    "learning_starts": 8,
    "train_every": 2,
    "batch_size": 4,
    "log_every": 8,
    "threads": 1,
    "evaluate_every": 16,
    "evaluation_episodes": 2,
}


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "boltzmann", "sac"])
def test_every_column_of_the_metrics_is_explained(corridor, algorithm):
    ppo = PPOConfig(num_envs=2, rollout_steps=8, minibatch_size=16, threads=1, evaluate_every=16)
    trainer = {
        "ppo": lambda: PPO("corridor:Corridor", ppo),
        "dqn": lambda: DQN("corridor:Corridor", DQNConfig(**SMALL)),
        "boltzmann": lambda: DQN(
            "corridor:Corridor", DQNConfig(**SMALL, exploration="boltzmann", returns="categorical")
        ),
        "sac": lambda: DiscreteSAC("corridor:Corridor", SACConfig(**SMALL)),
    }[algorithm]()
    trainer.learn(16, run_dir="run")
    with (corridor / "run" / "metrics.csv").open() as file:
        columns = set(next(csv.reader(file)))
    explained = {
        name
        for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert columns - explained == set()
    assert {"eval_score", "eval_planner", "eval_random"} <= explained


def chapters() -> list[list[tuple[str, str]]]:
    """The blocks after the environment's, `(language, text)`, with those that go on with theirs.

    A block goes on with the one whose run folder or class it names.
    """
    found: list[tuple[set[str], list[tuple[str, str]]]] = []
    pieces = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    pieces.remove(("python", blocks("python")[0]))
    for piece in pieces:
        names = set(re.findall(r"\bruns/\w+|(?<=^class )\w+|(?<=\()\w+(?=\):$)", piece[1], re.M))
        chapter = next((c for c in found if c[0] & names), None)
        if chapter is None:
            found.append((names, [piece]))
        else:
            chapter[0].update(names)
            chapter[1].append(piece)
    return [blocks for _, blocks in found]


def test_chapters_are_whole():
    """Every block is run, what follows from another behind it, and none takes all the time."""
    parts = chapters()
    assert sum(map(len, parts)) == len(blocks("sh")) + len(blocks("python")) - 1 >= 13
    assert len(parts) >= 9 and max(map(len, parts)) <= 5
    for text in ("train --resume runs/corridor", "maskrl evaluate", 'load_policy("runs/corridor")'):
        assert any(text in block for _, block in parts[0]), text
    (own,) = (part for part in parts if "class Remembering(Network)" in part[-1][1])
    assert "class Network" in own[0][1]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(chapters())))
def test_commands_and_programs_run(corridor, number):
    chapter = chapters()[number]
    programs = "\n".join(text for language, text in chapter if language == "python")
    commands = "".join(text for language, text in chapter if language == "sh")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for arguments in (["sh", "-e", "-c", commands], [sys.executable, "-c", programs]):
        run = subprocess.run(arguments, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

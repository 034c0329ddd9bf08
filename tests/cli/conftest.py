"""An environment in a file of the user's own, and a run trained on it through the command line."""

from __future__ import annotations

import sys

import pytest

ENVIRONMENT = '''
import gymnasium
import numpy as np
from gymnasium import spaces


class Steps(gymnasium.Env):
    """Six steps; every third action of six is allowed in turn; the larger, the better."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(6)

    def __init__(self, limit=6, kind="good"):
        self.limit, self.kind = limit, kind

    def info(self):
        keep = np.arange(6) % 3 == self.at % 3
        if self.kind == "stuck" and self.at == 2:
            keep[:] = False
        if self.kind == "short":
            keep = keep[:4]
        if self.kind == "polarity":
            keep = np.where(keep, 1, -1)
        return {} if self.kind == "none" else {"action_mask": keep.astype(np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return np.array([self.at], np.float32), self.info()

    def step(self, action):
        self.at += 1
        return np.array([self.at], np.float32), float(action), self.at >= self.limit, False, \\
            self.info()
'''

QUICK = [
    "--ppo.num-envs=4",
    "--ppo.rollout-steps=16",
    "--ppo.minibatch-size=32",
    "--ppo.epochs=1",
    "--ppo.network.hidden=8",
    "--ppo.threads=1",
    "--ppo.evaluate-every=64",
    "--ppo.evaluation-episodes=2",
    "--ppo.checkpoint-every=64",
    "--episodes=3",
]


def quick_memory(name):
    """Options with which 128 steps of an algorithm with a memory take a moment."""
    settings = {
        "num-envs": 4,
        "replay-size": 64,
        "learning-starts": 16,
        "train-every": 8,
        "gradient-steps": 1,
        "batch-size": 8,
        "log-every": 32,
        "network.hidden": 8,
        "threads": 1,
        "evaluate-every": 64,
        "evaluation-episodes": 2,
        "checkpoint-every": 64,
    }
    return [*(f"--{name}.{key}={value}" for key, value in settings.items()), "--episodes=3"]


@pytest.fixture(scope="session")
def quick_dqn():
    return quick_memory("dqn")


@pytest.fixture(scope="session", params=["dqn", "sac"])
def from_memory(request):
    """The name of an algorithm that learns from a memory, and options that make it quick."""
    return request.param, [f"--algorithm={request.param}", *quick_memory(request.param)]


@pytest.fixture(scope="session")
def quick():
    """Options with which 128 steps take a moment."""
    return QUICK


@pytest.fixture(scope="session")
def own_place(tmp_path_factory):
    """A folder with a module `ownenvs`."""
    place = tmp_path_factory.mktemp("place")
    (place / "ownenvs.py").write_text(ENVIRONMENT)
    return place


@pytest.fixture
def here(own_place, tmp_path, monkeypatch):
    """Work in an empty folder from which `ownenvs:Steps` can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(own_place)
    yield tmp_path
    sys.modules.pop("ownenvs", None)


@pytest.fixture(scope="session")
def trained(own_place, tmp_path_factory):
    """A finished run on `ownenvs:Steps`; tests copy it before they write into it."""
    from maskrl.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(own_place)
        patch.chdir(folder.parent)
        words = ["train", "ownenvs:Steps", "--total-steps=128", "--no-report", f"--out={folder}"]
        assert main([*words, *QUICK]) == 0
    return folder

"""Algorithms that train policies, and what belongs to a training. Names load lazily."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Callback": "callbacks",
    "DQN": "dqn",
    "DQNConfig": "dqn_config",
    "DiscreteSAC": "sac",
    "Evaluation": "evaluate",
    "PPO": "ppo",
    "PPOConfig": "ppo_config",
    "SACConfig": "sac_config",
    "TrainingInterrupted": "interrupt",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'maskrl.trainers' has no attribute {name!r}")
    return getattr(import_module(f"maskrl.trainers.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__

"""Policies: a network, a distribution over what is allowed, and the choice.

`ActorCritic` is built from spaces; `load_policy` reads one from a run folder;
`record_episode` watches one act. Names load lazily.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Acting": "acting",
    "ActorCritic": "actor_critic",
    "EpisodeRecord": "episode",
    "Policy": "protocol",
    "QPolicy": "q_policy",
    "RecurrentPolicy": "protocol",
    "SoftActorCritic": "soft_actor_critic",
    "TeamActorCritic": "team_actor_critic",
    "TeamPolicy": "team_protocol",
    "load_policy": "load",
    "obs_to_tensors": "predict",
    "predict_action": "predict",
    "predict_and_remember": "predict",
    "record_episode": "episode",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'maskrl.policies' has no attribute {name!r}")
    return getattr(import_module(f"maskrl.policies.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__

"""The registry's entry for a map: "microrts:maps/8x8/basesWorkers8x8.xml" and what trains it.

Found by the id's source, not registered one by one: every map of the engine, and every file
in its format, is an environment. The preset is what beats the default opponent on the small
maps within an hour on two processors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.microrts.installation import is_installed
from maskrl.envs.adapters.microrts.maps import find_map
from maskrl.envs.construct import LazyCallable
from maskrl.envs.registry import EnvEntry
from maskrl.errors import UnknownEnvError

FOLDER = "maskrl.envs.adapters.microrts"
EXAMPLE = "microrts:maps/8x8/basesWorkers8x8.xml"

MICRORTS_PPO: dict[str, Any] = {
    "death": "posthumous",  # units have no identity: the team has the rewards and the value
    "num_envs": 64,  # the engine steps so many in the time that a small network needs for them
    "rollout_steps": 64,
    "minibatch_size": 512,
    "epochs": 3,
    "learning_rate": 1e-3,
    "normalize_rewards": True,
    "entropy_coef": 0.01,
    "entropy_coef_final": 0.001,
    "network": {"shared": True, "channels": (16, 32), "hidden": (128,), "activation": "relu"},
    "evaluate_every": 500_000,
    "evaluation_episodes": 32,
    "total_steps": 10_000_000,
}
"""Masked PPO on a map, every idle unit an agent: many games, few epochs, one network."""

WINS_ALONE = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Weights under which a return is 1 for a game won, -1 for one lost, and nothing else counts."""

_make = LazyCallable(f"{FOLDER}.single_env:MicrortsEnv")
_make_vec = LazyCallable(f"{FOLDER}.vector_env:MicrortsVectorEnv")


def microrts_entry(map_name: str) -> EnvEntry:
    """The entry of one map.

    Raises:
        UnknownEnvError: The engine is installed and there is no such map. Where it is not
            installed, making the environment says how to get it.
    """
    if not map_name.endswith(".xml"):
        raise UnknownEnvError(
            f"environment 'microrts:{map_name}': expected the file of a map, as in {EXAMPLE}"
        )
    if is_installed():
        find_map(map_name)
    return EnvEntry(
        id=f"microrts:{map_name}",
        summary=f"microRTS on the map {map_name}: every idle unit is an agent",
        make=partial(_make_single, map_name),
        make_vec=partial(_make_many, map_name),
        presets={"ppo": MICRORTS_PPO},
        # The best checkpoint is the one that wins most: shaped rewards also pay for playing on.
        validation_kwargs={"reward_weights": WINS_ALONE},
        settings=LazyCallable(f"{FOLDER}.settings:MicrortsSettings"),
    )


def _make_single(map_name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    env: gymnasium.Env[Any, Any] = _make(map_name, **kwargs)
    return env


def _make_many(map_name: str, num_envs: int, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    venv: VectorEnv[Any, Any, Any] = _make_vec(map_name, num_envs, **kwargs)
    return venv

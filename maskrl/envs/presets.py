"""Environments of others for which good settings are known, registered under their ids.

Any Gymnasium id works without being named here; an entry adds the settings with which
an algorithm learns it well, and a better line for lists.
"""

from __future__ import annotations

from functools import partial

from maskrl.envs import construct
from maskrl.envs.registry import EnvEntry, pettingzoo_entry, register

TAXI_PPO = {
    "total_steps": 500_000,
    "num_envs": 32,
    "rollout_steps": 64,
    "minibatch_size": 512,
    "epochs": 6,
    "gamma": 0.95,  # shrinks early values from -85 to -20; the optimal policy stays the same
    "learning_rate": 1e-3,
    "normalize_rewards": True,
    "entropy_coef": 0.5,  # 0.02 settles too early, at 7.2 of 7.93
    "entropy_coef_final": 0.0,
    "threads": 1,  # a small network: with two threads it waits for the second
}


KNIGHTS_PPO = {
    "total_steps": 300_000,
    "num_envs": 8,
    "rollout_steps": 128,
    "minibatch_size": 256,
    "epochs": 4,
    "learning_rate": 1e-3,
    "death": "terminal",  # knights and archers are rewarded for what they hit themselves
    "network": {"hidden": (128, 128), "activation": "relu"},
    "evaluation_episodes": 16,  # they are long, and the environment is slower than the network
    "evaluate_every": 100_000,
    "threads": 1,
}
"""PPO on knights and archers: a network that all share, told who is which."""


def register_foreign() -> None:
    """Register all, once."""
    register(
        EnvEntry(
            id="gymnasium:Taxi-v4",
            summary="Gymnasium's taxi; its mask says which of six actions change anything",
            make=partial(construct.make_gymnasium, "Taxi-v4"),
            make_vec=partial(construct.make_gymnasium_vec, "Taxi-v4"),
            presets={"ppo": TAXI_PPO},
            action_names=("south", "north", "east", "west", "pick up", "drop off"),
        )
    )
    register(
        pettingzoo_entry(
            "knights_archers_zombies_v11",
            "PettingZoo's knights and archers, who die when a zombie touches them",
            check=False,  # asked for or not, the list is made without PettingZoo
            presets={"ppo": KNIGHTS_PPO},
            action_names=("forward", "backward", "turn left", "turn right", "attack", "wait"),
        )
    )

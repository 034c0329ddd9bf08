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


TAXI_DQN = {
    "total_steps": 160_000,
    "num_envs": 32,
    "train_every": 32,
    "gradient_steps": 1,
    "batch_size": 512,  # little dearer than 64: a network of this size waits for its calls
    "replay_size": 160_000,
    "gamma": 0.95,
    "n_step": 3,
    "learning_rate": 2e-3,
    "double": False,
    "dueling": False,
    "exploration_fraction": 0.5,
    "target_every": 1,
    "target_rate": 0.02,
    "log_every": 4_000,
    "evaluate_every": 40_000,
    "network": {"hidden": (128,), "activation": "relu"},
    "threads": 1,
}
"""DQN on the taxi: nothing of it is random, so that plain targets of three steps do."""


TAXI_SAC = {
    "total_steps": 200_000,
    "num_envs": 32,
    "train_every": 32,
    "gradient_steps": 1,
    "batch_size": 512,
    "replay_size": 160_000,
    "learning_starts": 8_000,  # a ride that arrives is rare at first, and has to be in the memory
    "gamma": 0.95,
    "learning_rate": 2e-3,
    "dueling": False,
    "target_rate": 0.02,
    "entropy_share": 0.95,  # 0.75 wanders about without ever arriving
    "entropy_fraction": 0.55,
    "temperature": 0.5,
    "temperature_rate": 5e-3,
    "log_every": 4_000,
    "evaluate_every": 40_000,
    "network": {"hidden": (128,), "activation": "relu"},
    "threads": 1,
}
"""Discrete SAC on the taxi: nearly any allowed move at first, and hardly a choice in the end."""


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


CONNECT_FOUR_PPO = {
    "total_steps": 10_000_000,
    "num_envs": 256,
    "rollout_steps": 64,
    "minibatch_size": 2048,
    "epochs": 4,
    "gamma": 1.0,  # a game has at most 21 moves of its own
    "gae_lambda": 0.9,
    "learning_rate": 1e-3,
    "entropy_coef": 0.05,
    "network": {
        "shared": True,
        "channels": (32,),
        "kernel": 4,  # every line of four lies in one window of 4 x 4
        "hidden": (256, 128),
        "activation": "relu",
    },
    "evaluation_episodes": 200,
    "evaluate_every": 1_000_000,
    "checkpoint_every": 1_000_000,
}
"""PPO against itself on connect four: many games, short advantages."""


TIC_TAC_TOE_PPO = {
    "total_steps": 2_000_000,
    "num_envs": 128,
    "rollout_steps": 32,
    "minibatch_size": 1024,
    "epochs": 4,
    "gamma": 1.0,
    "gae_lambda": 0.9,
    "learning_rate": 1e-3,
    "entropy_coef": 0.02,
    "network": {"shared": True, "channels": (), "hidden": (128, 128), "activation": "relu"},
    "evaluation_episodes": 200,
    "evaluate_every": 200_000,
}
"""PPO against itself on tic-tac-toe."""


def register_foreign() -> None:
    """Register all, once."""
    register(
        EnvEntry(
            id="gymnasium:Taxi-v4",
            summary="Gymnasium's taxi; its mask says which of six actions change anything",
            make=partial(construct.make_gymnasium, "Taxi-v4"),
            make_vec=partial(construct.make_gymnasium_vec, "Taxi-v4"),
            presets={"ppo": TAXI_PPO, "dqn": TAXI_DQN, "sac": TAXI_SAC},
            action_names=("south", "north", "east", "west", "pick up", "drop off"),
            all_starts=construct.LazyCallable("maskrl.envs.all_starts:play_taxi_starts"),
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
    register(
        pettingzoo_entry(
            "connect_four_v3",
            "PettingZoo's connect four, learned by playing against oneself",
            check=False,
            presets={"ppo": CONNECT_FOUR_PPO},
        )
    )
    register(
        pettingzoo_entry(
            "tictactoe_v3",
            "PettingZoo's tic-tac-toe, learned by playing against oneself",
            check=False,
            presets={"ppo": TIC_TAC_TOE_PPO},
        )
    )

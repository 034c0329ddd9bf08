"""Our own worlds, declared: ids, classes by name, and what they are trained and judged on.

`register_games` tells both registries, maskrl's and Gymnasium's (namespace `maskrl/`),
and imports no game. Settings that make an algorithm learn a world well are its presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium

from maskrl.caches import drop_stale_caches
from maskrl.envs.construct import LazyCallable
from maskrl.envs.games.mining.presets import mining_presets
from maskrl.envs.registry import EnvEntry, register

# Nothing compiled is loaded before a game is imported, and games are imported later.
drop_stale_caches(Path(__file__).resolve().parent)

PANDA_HIDDEN = {
    "preset": "random",
    "min_scorpions": 0,
    "max_scorpions": 0,
    "min_dragons": 0,
    "max_dragons": 0,
    "min_bananas": 0,
    "max_bananas": 0,
    "min_trees": 8,
    "max_trees": 12,
    "panda_view_radius": 1,
    "step_limit": 50,
    "tells_time": False,
}
"""A search among trees: nobody to fear, and nothing told but what is near."""


PANDA_PRESETS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    (
        "panda",
        "Panda-v0",
        {"preset": "random"},
        "a panda, a watermelon and two enemies; a new grid each time",
    ),
    ("panda-open", "PandaOpen-v0", {"preset": "open"}, "the panda on one fixed open grid"),
    (
        "panda-trees",
        "PandaTrees-v0",
        {"preset": "trees"},
        "the panda where three trees hide the scorpion",
    ),
    (
        "panda-hidden",
        "PandaHidden-v0",
        PANDA_HIDDEN,
        "a search among trees, where remembering what was seen pays",
    ),
)


PANDA_PPO: dict[str, Any] = {
    "num_envs": 256,
    "rollout_steps": 32,
    "minibatch_size": 1024,
    "epochs": 3,
    "learning_rate": 1e-3,
    "entropy_coef": 0.01,
    "network": {"shared": True, "hidden": (128,), "activation": "relu"},
    "evaluate_every": 250_000,
    "total_steps": 1_500_000,
}
"""Masked PPO on the panda: many environments, few epochs, one network for policy and value."""


PANDA_DQN: dict[str, Any] = {
    "num_envs": 64,
    "train_every": 128,
    "gradient_steps": 2,
    "batch_size": 256,
    "replay_size": 200_000,
    "learning_starts": 4_000,
    "n_step": 3,
    "learning_rate": 1e-3,
    "epsilon_final": 0.03,
    "exploration_fraction": 0.2,
    "target_every": 1,
    "target_rate": 0.01,
    "network": {"hidden": (128,), "activation": "relu"},
    "log_every": 5_000,
    "evaluate_every": 100_000,
    "total_steps": 400_000,
}
"""Masked DQN on the panda: each transition is learned from four times, and soon greedily."""


PANDA_SAC: dict[str, Any] = {
    "num_envs": 64,
    "train_every": 128,
    "gradient_steps": 2,
    "batch_size": 256,
    "replay_size": 200_000,
    "learning_starts": 4_000,
    "learning_rate": 1e-3,
    "target_rate": 0.02,
    "entropy_share": 0.7,
    "entropy_fraction": 0.7,
    "temperature": 0.05,
    "temperature_rate": 5e-3,
    "network": {"shared": True, "hidden": (128,), "activation": "relu"},
    "log_every": 6_400,
    "evaluate_every": 100_000,
    "total_steps": 400_000,
}
"""Discrete SAC on the panda: one network for policy and critics, which halves a gradient step."""


FIXED_SCENE = {"total_steps": 500_000, "evaluate_every": 100_000}
"""What differs where every episode begins alike."""


SEARCH = {
    "gamma": 0.98,
    "network": {
        "shared": True,
        "hidden": (128,),
        "activation": "relu",
        "entity_depth": 1,  # the present view says little: most is in the memory
        "memory": "gru",
    },
    "evaluate_every": 200_000,
    "total_steps": 1_500_000,
}
"""What differs where the panda must remember: a recurrent network."""


PANDA_PPO_CHANGES: dict[str, dict[str, Any]] = {
    "panda-open": FIXED_SCENE,
    "panda-trees": FIXED_SCENE,
    "panda-hidden": SEARCH,
}


PANDA_REPLAY_CHANGES: dict[str, dict[str, Any]] = {
    "panda-open": {"total_steps": 100_000, "evaluate_every": 25_000},
    "panda-trees": {"total_steps": 100_000, "evaluate_every": 25_000},
}


PANDAS_IDS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    (
        "pandas",
        "Pandas-v0",
        {"form": "scene", "reward": "individual"},
        "eight pandas on one grid, each with its own sight and its own moves",
    ),
    (
        "pandas-grid",
        "PandasGrid-v0",
        {"form": "grid", "sight": "full", "reward": "individual"},
        "the same as planes of the grid, for a policy that sees all of it",
    ),
)

PANDAS_PPO: dict[str, Any] = {
    "num_envs": 64,
    "rollout_steps": 32,
    "minibatch_size": 256,
    "epochs": 3,
    "gamma": 0.95,
    "learning_rate": 1e-3,
    "entropy_coef": 0.01,
    "entropy_coef_final": 0.0,
    "death": "terminal",  # each panda learns from what it got itself
    "evaluate_every": 100_000,
    "total_steps": 500_000,
}
"""Masked PPO on a team: a value of each panda, and a ratio of each."""


PANDAS_NETWORKS: dict[str, dict[str, Any]] = {
    "pandas": {
        "shared": True,
        "hidden": (128,),
        "activation": "relu",
        "entity_depth": 1,  # who acts looks at all it sees, once
        "entity_offsets": 5,
    },
    "pandas-grid": {"shared": True, "hidden": (128,), "activation": "relu"},
}
"""One query of attention for each panda; an encoder-decoder over the grid."""


PACKING_PPO = {
    "num_envs": 256,
    "rollout_steps": 16,
    "minibatch_size": 1024,
    "epochs": 4,
    "gamma": 1.0,  # an episode is at most a dozen steps, and each point counts alike
    "learning_rate": 1e-3,
    "entropy_coef": 0.01,
    "entropy_coef_final": 0.0,
    "evaluate_every": 100_000,
    "total_steps": 600_000,
}
"""Masked PPO on packing: many environments, no discount, entropy that fades out."""


OUTPOST_PPO = {
    "num_envs": 256,
    "rollout_steps": 32,
    "minibatch_size": 1024,
    "epochs": 3,
    "gamma": 1.0,  # an episode has a fixed, short length
    "learning_rate": 1e-3,
    "normalize_rewards": True,
    "entropy_coef": 0.2,  # 0.1 may stay for long at building at once, at 0.75 of the optimum
    "entropy_coef_final": 0.0,
    "network": {"shared": True, "hidden": (128,), "activation": "relu"},
    "evaluate_every": 250_000,
    "total_steps": 3_000_000,
}
"""Masked PPO on the outpost: much entropy at first, because saving for a hall pays late."""


MINING_IDS: tuple[tuple[str, str], ...] = (
    ("4x4", "Mining4x4-v0"),
    ("10x10", "Mining10x10-v0"),
    ("16x16", "Mining16x16-v0"),
    ("24x24", "Mining24x24-v0"),
)


def register_games() -> None:
    """Register all games, once."""
    for env_id, gymnasium_id, settings, summary in PANDA_PRESETS:
        presets = {
            "ppo": PANDA_PPO | PANDA_PPO_CHANGES.get(env_id, {}),
            "dqn": PANDA_DQN | PANDA_REPLAY_CHANGES.get(env_id, {}),
            "sac": PANDA_SAC | PANDA_REPLAY_CHANGES.get(env_id, {}),
        }
        _register("Panda", env_id, gymnasium_id, summary, presets, default_kwargs=settings)
    summary = "a rucksack to fill from a varying set of items, some of which spoil"
    _register("Packing", "packing", "Packing-v0", summary, {"ppo": PACKING_PPO})
    summary = "command one unit each step: a unit, and then what this unit is to do"
    _register("Outpost", "outpost", "Outpost-v0", summary, {"ppo": OUTPOST_PPO})
    for env_id, gymnasium_id, settings, summary in PANDAS_IDS:
        presets = {"ppo": {**PANDAS_PPO, "network": PANDAS_NETWORKS[env_id]}}
        _register("Pandas", env_id, gymnasium_id, summary, presets, default_kwargs=settings)
    for board, gymnasium_id in MINING_IDS:
        _register(
            "Mining",
            f"mining-{board}",
            gymnasium_id,
            f"workers that harvest on a board of {board}, one order each step",
            mining_presets(board),
            default_kwargs={"board": board},
            has_splits=False,  # a map has one layout
            test_episodes=50,  # all begin alike, and nothing is random but an agent's samples
        )


def _register(
    game: str,
    env_id: str,
    gymnasium_id: str,
    summary: str,
    presets: Mapping[str, Mapping[str, Any]],
    *,
    default_kwargs: Mapping[str, Any] | None = None,
    has_splits: bool = True,
    test_episodes: int | None = None,
) -> None:
    """Register one world of a game with both registries, by the names that all games share.

    Args:
        game: What the names of its classes begin with; in lower case its package.
        env_id: The id in maskrl's registry.
        gymnasium_id: The id in Gymnasium's, below `maskrl/`.
        summary: As of `EnvEntry`.
        presets: As of `EnvEntry`.
        default_kwargs: As of `EnvEntry`.
        has_splits: Whether layouts of evaluations are others than those of training.
        test_episodes: As of `EnvEntry`.
    """
    package = f"maskrl.envs.games.{game.lower()}"
    single = f"{package}.single_env:{game}Env"
    vector = f"{package}.vector_env:{game}VectorEnv"
    register(
        EnvEntry(
            id=env_id,
            summary=summary,
            make=LazyCallable(single),
            make_vec=LazyCallable(vector),
            default_kwargs=default_kwargs or {},
            presets=presets,
            evaluation_kwargs={"split": "test"} if has_splits else {},
            validation_kwargs={"split": "validation"} if has_splits else {},
            reference=LazyCallable(f"{package}.reference:reference"),
            settings=LazyCallable(f"{package}.settings:{game}Settings"),
            test_episodes=test_episodes,
        )
    )
    gymnasium.register(
        id=f"maskrl/{gymnasium_id}",
        entry_point=single,
        vector_entry_point=vector,
        kwargs=dict(default_kwargs or {}),
        order_enforce=False,
        disable_env_checker=True,
    )

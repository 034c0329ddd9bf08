"""Our own worlds, declared: ids, classes by name, and what they are trained and judged on.

`register_games` tells both registries, maskrl's and Gymnasium's (namespace `maskrl/`),
and imports no game. Settings that make an algorithm learn a world well are its presets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium

from maskrl.caches import drop_stale_caches
from maskrl.envs.construct import LazyCallable
from maskrl.envs.registry import EnvEntry, register

# Nothing compiled is loaded before a game is imported, and games are imported later.
drop_stale_caches(Path(__file__).resolve().parent)

PANDA = "maskrl.envs.games.panda"
OUTPOST = "maskrl.envs.games.outpost"

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


PANDAS = "maskrl.envs.games.pandas"

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


PACKING = "maskrl.envs.games.packing"

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


def register_games() -> None:
    """Register all games, once."""
    for env_id, gymnasium_id, settings, summary in PANDA_PRESETS:
        register(
            EnvEntry(
                id=env_id,
                summary=summary,
                make=LazyCallable(f"{PANDA}.single_env:PandaEnv"),
                make_vec=LazyCallable(f"{PANDA}.vector_env:PandaVectorEnv"),
                default_kwargs=settings,
                presets={"ppo": PANDA_PPO | PANDA_PPO_CHANGES.get(env_id, {})},
                evaluation_kwargs={"split": "test"},
                validation_kwargs={"split": "validation"},
                reference=LazyCallable(f"{PANDA}.reference:reference"),
                settings=LazyCallable(f"{PANDA}.settings:PandaSettings"),
            )
        )
        gymnasium.register(
            id=f"maskrl/{gymnasium_id}",
            entry_point=f"{PANDA}.single_env:PandaEnv",
            vector_entry_point=f"{PANDA}.vector_env:PandaVectorEnv",
            kwargs=settings,
            order_enforce=False,
            disable_env_checker=True,
        )
    _register_packing()
    _register_outpost()
    _register_pandas()


def _register_pandas() -> None:
    for env_id, gymnasium_id, settings, summary in PANDAS_IDS:
        register(
            EnvEntry(
                id=env_id,
                summary=summary,
                make=LazyCallable(f"{PANDAS}.single_env:PandasEnv"),
                make_vec=LazyCallable(f"{PANDAS}.vector_env:PandasVectorEnv"),
                default_kwargs=settings,
                presets={"ppo": {**PANDAS_PPO, "network": PANDAS_NETWORKS[env_id]}},
                evaluation_kwargs={"split": "test"},
                validation_kwargs={"split": "validation"},
                reference=LazyCallable(f"{PANDAS}.reference:reference"),
                settings=LazyCallable(f"{PANDAS}.settings:PandasSettings"),
            )
        )
        gymnasium.register(
            id=f"maskrl/{gymnasium_id}",
            entry_point=f"{PANDAS}.single_env:PandasEnv",
            vector_entry_point=f"{PANDAS}.vector_env:PandasVectorEnv",
            kwargs=settings,
            order_enforce=False,
            disable_env_checker=True,
        )


def _register_packing() -> None:
    register(
        EnvEntry(
            id="packing",
            summary="a rucksack to fill from a varying set of items, some of which spoil",
            make=LazyCallable(f"{PACKING}.single_env:PackingEnv"),
            make_vec=LazyCallable(f"{PACKING}.vector_env:PackingVectorEnv"),
            presets={"ppo": PACKING_PPO},
            evaluation_kwargs={"split": "test"},
            validation_kwargs={"split": "validation"},
            reference=LazyCallable(f"{PACKING}.reference:reference"),
            settings=LazyCallable(f"{PACKING}.settings:PackingSettings"),
        )
    )
    gymnasium.register(
        id="maskrl/Packing-v0",
        entry_point=f"{PACKING}.single_env:PackingEnv",
        vector_entry_point=f"{PACKING}.vector_env:PackingVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
    )


def _register_outpost() -> None:
    register(
        EnvEntry(
            id="outpost",
            summary="command one unit each step: a unit, and then what this unit is to do",
            make=LazyCallable(f"{OUTPOST}.single_env:OutpostEnv"),
            make_vec=LazyCallable(f"{OUTPOST}.vector_env:OutpostVectorEnv"),
            presets={"ppo": OUTPOST_PPO},
            evaluation_kwargs={"split": "test"},
            validation_kwargs={"split": "validation"},
            reference=LazyCallable(f"{OUTPOST}.reference:reference"),
            settings=LazyCallable(f"{OUTPOST}.settings:OutpostSettings"),
        )
    )
    gymnasium.register(
        id="maskrl/Outpost-v0",
        entry_point=f"{OUTPOST}.single_env:OutpostEnv",
        vector_entry_point=f"{OUTPOST}.vector_env:OutpostVectorEnv",
        order_enforce=False,
        disable_env_checker=True,
    )

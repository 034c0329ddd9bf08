"""The registry's entries for libraries behind extras: "jumanji:", "smax:" and "rl4co:".

Found by the source of an id, not registered one by one. An id is checked before anything is
made, which imports its library; where that is missing, the message says what to type.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from maskrl.envs.adapters import jumanji, rl4co, smax
from maskrl.envs.construct import LazyCallable
from maskrl.envs.registry import EnvEntry

BATCHED_PPO: dict[str, Any] = {
    "num_envs": 32,  # one compiled call steps all
    "rollout_steps": 64,
    "minibatch_size": 512,
    "epochs": 4,
    "learning_rate": 1e-3,
    "evaluation_episodes": 32,  # some go on for thousands of steps
}
"""PPO on environments that step many copies in one call."""

JUMANJI: dict[str, Any] = {"empty": "idle"}
"""Every algorithm: some go on where nothing is allowed, as a snake does that is trapped."""

JUMANJI_PPO: dict[str, Any] = {**BATCHED_PPO, **JUMANJI}
"""PPO on Jumanji's environments."""

SMAX_PPO: dict[str, Any] = {
    **BATCHED_PPO,
    "death": "posthumous",  # the reward is the team's
    "gamma": 0.99,
    "network": {"hidden": (128, 128), "activation": "relu"},
    "entropy_coef": 0.01,
    "total_steps": 1_000_000,
}
"""PPO on a battle: one network for all allies, the reward is the team's."""

RL4CO_PPO: dict[str, Any] = {
    **BATCHED_PPO,
    "num_envs": 64,
    "rollout_steps": 40,
    "gamma": 1.0,  # a tour's last way is as long as its first
    "gae_lambda": 0.95,
    "network": {"hidden": (128, 128), "activation": "relu"},
    "total_steps": 1_000_000,
}
"""PPO on routes: undiscounted, every candidate scored by one network."""


def library_entry(source: str, name: str) -> EnvEntry:
    """The entry of an environment of one of `registry.LIBRARIES`.

    Args:
        source: Before the colon of the id.
        name: After it.

    Raises:
        LibraryMissingError: The library is not installed.
        UnknownEnvError: It has no such environment.
        NoMaskError, ConfigError: It has, and it cannot be used; the message says why.
    """
    if source == "jumanji":
        jumanji.check_name(name)
        return EnvEntry(
            f"{jumanji.PREFIX}{name}",
            f"Jumanji's {name}, many copies in one compiled call",
            partial(jumanji.make_jumanji, name),
            partial(jumanji.make_jumanji_vec, name),
            presets={"ppo": JUMANJI_PPO, "dqn": JUMANJI, "sac": JUMANJI},
            options=jumanji.OPTIONS,
        )
    if source == "smax":
        smax.check_name(name)
        return EnvEntry(
            f"{smax.PREFIX}{name}",
            f"JaxMARL's battle {name}: every ally is an agent, enemies play by rules of thumb",
            partial(smax.make_smax, name),
            partial(smax.make_smax_vec, name),
            presets={"ppo": SMAX_PPO},
            settings=LazyCallable("maskrl.envs.adapters.smax:SmaxSettings"),
        )
    rl4co.check_name(name)
    return EnvEntry(
        f"{rl4co.PREFIX}{name}",
        f"rl4co's problem {name}: a new instance every episode",
        partial(rl4co.make_rl4co, name),
        partial(rl4co.make_rl4co_vec, name),
        presets={"ppo": RL4CO_PPO},
        options=rl4co.OPTIONS,
    )

"""Whole training: maskrl's PPO and MaskablePPO, same environment, network and settings.

Each takes turns collecting one rollout and learning from it, with MaskablePPO's own settings
and with larger minibatches. Beside them the two parts that nobody who writes plain torch can
leave out: the bare loop without an environment, and the environment alone. Their sum is the
ceiling of such a trainer; rates add as harmonic means do. And maskrl's networks alone, to see
what the rest of its time is.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from gymnasium.vector import VectorEnv

from maskrl.bench.groups.bare_loop import BareLoop
from maskrl.bench.groups.maskable_ppo import load_maskable_ppo
from maskrl.bench.groups.network_alone import NetworkAlone
from maskrl.bench.groups.training_names import (
    BARE_LOOP,
    CEILING,
    ENV_ALONE,
    MASKABLE_PPO,
    NATIVE,
    NETWORK_ALONE,
    PYTHON,
)
from maskrl.bench.groups.training_world import native_world, python_world
from maskrl.bench.groups.worlds import Stepper
from maskrl.bench.results import OURS_NAME, CellResult, Timing
from maskrl.bench.tasks import Run, Task, measure
from maskrl.bench.timing import TimedWork
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

CONFIG = PPOConfig(
    num_envs=64,
    rollout_steps=128,
    minibatch_size=512,
    epochs=4,
    anneal_learning_rate=False,
    network=NetworkConfig(hidden=(64, 64), activation="tanh", shared=False),
)
# How MaskablePPO learns unless it is told otherwise: 2,048 steps, minibatches of 64, 10 epochs.
DEFAULTS = CONFIG.replace(rollout_steps=32, minibatch_size=64, epochs=10)
SETTINGS = (CONFIG, DEFAULTS)
QUICK_SETTINGS = (
    CONFIG.replace(num_envs=4, rollout_steps=8, minibatch_size=16, epochs=1),
    CONFIG.replace(num_envs=4, rollout_steps=8, minibatch_size=8, epochs=2),
)

WORLDS: dict[str, Callable[..., VectorEnv[Any, Any, Any]]] = {
    NATIVE: native_world,
    PYTHON: python_world,
}


def training(*, quick: bool, threads: int, repeats: int) -> tuple[list[CellResult], list[str]]:
    """Measure rollouts and the learning from them, on both kinds of environment.

    Args:
        quick: A few steps, to see that it works.
        threads: Of torch, for everybody.
        repeats: Rollouts of each.

    Returns:
        One cell per setting and kind of environment, and a note where MaskablePPO is missing.
    """
    notes, maskable = [], None
    try:
        maskable = load_maskable_ppo()
    except ImportError as error:
        notes.append(f"training: {MASKABLE_PPO} is missing, it cannot be imported: {error}")
    cells = []
    for settings in QUICK_SETTINGS if quick else SETTINGS:
        config = settings.replace(threads=threads)
        for name, make in WORLDS.items():
            works: dict[str, TimedWork] = {OURS_NAME: train_ours(make, config)}
            if maskable is not None:
                works[MASKABLE_PPO] = per_rollout(maskable(make, config))
            works[BARE_LOOP] = per_rollout(BareLoop(config))
            works[ENV_ALONE] = env_alone(make, config)
            works[NETWORK_ALONE] = per_rollout(NetworkAlone(config))
            task = Task(
                "training",
                case_of(name, config),
                "PPO",
                None,
                [Run(name, work) for name, work in works.items()],
                steps=config.batch_size,
            )
            # One rollout is one turn: it is long enough by itself.
            cells.append(with_ceiling(measure(task, repeats=repeats, seconds=1e-9)))
    return cells, notes


def case_of(world: str, config: PPOConfig) -> str:
    """The name of a cell: world, copies, and how it learns."""
    return (
        f"{world} environment, {config.num_envs} at once, {config.epochs} epochs, "
        f"minibatches of {config.minibatch_size}"
    )


def train_ours(make: Callable[..., VectorEnv[Any, Any, Any]], config: PPOConfig) -> TimedWork:
    """One rollout and the learning from it with `maskrl.PPO`."""
    return per_rollout(PPO(make(config.num_envs, seed=0), config).step)


def env_alone(make: Callable[..., VectorEnv[Any, Any, Any]], config: PPOConfig) -> TimedWork:
    """As many steps as a rollout has, with random valid actions drawn outside of the clock."""
    stepper = Stepper(make(config.num_envs, seed=1))
    return lambda calls: stepper(calls * config.rollout_steps)


def per_rollout(work: Callable[[], object]) -> TimedWork:
    """A timed loop that counts everything."""

    def loop(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return time.perf_counter() - start

    return loop


def with_ceiling(cell: CellResult) -> CellResult:
    """The cell with the time of bare loop and environment together."""
    parts = [cell.timing(BARE_LOOP), cell.timing(ENV_ALONE)]
    together = [part for part in parts if part is not None]
    if len(together) != len(parts):
        return cell
    ceiling = Timing(
        CEILING,
        sum(part.median for part in together),
        (
            sum(part.quartiles[0] for part in together),
            sum(part.quartiles[1] for part in together),
        ),
        together[0].repeats,
        1,
    )
    return dataclasses.replace(cell, timings=(*cell.timings, ceiling))

"""How fast the panda's world steps: 1024 at once, sight, observations and masks written.

One Numba function steps all of them on one core. The random valid actions are drawn
outside of the clock; everything that `step` hands out, resets included, is inside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from maskrl.bench.tasks import Run, Task
from maskrl.envs.registry import make_vec

BATCH = 1024
QUICK_BATCH = 16


def worlds(*, quick: bool) -> Iterator[Task]:
    """Steps of the panda's world."""
    batch = QUICK_BATCH if quick else BATCH
    stepper = Stepper(make_vec("panda", batch))
    yield Task(
        "worlds", f"panda, {batch} at once", "steps", None, [Run("maskrl", stepper)], steps=batch
    )


class Stepper:
    """Steps a vector environment with random valid actions; a timed loop.

    Args:
        env: Its action space is Discrete and its mask in the observation.
        seed: Of the environment and the actions.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], *, seed: int = 0) -> None:
        self.env = env
        self.random = np.random.default_rng(seed)
        obs, _ = self.env.reset(seed=seed)
        self.action_mask = np.asarray(obs["action_mask"]).copy()

    def __call__(self, calls: int) -> float:
        """Step so many times; the seconds spent in `step`."""
        seconds = 0.0
        for _ in range(calls):
            actions = random_valid(self.action_mask, self.random)
            start = time.perf_counter()
            obs: dict[str, Any] = self.env.step(actions)[0]
            seconds += time.perf_counter() - start
            self.action_mask = np.asarray(obs["action_mask"])
        return seconds


def random_valid(action_mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A uniform draw among the allowed actions of each row `[B]` of a mask `[B, A]`."""
    order = np.where(action_mask, random.random(action_mask.shape), -1.0)
    chosen: np.ndarray = order.argmax(-1)
    return chosen

"""Where PPO's time goes: one iteration, rollout and learning, part by part.

    python examples/profile_ppo.py [--minibatch 64] [--iterations 20]

Trains two tanh 64x64 networks on 64 copies of a native world that costs next to nothing (32
numbers, 16 actions, half of them disallowed), so that nothing hides behind the environment.
Each part is timed without the parts inside of it. "Networks" are the forward and backward
passes: matrix products, biases and activations, with the calls that start them.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from maskrl.bench.groups.training import SETTINGS
from maskrl.bench.groups.training_world import native_world
from maskrl.networks.towers import Towers
from maskrl.policies.actor_critic import ActorCritic
from maskrl.trainers import ppo_update
from maskrl.trainers.ppo import PPO

ARITHMETIC = ("networks, acting", "networks, learning", "clipping and Adam")


class Clock:
    """Seconds by part; while a part inside runs, the one around it stands still."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted as a part."""

        def call(*arguments: Any, **settings: Any) -> Any:
            self._turn()
            self._open.append(part)
            try:
                return function(*arguments, **settings)
            finally:
                self._turn()
                self._open.pop()

        return call

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def watch(clock: Clock, trainer: PPO, watched: contextlib.ExitStack) -> Callable[[], object]:
    """One iteration of a trainer as a function, every part of it on the clock while watched."""

    def time_methods(owner: Any, **parts: str) -> None:
        for name, part in parts.items():
            timed = clock.timed(part, getattr(owner, name))
            watched.enter_context(mock.patch.object(owner, name, timed))

    time_methods(trainer.env, step="environment")
    time_methods(trainer.policy, logits="networks, acting", value="networks, acting")
    # Of the class: a policy whose own `masked` is another would not be trained by hand.
    time_methods(ActorCritic, masked="distributions: construct, draw, score")
    time_methods(
        trainer.collector,
        _sample="distributions: construct, draw, score",
        collect="rollout: writing, counting, checks",
    )
    time_methods(trainer.parts, judge="advantages and returns")
    time_methods(Towers, forward="networks, learning", backward="networks, learning")
    time_methods(ppo_update, ppo_loss="losses and their gradients")
    time_methods(ppo_update.MinibatchReader, __call__="minibatches: gathering")
    time_methods(trainer.update.optimizer, clipped_step="clipping and Adam")
    time_methods(trainer.update, run="update: everything else")
    return clock.timed("metrics", trainer.step)


def main() -> None:
    """Train, and print the table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        profile()
    finally:
        torch.set_num_threads(threads)


def profile() -> None:
    """The same, on as many threads as torch has."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    settings = {config.minibatch_size: config for config in SETTINGS}
    parser.add_argument("--minibatch", type=int, choices=settings, default=512, help="rows")
    parser.add_argument("--iterations", type=int, default=20, help="rollouts that are averaged")
    options = parser.parse_args()
    config = settings[options.minibatch].replace(threads=1)
    trainer = PPO(native_world(config.num_envs, seed=0), config)
    trainer.learn(2 * config.batch_size)  # compiles, or loads what was compiled before
    clock = Clock()
    with contextlib.ExitStack() as watched:
        iterate = watch(clock, trainer, watched)
        for _ in range(options.iterations):
            iterate()
    total = sum(clock.seconds.values())
    each = 1e3 * total / options.iterations
    print(
        f"{config.num_envs} environments, {config.rollout_steps} steps, {config.epochs} epochs, "
        f"minibatches of {config.minibatch_size}: {each:.1f} ms an iteration, "
        f"{1e3 * config.batch_size / each:,.0f} steps a second"
    )
    for part, seconds in sorted(clock.seconds.items(), key=lambda pair: -pair[1]):
        print(f"{part:40} {1e3 * seconds / options.iterations:8.2f} ms {seconds / total:8.1%}")
    arithmetic = sum(clock.seconds[part] for part in ARITHMETIC) / total
    print(f"networks, clipping and Adam together {arithmetic:.1%}, the rest {1 - arithmetic:.1%}")


if __name__ == "__main__":
    main()

"""How fast the panda's world steps: environment steps per second on one core.

    python examples/panda_speed.py [--num-envs 1024] [--rounds 7]

Measures processor time of `PandaVectorEnv.step` under random moves, observations
and masks written, once returning copies (the default) and once read-only views.
Prints the median and the best round; on a busy machine believe the best.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from maskrl.envs.games.panda.vector_env import PandaVectorEnv

STEPS_PER_ROUND = 100


def rounds_per_second(num_envs: int, rounds: int, *, copy: bool) -> list[float]:
    """Environment steps per second of processor time, one figure a round."""
    env = PandaVectorEnv(num_envs, seed=0, copy=copy)
    env.reset()
    generator = np.random.default_rng(0)
    # Moves and waiting: use_item would mostly be disallowed and cost less.
    actions = [generator.integers(0, 5, num_envs) for _ in range(STEPS_PER_ROUND)]
    env.step(actions[0])  # compiles, or loads what was compiled before
    figures = []
    for _ in range(rounds):
        start = time.process_time()
        for action in actions:
            env.step(action)
        figures.append(num_envs * len(actions) / max(time.process_time() - start, 1e-9))
    return figures


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--num-envs", type=int, default=1024, help="worlds that step together")
    parser.add_argument("--rounds", type=int, default=7, help=f"of {STEPS_PER_ROUND} steps each")
    options = parser.parse_args()
    for name, copy in (("copies", True), ("read-only views", False)):
        figures = rounds_per_second(options.num_envs, options.rounds, copy=copy)
        print(
            f"{name}: median {np.median(figures) / 1e6:.2f}, best {max(figures) / 1e6:.2f} "
            "million environment steps a second"
        )


if __name__ == "__main__":
    main()

"""How many environment steps a second the pandas' world makes, in both forms.

Random moves, observations and masks written, in one thread; time of this process alone, so
that a busy machine disturbs little. An agent step is one panda's share of a step.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from maskrl.envs.games.pandas.vector_env import PandasVectorEnv

STEPS_PER_ROUND = 20


def steps_per_second(form: str, pandas: int, num_envs: int, rounds: int) -> float:
    """The median over rounds of environment steps a second."""
    env = PandasVectorEnv(num_envs, form=form, pandas=pandas)
    env.reset()
    generator = np.random.default_rng(0)
    shape = env.action_space.shape
    actions = [generator.integers(0, 5, shape) for _ in range(STEPS_PER_ROUND)]
    env.step(actions[0])  # compiles, or loads what was compiled before
    figures = []
    for _ in range(rounds):
        start = time.process_time()
        for action in actions:
            env.step(action)
        figures.append(num_envs * len(actions) / max(time.process_time() - start, 1e-9))
    return float(np.median(figures))


def main() -> None:
    """Measure both forms and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--num-envs", type=int, default=1024, help="worlds that step together")
    parser.add_argument("--pandas", type=int, default=8, help="in each world")
    parser.add_argument("--rounds", type=int, default=5, help=f"of {STEPS_PER_ROUND} steps each")
    options = parser.parse_args()
    for form in ("scene", "grid"):
        figure = steps_per_second(form, options.pandas, options.num_envs, options.rounds)
        print(
            f"{form}: {figure / 1e3:.0f} thousand environment steps a second, "
            f"{figure * options.pandas / 1e6:.2f} million agent steps"
        )


if __name__ == "__main__":
    main()

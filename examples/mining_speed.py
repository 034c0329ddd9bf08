"""How many environment steps a second the mining worlds make, with each of their masks.

    python examples/mining_speed.py --boards 10x10

Random legal orders, which are drawn beforehand, so that only steps are timed: rules, planes,
masks and the copies that callers get. One thread, and time of this process alone, so that a
busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from maskrl.envs.games.mining.settings import MASKS, SIZES
from maskrl.envs.games.mining.vector_env import MiningVectorEnv
from maskrl.masks.heads import random_actions

EPISODE = 200


def legal_orders(board: str, num_envs: int) -> list[np.ndarray]:
    """The orders of one episode of random legal play, int64 `[num_envs, 8]` each."""
    env = MiningVectorEnv(num_envs, board=board, masks="conditional")
    observation, _ = env.reset()
    generator, orders = np.random.default_rng(0), []
    tree = env.action_tree
    assert tree is not None
    for _ in range(EPISODE):
        masks = {name: array for name, array in observation.items() if name != "observation"}
        orders.append(random_actions(masks, tree, generator, (num_envs,)))
        observation, *_ = env.step(orders[-1])
    return orders


def steps_per_second(board: str, masks: str, orders: list[np.ndarray], rounds: int) -> float:
    """The median over rounds of environment steps a second."""
    num_envs = len(orders[0])
    env = MiningVectorEnv(num_envs, board=board, masks=masks)
    env.reset()
    env.step(orders[0])  # compiles, or loads what was compiled before
    figures = []
    for _ in range(rounds):
        env.reset()
        start = time.process_time()
        for order in orders:
            env.step(order)
        figures.append(num_envs * EPISODE / max(time.process_time() - start, 1e-9))
    return float(np.median(figures))


def main() -> None:
    """Measure each board with each strength of masks and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--num-envs", type=int, default=64, help="worlds that step together")
    parser.add_argument("--boards", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5, help=f"of {EPISODE} steps each")
    options = parser.parse_args()
    for board in options.boards:
        orders = legal_orders(board, options.num_envs)
        for masks in MASKS:
            figure = steps_per_second(board, masks, orders, options.rounds)
            print(f"{board} {masks}: {figure / 1e3:.0f} thousand environment steps a second")


if __name__ == "__main__":
    main()

"""How fast microRTS steps through the adapter, and where the time goes.

    python examples/microrts_speed.py [--map MAP] [--opponent NAME] [--games 1 8 24 64]

Plays random valid orders and measures wall time per step of all games: the engine's cycle
with the opponents' answers, its masks, and Python's part (orders in, observations out).
Needs the engine: `make microrts`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from maskrl.envs.adapters.microrts.settings import MICRORTS_TREE
from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv

WARM_UP = 300
STARTS = np.cumsum([0, *MICRORTS_TREE.nvec])


def random_orders(
    obs: dict[str, np.ndarray], shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Uniform allowed choices of all who act, head by head: int64 `[B, 7, H, W]`."""
    actions = np.zeros(shape, np.int64)
    game, row, column = np.nonzero(obs["agent_mask"])
    masks = obs["action_mask"][game, :, row, column]
    for head in range(len(MICRORTS_TREE.nvec)):
        part = masks[:, STARTS[head] : STARTS[head + 1]]
        actions[game, head, row, column] = (rng.random(part.shape) * part).argmax(1)
    return actions


def measure(map_name: str, opponent: str, games: int, seconds: float) -> dict[str, float]:
    """Microseconds per step of all games, by part, and steps of one game per second."""
    venv = MicrortsVectorEnv(map_name, games, opponent=opponent)
    inner, rng = venv.games, np.random.default_rng(0)
    spent = {"cycle": 0.0, "masks": 0.0, "step": 0.0}
    client = inner._client

    class Timed:
        """The engine's client with a clock."""

        def gameStep(self, players: object) -> object:  # noqa: N802 - Java's name
            start = time.perf_counter()
            out = client.gameStep(players)
            spent["cycle"] += time.perf_counter() - start
            return out

        def getMasks(self, player: int) -> None:  # noqa: N802 - Java's name
            start = time.perf_counter()
            client.getMasks(player)
            spent["masks"] += time.perf_counter() - start

    inner._client = Timed()
    obs, _ = venv.reset()
    count = acting = 0
    for _ in range(WARM_UP):
        obs, *_ = venv.step(random_orders(obs, venv.action_space.shape, rng))
    spent.update(dict.fromkeys(spent, 0.0))
    begin = time.perf_counter()
    while not count or time.perf_counter() - begin < seconds:
        actions = random_orders(obs, venv.action_space.shape, rng)
        start = time.perf_counter()
        obs, *_ = venv.step(actions)
        spent["step"] += time.perf_counter() - start
        acting += int(obs["agent_mask"].sum())
        count += 1
    figures = {name: 1e6 * value / count for name, value in spent.items()}
    figures["per second"] = games * count / spent["step"]
    figures["acting"] = acting / count / games
    venv.close()
    return figures


def main() -> None:
    """Measure and print one line for each number of games."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--map", default="maps/8x8/basesWorkers8x8.xml")
    parser.add_argument("--opponent", default="random-biased")
    parser.add_argument("--games", type=int, nargs="+", default=[1, 8, 24, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each number of games")
    options = parser.parse_args()
    print(f"{options.map} against {options.opponent}; microseconds per step of all games")
    print("games  steps/s  engine's cycle  its masks  Python  agents acting per game")
    for games in options.games:
        told = measure(options.map, options.opponent, games, options.seconds)
        rest = told["step"] - told["cycle"] - told["masks"]
        print(
            f"{games:5}  {told['per second']:7,.0f}  {told['cycle']:14,.0f}  "
            f"{told['masks']:9,.0f}  {rest:6,.0f}  {told['acting']:.2f}"
        )


if __name__ == "__main__":
    main()

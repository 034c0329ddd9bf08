"""What targets without a mask do: DQN in a maze where a disallowed action has the largest value.

    python examples/naive_targets.py
    python examples/naive_targets.py --seeds 5 --steps 10000

Four moves, and a jump that pays 5 where it is allowed, in one cell alone. The network sees
it paid well whenever it is tried, and believes in it everywhere else. The agent acts under
the mask both times; only what its targets maximise over differs. Its values are held
against those of dynamic programming.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl import DQN, DQNConfig, NetworkConfig
from maskrl.envs.contract import mask_space

MAP = (
    "..#G",
    ".#..",
    "....",
    "J#..",
)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
JUMP = len(MOVES)
COST, GOAL, JACKPOT, GAMMA = -0.1, 1.0, 5.0, 0.8
CELLS = [(y, x) for y, row in enumerate(MAP) for x, place in enumerate(row) if place not in "#G"]
NUMBER = {cell: k for k, cell in enumerate(CELLS)}


@dataclass(frozen=True)
class Rules:
    """The whole maze as tables, each `[cells, actions]`: allowed, reward, next cell, end."""

    allowed: np.ndarray
    rewards: np.ndarray
    following: np.ndarray
    ends: np.ndarray

    @classmethod
    def read(cls) -> Rules:
        """The tables of `MAP`."""
        size = (len(CELLS), JUMP + 1)
        rules = cls(np.zeros(size, bool), np.zeros(size), np.zeros(size, int), np.zeros(size, bool))
        for k, (y, x) in enumerate(CELLS):
            for a, (dy, dx) in enumerate(MOVES):
                there = (y + dy, x + dx)
                inside = 0 <= there[0] < len(MAP) and 0 <= there[1] < len(MAP[0])
                if not inside or MAP[there[0]][there[1]] == "#":
                    continue
                rules.allowed[k, a] = True
                rules.ends[k, a] = there not in NUMBER
                rules.rewards[k, a] = GOAL if rules.ends[k, a] else COST
                rules.following[k, a] = NUMBER.get(there, k)
            if MAP[y][x] == "J":
                rules.allowed[k, JUMP] = rules.ends[k, JUMP] = True
                rules.rewards[k, JUMP] = JACKPOT
        return rules

    def values(self) -> np.ndarray:
        """True Q-values by value iteration, -inf where disallowed."""
        values = np.where(self.allowed, 0.0, -np.inf)
        for _ in range(200):
            future = np.where(self.ends, 0.0, values.max(-1)[self.following])
            values = np.where(self.allowed, self.rewards + GAMMA * future, -np.inf)
        return values


class Maze(gymnasium.Env[dict[str, np.ndarray], int]):
    """The maze; an episode begins in any cell and ends at the goal, by the jump, or after 20."""

    def __init__(self) -> None:
        self.rules = Rules.read()
        self.observation_space = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, (len(CELLS),), np.float32),
                "action_mask": mask_space(JUMP + 1),
            }
        )
        self.action_space = spaces.Discrete(JUMP + 1)

    def _see(self) -> dict[str, np.ndarray]:
        return {key: rows[self.cell] for key, rows in everywhere(self.rules).items()}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin in any cell."""
        super().reset(seed=seed)
        self.cell, self.time = int(self.np_random.integers(len(CELLS))), 0
        return self._see(), {}

    def step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Move or jump."""
        here = (self.cell, int(action))
        self.time += 1
        self.cell = int(self.rules.following[here])
        ended = bool(self.rules.ends[here])
        return self._see(), float(self.rules.rewards[here]), ended, self.time >= 20, {}


def everywhere(rules: Rules) -> dict[str, np.ndarray]:
    """The observations of all cells, as a batch."""
    eye = np.eye(len(CELLS), dtype=np.float32)
    return {"observation": eye, "action_mask": rules.allowed}


@dataclass(frozen=True)
class Judgement:
    """What was learned, beside the truth.

    Attributes:
        error: Largest error of a cell's value, as a share of the largest true value.
        optimal: Share of cells in which the best allowed action is truly one of the best.
        tempted: Share of cells in which a disallowed action has the largest value.
    """

    error: float
    optimal: float
    tempted: float


def judge(values: np.ndarray, rules: Rules) -> Judgement:
    """Compare learned Q-values `[cells, actions]` with the true ones."""
    truth, allowed = rules.values(), np.where(rules.allowed, values, -np.inf)
    chosen = truth[np.arange(len(CELLS)), allowed.argmax(-1)]
    return Judgement(
        error=float(np.abs(allowed.max(-1) - truth.max(-1)).max() / truth.max()),
        optimal=float((chosen >= truth.max(-1) - 1e-9).mean()),
        tempted=float((values.max(-1) > allowed.max(-1)).mean()),
    )


def train(masked_targets: bool, *, steps: int, seed: int) -> np.ndarray:
    """Q-values `[cells, actions]` after training."""
    config = DQNConfig(
        num_envs=8,
        replay_size=10_000,
        learning_starts=200,
        train_every=8,
        batch_size=64,
        n_step=1,
        gamma=GAMMA,
        learning_rate=3e-3,
        epsilon_final=0.5,
        huber=None,
        target_every=1,
        target_rate=0.05,
        masked_targets=masked_targets,
        threads=1,
        evaluate_every=0,
        checkpoint_every=0,
        network=NetworkConfig(hidden=(64,), activation="relu"),
    )
    envs = SyncVectorEnv([Maze] * config.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    trainer = DQN(envs, config, seed=seed)
    trainer.learn(steps)
    rules = Rules.read()
    obs = {key: torch.from_numpy(rows) for key, rows in everywhere(rules).items()}
    with torch.no_grad():
        found: np.ndarray = trainer.policy.values(obs).numpy()
    return found


def main() -> None:
    """Train both ways, seed by seed, and print what was learned."""
    parser = argparse.ArgumentParser(description="DQN in a maze, targets with and without mask.")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, default=5_000, help="environment steps of each run")
    options = parser.parse_args()
    rules = Rules.read()
    print("targets   seed   value error   optimal in   disallowed looks best in")
    for masked_targets, name in ((True, "masked"), (False, "naive")):
        for seed in range(options.seeds):
            found = judge(train(masked_targets, steps=options.steps, seed=seed), rules)
            print(
                f"{name:<9} {seed:>4} {found.error:>12.2%} {found.optimal:>12.0%} "
                f"{found.tempted:>15.0%} of cells"
            )


if __name__ == "__main__":
    main()

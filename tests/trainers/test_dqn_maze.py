"""A maze in which a disallowed action has the largest Q-value nearly everywhere.

Four moves, and a jump that pays 5 where it is allowed, in one cell of the maze only. The network
sees the jump paid well whenever it is tried, and believes in it everywhere else. A target that
maximises over all actions passes that on to every cell: its values are far too high, and moves
that differ in truth look alike. Exact values come from value iteration.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.contract import mask_space
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.dqn import DQN, DQNConfig

MAP = (
    "..#G",
    ".#..",
    "....",
    "J#..",
)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
JUMP = 4
COST, GOAL, JACKPOT, GAMMA = -0.1, 1.0, 5.0, 0.8
CELLS = [(y, x) for y, row in enumerate(MAP) for x, place in enumerate(row) if place not in "#G"]
NUMBER = {cell: k for k, cell in enumerate(CELLS)}


def transitions():
    """Per cell and action: allowed, reward, where it leads, and whether that is the end."""
    size = (len(CELLS), len(MOVES) + 1)
    allowed, ends = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    rewards, following = np.zeros(size), np.zeros(size, np.int64)
    for k, (y, x) in enumerate(CELLS):
        for a, (dy, dx) in enumerate(MOVES):
            there = (y + dy, x + dx)
            inside = 0 <= there[0] < len(MAP) and 0 <= there[1] < len(MAP[0])
            if not inside or MAP[there[0]][there[1]] == "#":
                continue
            allowed[k, a] = True
            ends[k, a] = there not in NUMBER
            rewards[k, a] = GOAL if ends[k, a] else COST
            following[k, a] = NUMBER.get(there, 0)
        if MAP[y][x] == "J":
            allowed[k, JUMP] = ends[k, JUMP] = True
            rewards[k, JUMP] = JACKPOT
    return allowed, rewards, following, ends


ALLOWED, REWARDS, FOLLOWING, ENDS = transitions()


def exact_values():
    """Q-values of allowed actions `[cells, 5]`, -inf elsewhere."""
    values = np.where(ALLOWED, 0.0, -np.inf)
    for _ in range(200):
        best = values.max(-1)
        values = np.where(ALLOWED, REWARDS + GAMMA * np.where(ENDS, 0.0, best[FOLLOWING]), -np.inf)
    return values


class Maze(VectorEnv):
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs, limit=20):
        self.num_envs, self.limit = num_envs, limit
        self.single_observation_space = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, (len(CELLS),), np.float32),
                "action_mask": mask_space(len(MOVES) + 1),
            }
        )
        self.single_action_space = spaces.Discrete(len(MOVES) + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.cell = np.zeros(num_envs, np.int64)
        self.time = np.zeros(num_envs, np.int64)

    def reset(self, *, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.cell = self.rng.integers(len(CELLS), size=self.num_envs)
        self.time[:] = 0
        return self.observe(), {}

    def step(self, actions):
        here = (self.cell, np.asarray(actions))
        assert ALLOWED[here].all()
        rewards, terminated = REWARDS[here], ENDS[here]
        self.cell = np.where(terminated, 0, FOLLOWING[here])
        self.time += 1
        truncated = (self.time >= self.limit) & ~terminated
        ended = terminated | truncated
        infos = {"final_obs": self.observe()} if ended.any() else {}
        self.cell = np.where(ended, self.rng.integers(len(CELLS), size=self.num_envs), self.cell)
        self.time[ended] = 0
        return self.observe(), rewards, terminated, truncated, infos

    def observe(self):
        return observations(self.cell)


def observations(cells):
    return {
        "observation": np.eye(len(CELLS), dtype=np.float32)[cells],
        "action_mask": ALLOWED[cells],
    }


def learned_values(steps=3_200, **settings):
    """Q-values `[cells, 5]` after training."""
    config = DQNConfig(
        num_envs=8,
        replay_size=10_000,
        learning_starts=200,
        train_every=8,
        gradient_steps=2,
        batch_size=64,
        n_step=1,
        gamma=GAMMA,
        learning_rate=3e-3,
        epsilon_final=0.5,
        huber=None,
        target_every=1,
        target_rate=0.05,
        low=-1.0,
        high=6.0,
        atoms=36,
        threads=1,
        evaluate_every=0,
        checkpoint_every=0,
        network=NetworkConfig(hidden=(64,), activation="relu"),
    ).replace(**settings)
    trainer = DQN(Maze(8), config, seed=0)
    trainer.learn(steps)
    assert trainer.collector.illegal_actions == 0
    obs = {key: torch.from_numpy(x) for key, x in observations(np.arange(len(CELLS))).items()}
    with torch.no_grad():
        return trainer.policy.values(obs).numpy()


def largest_error(values):
    """Of the values of the best allowed actions, relative to the largest value there is."""
    exact, allowed = exact_values(), np.where(ALLOWED, values, -np.inf)
    return np.abs(allowed.max(-1) - exact.max(-1)).max() / exact.max()


def is_optimal(values):
    """Whether the best allowed action is one of the best in every cell."""
    exact = exact_values()
    chosen = np.where(ALLOWED, values, -np.inf).argmax(-1)
    there = exact[np.arange(len(CELLS)), chosen]
    return bool((there >= exact.max(-1) - 1e-9).all())


def test_exact_values_by_hand():
    # Next to the goal and far from the jump: the goal. At the jump: the jump.
    exact = exact_values()
    assert exact[NUMBER[(1, 3)], 0] == GOAL
    assert exact[NUMBER[(3, 0)], JUMP] == JACKPOT
    # One move away from the jump: -0.1 + 0.8 * 5.
    assert exact[NUMBER[(2, 0)], 2] == pytest.approx(3.9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param(
            {"double": False, "dueling": False, "priority_exponent": 0.6}, marks=pytest.mark.slow
        ),
        pytest.param({"returns": "quantile", "atoms": 11, "huber": 0.1}, marks=pytest.mark.slow),
        pytest.param({"returns": "categorical"}, marks=pytest.mark.slow),
    ],
    ids=["default", "prioritised", "quantile", "categorical"],
)
def test_the_maze_is_solved_and_its_values_are_exact(settings):
    """A random agent's return is below 1; the values' error here is under 1 % of the largest."""
    values = learned_values(**settings)
    # What makes the maze a trap: in most cells where it is disallowed, the jump looks best.
    assert (values.argmax(-1) == JUMP).mean() > 0.3 > ALLOWED[:, JUMP].mean()
    assert is_optimal(values)
    assert largest_error(values) < 0.01


def test_targets_without_the_mask_fail_in_this_maze():
    values = learned_values(masked_targets=False, double=False)
    assert largest_error(values) > 0.3
    assert not is_optimal(values)

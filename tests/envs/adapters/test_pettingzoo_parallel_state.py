"""Saving a team of PettingZoo's in the middle of an episode, where its environment can."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo import ParallelEnv

from maskrl.envs import make_vec
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.contract import can_save_state
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError


class Dice(ParallelEnv):
    """Two agents throw a die each step; one that throws a six is out until the episode ends."""

    metadata = {"name": "dice_v0"}
    possible_agents = ["a_0", "a_1"]

    def observation_space(self, agent):
        return spaces.Dict(
            {"die": spaces.Discrete(6), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
        )

    def action_space(self, agent):
        return spaces.Discrete(3)

    def seen(self):
        return {
            a: {"die": self.dice[a], "action_mask": [1, self.dice[a] % 2, 0]} for a in self.agents
        }

    def throw(self):
        self.dice = {a: int(self.rng.integers(6)) for a in self.possible_agents}

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.agents = self.possible_agents[:]
        self.throw()
        return self.seen(), {a: {} for a in self.agents}

    def step(self, actions):
        self.throw()
        out = {a: self.dice[a] == 5 for a in self.agents}
        told = self.seen()
        rewards = {a: float(self.dice[a]) for a in self.agents}
        self.agents = [a for a in self.agents if not out[a]]
        return told, rewards, out, dict.fromkeys(out, False), {a: {} for a in out}


class SavedDice(Dice):
    def get_state(self):
        return {"rng": self.rng, "agents": self.agents, "dice": self.dice}

    def set_state(self, state):
        self.rng, self.agents, self.dice = state["rng"], state["agents"], state["dice"]


def dice(kind, seed):
    venv = GymnasiumVectorEnv([lambda: ParallelTeam(kind())] * 3, seed=seed)
    venv.reset()
    return venv


def play(venv, actions):
    return [venv.step(row)[:4] for row in actions]


def test_a_saved_team_goes_on_as_if_nothing_had_been():
    """Several episodes further: what dies, what is thrown, and the seeds of later resets."""
    actions = np.random.default_rng(0).integers(0, 3, (40, 3, 2))
    first = dice(SavedDice, seed=1)
    play(first, actions[:7])
    assert can_save_state(first)
    state, count = first.get_state(), first.illegal_actions
    assert count > 0 and any(not env._alive.all() for env in first.envs)
    expected = play(first, actions[7:])
    other = dice(SavedDice, seed=2)
    other.set_state(state)
    assert other.illegal_actions == count
    for mine, theirs in zip(expected, play(other, actions[7:]), strict=True):
        assert all(data_equivalence(a, b) for a, b in zip(mine, theirs, strict=True))
    assert other.illegal_actions == first.illegal_actions > count
    assert any(step[2].any() for step in expected)


def test_one_that_cannot_says_what_it_lacks():
    venv = dice(Dice, seed=0)
    assert not can_save_state(venv)
    with pytest.raises(ConfigError, match="'dice_v0' cannot be saved: it has no get_state"):
        venv.get_state()
    knights = make_vec("pettingzoo:knights_archers_zombies_v11", 1)
    knights.reset(seed=0)
    assert "Give the ParallelEnv both" in knights.state_obstacle()

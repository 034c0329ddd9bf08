"""A game small enough to follow by hand, and opponents whose moves are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.entries import mask_space


class Countdown:
    """P players in turn take 1, 2 or 3 from a heap of `size`; who takes the last one wins.

    A move that takes more than there is loses 1 and ends the game. The winner gets 1 from each
    of the others. Everybody gets 0.25 for taking exactly 2, at once.
    """

    name = "countdown"
    is_competitive = True
    render_modes = ("ansi",)

    def __init__(self, count=1, players=2, size=7):
        self.players, self.size = players, size
        self.observation_space = spaces.Dict(
            {"left": spaces.Box(0, size, (2,), np.float32), "action_mask": mask_space(3)}
        )
        self.action_space = spaces.Discrete(3)
        self.action_names = ("one", "two", "three")
        self.heaps = np.zeros(count, np.int64)
        self.to_move = np.full(count, -1, np.int64)
        self.rewards = np.zeros((count, players))
        self.terminated = np.zeros((count, players), bool)
        self.truncated = np.zeros((count, players), bool)
        self.seeds = np.zeros(count, np.int64)
        self.calls = []

    def begin(self, games, seeds):
        self.heaps[games], self.to_move[games], self.rewards[games] = self.size, 0, 0
        self.terminated[games] = self.truncated[games] = False
        self.seeds[games] = seeds

    def play(self, games, actions):
        for game, action in zip(games.tolist(), actions.tolist(), strict=True):
            seat = self.to_move[game]
            taken = action + 1
            if taken > self.heaps[game]:
                self.rewards[game, seat] -= 1
                self.heaps[game] = 0
            else:
                self.heaps[game] -= taken
                self.rewards[game, seat] += 0.25 * (taken == 2)
                if self.heaps[game] == 0:
                    self.rewards[game] -= 1
                    self.rewards[game, seat] += self.players
            over = self.heaps[game] == 0
            self.terminated[game] = over
            self.to_move[game] = -1 if over else (seat + 1) % self.players

    def observe(self, games, seats):
        left = np.stack([self.heaps[games], seats], -1).astype(np.float32)
        return {"left": left, "action_mask": np.arange(1, 4) <= self.heaps[games][:, None]}

    def render(self, game, seat, mode):
        return f"{self.heaps[game]} left, seat {seat}"

    def get_state(self):
        names = ("heaps", "to_move", "rewards", "terminated", "truncated")
        return {name: getattr(self, name).copy() for name in names}

    def set_state(self, state: Mapping):
        for name, value in state.items():
            getattr(self, name)[...] = value

    def close(self):
        self.calls.append("close")


class Takes:
    """Always takes the same number, or what is left; remembers what it was asked."""

    def __init__(self, number=1):
        self.number = number
        self.asked = []
        self.steps = 0

    def act_all(self, obs, places, starts, rng):
        self.asked.append((places.tolist(), starts.tolist()))
        return np.minimum(self.number, obs["left"][:, 0].astype(int)) - 1

    def count_steps(self, steps):
        self.steps += steps

    def get_state(self):
        return {"number": self.number}

    def set_state(self, state):
        self.number = state["number"]


@pytest.fixture
def countdown():
    return Countdown


@pytest.fixture
def takes():
    return Takes

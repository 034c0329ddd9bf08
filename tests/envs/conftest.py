"""A small configurable environment that hands out its mask in every way seen in the wild."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces


class Corridor(gymnasium.Env):
    """Four actions; action k is allowed while `k <= position`; the episode ends at `length`.

    `give` turns the list of 0/1 flags into what the environment hands out, `where` says by
    which way ("info", "observation", "method", "nowhere").
    """

    metadata = {"render_modes": []}

    def __init__(self, *, give=None, where="info", observe="discrete", length=5, **options):
        self.give = give or (lambda flags: np.array(flags, dtype=np.int8))
        self.where = where
        self.observe = observe
        self.length = length
        self.terminal_mask = options.pop("terminal_mask", True)
        self.forget_at = options.pop("forget_at", None)
        self.action_space = options.pop("action_space", spaces.Discrete(4))
        self.shared = np.zeros(2, dtype=np.float32)
        self.received = []
        entry = {
            "discrete": spaces.Discrete(100),
            "box": spaces.Box(-1.0, 200.0, (2,), np.float32),
            "image": spaces.Box(0, 255, (3, 4, 1), np.uint8),
        }.get(observe)
        if observe == "dict":
            entry = spaces.Dict(
                {"position": spaces.Box(-1.0, 200.0, (2,), np.float32), "t": spaces.Discrete(100)}
            )
        if where == "observation":
            entry = spaces.Dict(
                {"action_mask": spaces.Box(0, 1, (4,), np.int8), "x": spaces.Discrete(100)}
            )
        self.observation_space = entry

    def flags(self):
        return [int(k <= self.position) for k in range(4)]

    def _out(self, over=False):
        self.shared[:] = self.position  # handed out and changed in place later
        observation = {
            "discrete": self.position,
            "box": self.shared,
            "image": np.full((3, 4, 1), self.position, np.uint8),
            "dict": {"position": self.shared, "t": self.position},
        }[self.observe]
        info = {}
        if self.where == "info" and (self.terminal_mask or not over):
            info["action_mask"] = self.give(self.flags())
        if self.forget_at == self.position:
            info.pop("action_mask", None)
        if self.where == "observation":
            observation = {"action_mask": self.give(self.flags()), "x": self.position}
        return observation, info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = 0
        return self._out()

    def step(self, action):
        self.received.append(action)
        self.position += 1
        over = self.position >= self.length
        observation, info = self._out(over)
        return observation, 1.0, over, False, info


class CorridorWithMethod(Corridor):
    def action_masks(self):
        return [bool(flag) for flag in self.flags()]


@pytest.fixture
def corridor():
    return Corridor


@pytest.fixture
def corridor_with_method():
    return CorridorWithMethod

"""A small world whose masks can be made wrong in every way, and what an audit makes of it.

A robot stands on a line of five cells between two walls and has a lamp: left, right, on,
off. A move into a wall, and a switch that is switched so already, do nothing: the right
mask disallows them. `Line(fault=...)` says something else.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

LEFT, RIGHT, ON, OFF = range(4)
CELLS = 5


class Line(gymnasium.Env):
    """The robot, right in everything but what `fault` names.

    `answer` says how it takes what does nothing: silently, or it "raises", "ends" the
    episode or asks for a "penalty".
    """

    action_space = spaces.Discrete(4)
    shared = np.zeros(4, np.int8)
    """What all instances hand out where the fault is that they share it."""

    def __init__(self, fault="", where="info", limit=12, goal=None, answer=""):
        self.fault, self.where, self.limit, self.goal = fault, where, limit, goal
        self.answer = answer
        here = spaces.Box(0, CELLS, (2,), np.float32)
        self.observation_space = here
        if where == "observation":
            entries = {"place": here, "action_mask": spaces.Box(0, 1, (4,), np.int8)}
            self.observation_space = spaces.Dict(entries)
        self.cell, self.lamp, self.steps, self.episodes = 0, 0, 0, 0
        self.buffer = np.zeros(4, np.int8)
        self.last = self.rules()

    def rules(self):
        """What does something in this state."""
        return np.array([self.cell > 0, self.cell < CELLS - 1, not self.lamp, self.lamp], np.int8)

    def told(self, over=""):
        """The mask that is handed out, or None."""
        keep, before = self.rules(), self.last
        self.last = keep
        first = self.steps == 0
        fault = self.fault
        if first:
            self.first = keep
        answers = {
            "inverted": 1 - keep,
            "stale": keep if first else before,
            "reset state": self.first,
            "across reset": before if first else keep,
            "short": keep[:3],
            "scores": keep * 0.7 + 0.1,
            "minus one": np.where(keep, 1, -1),
            "floats": keep.astype(np.float32),
            "types": keep.astype(np.float32 if self.steps % 2 else np.int8),
            "lengths": keep if self.steps % 3 else np.append(keep, 0),
            "allows idling": np.array([1, 1, *keep[2:]], np.int8),
            "too strict": np.where([1, 1, self.cell != 2, 1], keep, 0),
            "nothing": keep * 0 if self.steps == 3 else keep,
            "everything": keep * 0 + 1,
            "always": np.array([1, 1, 0, 1], np.int8),
            "no terminal": None if over == "terminated" else keep,
            "no truncation": None if over == "truncated" else keep,
            "no reset": None if first else keep,
            "only reset": keep if first else None,
            "sometimes": None if self.steps == 4 and not over else keep,
            "nowhere": None,
            "luck": keep & self.np_random.integers(0, 2, 4) if self.steps == 2 else keep,
            "episodes": keep & np.array([self.episodes % 2, 1, 1, 1]) | np.array([0, 0, 1, 1]),
            "ids": np.flatnonzero(keep).tolist(),
        }
        if fault == "in place":
            self.buffer[:] = keep
            return self.buffer
        if fault == "copies":
            Line.shared[:] = keep
            return Line.shared
        answer = answers.get(fault, keep)
        return answer if answer is None else np.array(answer) if fault != "ids" else answer

    def out(self, over=""):
        """Observation and info, the mask in one of them."""
        place = np.array([self.cell, self.lamp], np.float32)
        told = self.told(over)
        if self.where == "observation":
            return {"place": place, "action_mask": told}, {}
        return place, {} if told is None or self.where == "method" else {"action_mask": told}

    def switched(self, action):
        """The lamp after an action."""
        return {ON: 1, OFF: 0}.get(action, self.lamp)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell, self.lamp = int(self.np_random.integers(CELLS)), int(self.np_random.integers(2))
        self.steps = 0
        self.episodes += 1
        return self.out()

    def step(self, action):
        action = int(action)
        legal, reward = self.rules()[action], 0.0
        self.steps += 1
        over = "truncated" if self.steps >= self.limit else ""
        if not legal and self.answer == "raises":
            raise ValueError(f"there is no {action} here")
        if not legal and self.answer == "ends":
            over, reward = "terminated", -1.0
        if not legal and self.answer == "penalty":
            reward = -1.0
        if legal:
            self.cell += (action == RIGHT) - (action == LEFT)
            self.lamp = self.switched(action)
        if self.cell == self.goal:
            over, reward = "terminated", 1.0
        observation, info = self.out(over)
        return observation, reward, over == "terminated", over == "truncated", info


class WithMethod(Line):
    """Its mask is behind a method."""

    def __init__(self, fault="", **settings):
        super().__init__(fault, where="method", **settings)

    def action_masks(self):
        keep = self.rules().astype(bool)
        if self.fault == "asked":
            keep &= self.np_random.random(4) < 0.5
        return keep


@pytest.fixture
def line():
    """Makes the robot, right or with a fault."""
    return Line


@pytest.fixture
def with_method():
    """Makes the robot whose mask is behind a method."""
    return WithMethod


class Rolled(SyncVectorEnv):
    """Robots whose masks are stacked in another order than they are."""

    def __init__(self, count=3, mode=AutoresetMode.SAME_STEP):
        super().__init__([Line] * count, autoreset_mode=mode)

    def roll(self, infos):
        infos["action_mask"] = np.roll(infos["action_mask"], 1, axis=0)
        return infos

    def reset(self, **settings):
        observation, infos = super().reset(**settings)
        return observation, self.roll(infos)

    def step(self, actions):
        *told, infos = super().step(actions)
        return (*told, self.roll(infos))


@pytest.fixture
def rolled():
    """Makes the vector environment whose rows have each other's masks."""
    return Rolled


@pytest.fixture
def audit_line(line):
    """Audits the robot with a fault, on a small budget."""

    def audited(fault="", *, steps=72, trials=120, **settings):
        from maskrl import audit

        made = {
            key: settings.pop(key)
            for key in ("where", "limit", "goal", "answer")
            if key in settings
        }
        return audit.env(lambda: line(fault, **made), steps=steps, trials=trials, **settings)

    return audited

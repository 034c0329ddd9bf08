"""A PettingZoo environment whose every step is written down, and which libraries are there.

Tests marked `worlds("jumanji")` need that library. Where it is not installed they are skipped,
which the last lines of a run say with the command that runs them; with MASKRL_WORLDS=required,
as in `make worlds`, they fail.
"""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

NOT_RUN = pytest.StashKey[dict[str, int]]()


def pytest_runtest_setup(item):
    for marker in item.iter_markers("worlds"):
        for library in marker.args:
            if importlib.util.find_spec(library) is None:
                missing = f"{library} is not installed: `make worlds` runs the tests that need it"
                if os.environ.get("MASKRL_WORLDS") == "required":
                    pytest.fail(missing)
                counts = item.config.stash.setdefault(NOT_RUN, {})
                counts[library] = counts.get(library, 0) + 1
                pytest.skip(missing)


def pytest_terminal_summary(terminalreporter, config):
    for library, count in config.stash.get(NOT_RUN, {}).items():
        terminalreporter.write_line(
            f"not run: {count} tests with {library}, which is missing here; `make worlds` runs them"
        )


class Scripted(ParallelEnv):
    """Agents, endings, rewards and masks per step, from `frames`; frame 0 is the reset.

    A frame has "agents" (who is in `env.agents` after it), "died" and "cut" (who leaves in
    it, by termination or truncation), "rewards" and "masks" by agent. Agent k of
    `possible_agents` observes [frame, k]. `received` keeps the actions of every step.
    """

    metadata = {"name": "scripted_v0", "render_modes": ["ansi"]}
    render_mode = "ansi"

    def __init__(self, frames, *, agents=("a_0", "a_1", "a_2"), masks_in=None, **of):
        self.frames = frames
        self.possible_agents = list(agents)
        self.masks_in = masks_in
        self.spaces = of.pop("observation_spaces", {})
        self.acts = of.pop("action_spaces", {})
        self.action = of.pop("action", spaces.Discrete(3))
        self.see = of.pop("see", None)
        self.received = []
        self.seeds = []
        self.closed = False
        self.shared = np.zeros(2, np.float32)
        for name, value in of.items():
            setattr(self, name, value)

    def observation_space(self, agent):
        if agent in self.spaces:
            return self.spaces[agent]
        seen = spaces.Box(-1.0, 99.0, (2,), np.float64)
        if self.masks_in != "observation":
            return seen
        return spaces.Dict({"observation": seen, "action_mask": spaces.Box(0, 1, (3,), np.int8)})

    def action_space(self, agent):
        return self.acts.get(agent, self.action)

    def _out(self):
        frame = self.frames[self.t]
        masks = frame.get("masks", {})
        left = [*frame.get("died", ()), *frame.get("cut", ())]
        there = [*frame["agents"], *left, *frame.get("seen_too", ())]
        observations, infos = {}, {}
        for agent in there:
            known = agent in self.possible_agents
            k = self.possible_agents.index(agent) if known else -1
            seen = np.array([self.t, k], np.float64)
            if self.see is not None:
                seen = self.see(self.t, agent)
            infos[agent] = {}
            if self.masks_in == "observation":
                seen = {"observation": seen, "action_mask": masks.get(agent, [0, 0, 0])}
            elif agent in masks:
                infos[agent]["action_mask"] = masks[agent]
            if agent not in frame.get("unseen", ()):
                observations[agent] = seen
        self.agents = list(frame["agents"])
        return observations, infos

    def reset(self, seed=None, options=None):
        self.seeds.append(seed)
        self.t = 0
        return self._out()

    def step(self, actions):
        self.received.append(actions)
        self.t += 1
        frame = self.frames[self.t]
        if "raises" in frame:
            raise frame["raises"]
        left = {*frame.get("died", ()), *frame.get("cut", ())}
        told = [*frame["agents"], *left]
        observations, infos = self._out()
        return (
            observations,
            dict(frame.get("rewards", dict.fromkeys(told, 0.0))),
            {agent: agent in frame.get("died", ()) for agent in told},
            {agent: agent in frame.get("cut", ()) for agent in told},
            infos,
        )

    def render(self):
        return f"frame {self.t}"

    def close(self):
        self.closed = True


@pytest.fixture
def scripted():
    return Scripted

"""Agents that act at once: masks in observations or infos, and those who wait."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

pettingzoo = pytest.importorskip("pettingzoo")

from maskrl import audit  # noqa: E402
from maskrl.audit.subjects.parallel import ParallelSubject  # noqa: E402
from maskrl.errors import ConfigError  # noqa: E402


class Lines(pettingzoo.ParallelEnv):
    """Two walkers between walls; `swapped` gives each the other's mask."""

    metadata = {"name": "lines_v0"}

    def __init__(self, fault="", where="observation"):
        self.fault, self.where = fault, where
        self.possible_agents = ["a", "b"]
        self.agents = []

    def observation_space(self, agent):
        place = spaces.Box(0, 9, (1,), np.float32)
        if self.where == "infos":
            return place
        return spaces.Dict({"place": place, "action_mask": spaces.Box(0, 1, (3,), np.int8)})

    def action_space(self, agent):
        return spaces.Discrete(4 if self.fault == "unlike" and agent == "b" else 3)

    def told(self, agent):
        other = {"a": "b", "b": "a"}[agent]
        cell = self.cells[other if self.fault == "swapped" else agent]
        if self.fault == "waits" and agent == "b":
            return np.zeros(3, np.int8)
        return np.array([cell > 0, cell < 4, 1], np.int8)

    def seen(self):
        places = {a: np.array([self.cells[a]], np.float32) for a in self.agents}
        if self.where == "infos":
            return places, {a: {"action_mask": self.told(a)} for a in self.agents}
        masks = {a: {"place": places[a], "action_mask": self.told(a)} for a in self.agents}
        return masks, {a: {} for a in self.agents}

    def reset(self, seed=None, options=None):
        rng = np.random.default_rng(seed)
        self.agents = self.possible_agents[:]
        self.cells = {a: int(rng.integers(5)) for a in self.agents}
        self.steps = 0
        return self.seen()

    def step(self, actions):
        self.steps += 1
        for agent, action in actions.items():
            self.cells[agent] = min(4, max(0, self.cells[agent] + (-1, 1, 0)[int(action)]))
        over = self.steps >= 10
        observations, infos = self.seen()
        flags = dict.fromkeys(self.agents, over)
        rewards = dict.fromkeys(self.agents, 0.0)
        if over:
            self.agents = []
        return observations, rewards, dict.fromkeys(flags, False), flags, infos


@pytest.mark.parametrize("where", ["observation", "infos"])
def test_right_masks_pass_and_swapped_ones_are_found(where):
    report = audit.env(lambda: Lines(where=where), steps=50, trials=200, strict=True)
    assert report.passed and report.codes == ("waits",), report
    finding = audit.env(lambda: Lines("swapped", where), steps=50, trials=200).find("rows-swapped")
    assert finding is not None and "b has that of a" in finding.message


def test_an_agent_that_may_do_nothing_waits():
    subject = ParallelSubject(Lines("waits"), "lines")
    first, second = subject.reset(0).rows
    assert first.acting and not second.acting
    moment = subject.step([np.array([2]), None])
    assert [row.who for row in moment.rows] == ["a", "b"] and len(moment.results) == 2


def test_agents_with_different_actions_are_refused():
    with pytest.raises(ConfigError, match="'a' and 'b' have different actions"):
        ParallelSubject(Lines("unlike"), "lines")

"""`panda-hidden` keeps its promise: who remembers what it saw finds the watermelon in time.

Two scripted pandas play under the panda's own view. Both go to a watermelon that they
see. One keeps a map of what it has seen and walks to the nearest cell that it has not;
the other knows the present view alone and moves at random among what is allowed.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import Grid, world_grid
from maskrl.envs.games.panda.reference import CACHE_VARIABLE, reference
from maskrl.envs.games.panda.settings import (
    DEFAULT_FEATURES,
    DOWN,
    PANDA,
    TREE,
    WAIT,
    WATERMELON,
    PandaSettings,
)
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.envs.registry import find_entry
from maskrl.geometry import cell_bits

LAYOUTS = 120
HIDDEN = {"split": "test", **find_entry("panda-hidden").default_kwargs}
SETTINGS = PandaSettings(**HIDDEN)


class Map:
    """What one panda has seen so far in an episode."""

    def __init__(self) -> None:
        self.grid: Grid = world_grid(SETTINGS)
        self.trees = np.zeros(SETTINGS.cells, bool)
        self.seen = np.zeros(SETTINGS.cells, bool)
        self.goal = -1

    def look(self, visible: np.ndarray) -> int:
        """Take in the rows of `entities` that the panda sees; return where it stands."""
        x, y = (
            np.rint((visible[:, DEFAULT_FEATURES.index(name)] + 1) / 2 * (side - 1)).astype(int)
            for name, side in (("x", SETTINGS.width), ("y", SETTINGS.height))
        )
        kinds, cells = visible[:, :6].argmax(axis=1), y * SETTINGS.width + x
        self.trees[cells[kinds == TREE]] = True
        self.goal = int(cells[kinds == WATERMELON][0]) if (kinds == WATERMELON).any() else self.goal
        here = int(cells[0])
        ways = self.grid.offsets - self.grid.offsets[here] + self.grid.middle
        clear = (self.grid.between[here] & cell_bits(self.trees)).max(axis=-1) == 0
        self.seen |= clear & self.grid.in_view[PANDA, DOWN, ways]
        return here

    def step_to(self, here: int, goals: np.ndarray, generator: np.random.Generator) -> int:
        """First move of a shortest way to one of the goals, or waiting where there is none."""
        first: dict[int, int] = {here: WAIT}
        queue = deque([here])
        while queue:
            cell = queue.popleft()
            if goals[cell]:
                return first[cell]
            for move in generator.permutation(4):
                ahead = int(self.grid.ahead[cell, move])
                if ahead >= 0 and ahead not in first and not self.trees[ahead]:
                    first[ahead] = int(move) if cell == here else first[cell]
                    queue.append(ahead)
        return WAIT


def _mean_return(remembers: bool) -> float:
    """Mean return of a scripted panda over the first test layouts."""
    env = PandaVectorEnv(LAYOUTS, layout_seeds=LAYOUTS, **HIDDEN)
    observation, _ = env.reset()
    generator = np.random.default_rng(0)
    maps = [Map() for _ in range(LAYOUTS)]
    returns, running = np.zeros(LAYOUTS), np.ones(LAYOUTS, bool)
    while running.any():
        actions = np.full(LAYOUTS, WAIT)
        for i in np.flatnonzero(running):
            if not remembers:
                maps[i] = Map()
            here = maps[i].look(observation["entities"][i][observation["visibility"][i, 0]])
            goals = ~maps[i].seen & ~maps[i].trees
            if maps[i].goal >= 0:
                goals = np.arange(SETTINGS.cells) == maps[i].goal
            allowed = np.flatnonzero(observation["action_mask"][i, :4])
            if remembers or maps[i].goal >= 0:
                actions[i] = maps[i].step_to(here, goals, generator)
            elif allowed.size:
                actions[i] = generator.choice(allowed)
        observation, rewards, terminated, truncated, _ = env.step(actions)
        returns += rewards * running
        running &= ~(terminated | truncated)
    return float(returns.mean())


def test_remembering_pays_and_the_present_view_does_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    settings: dict[str, Any] = HIDDEN
    found = reference(settings, np.arange(LAYOUTS))
    chance, ceiling = found["random"].mean(), found["planner"].mean()
    scores = [
        (_mean_return(remembers) - chance) / (ceiling - chance) for remembers in (True, False)
    ]
    assert scores[0] > 0.9
    assert scores[1] < 0.5


def test_the_panda_begins_without_seeing_its_watermelon() -> None:
    env = PandaVectorEnv(LAYOUTS, layout_seeds=LAYOUTS, **HIDDEN)
    observation, _ = env.reset()
    assert not observation["visibility"][:, 0, 1].any()
    assert not observation["entities"][..., DEFAULT_FEATURES.index("time_left")].any()

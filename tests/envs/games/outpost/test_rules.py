"""The compiled rules against the same rules in plain Python, for every command there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskrl.envs.games.outpost.layouts import layout
from maskrl.envs.games.outpost.rules import can_command
from maskrl.envs.games.outpost.settings import (
    OUTPOST_TREE,
    S_ALIVE,
    S_ROCKS,
    S_STEP,
    S_WOLVES,
    OutpostSettings,
)
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv

EVERY_ACTION = np.array(list(itertools.product(*(range(n) for n in OUTPOST_TREE.nvec))))
STEPS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
PRICES = {"hut": {"wood": 1}, "tower": {"ore": 1}, "hall": {"ore": 1, "wood": 1}}
WORTH = {"hut": 1, "tower": 2, "hall": 8}
COLUMNS = ("miner", "forester", "load of miner", "load of forester", "ore", "wood", "tower")


class PlainOutpost:
    """The rules once more, as a player would read them; slow and with no masks."""

    def __init__(self, row: np.ndarray) -> None:
        def place(cell: int) -> tuple[int, int]:
            return int(cell) % 5, int(cell) // 5

        self.at = {"miner": place(row[0]), "forester": place(row[1])}
        self.loaded = {"miner": bool(row[2]), "forester": bool(row[3])}
        self.store = {"ore": int(row[4]), "wood": int(row[5])}
        self.tower = bool(row[6])
        self.sites = {"miner": place(row[9]), "forester": place(row[10])}
        self.rocks = {place(c) for c in range(25) if int(row[S_ROCKS]) & 2**c}
        self.wolves = {k: place(row[S_WOLVES + k]) for k in range(3) if int(row[S_ALIVE]) & 2**k}

    def order(self, action: np.ndarray) -> int | None:
        """Carry out a command and return its points; None if it is not allowed."""
        unit = ("miner", "forester", "archer", "builder", "wait")[action[0]]
        if unit == "wait":
            return 0
        if unit == "archer":
            return self.shoot(int(action[2]))
        if unit == "builder":
            return self.build(("hut", "tower", "hall")[action[3]])
        return self.walk(unit, ("up", "down", "left", "right")[action[1]])

    def walk(self, unit: str, direction: str) -> int | None:
        (x, y), (dx, dy) = self.at[unit], STEPS[direction]
        goal = (x + dx, y + dy)
        outside = not (0 <= goal[0] <= 4 and 0 <= goal[1] <= 4)
        if outside or goal in self.rocks or goal in self.wolves.values():
            return None
        self.at[unit] = goal
        if goal == self.sites[unit]:
            self.loaded[unit] = True
        if goal == (2, 2) and self.loaded[unit]:
            self.loaded[unit] = False
            self.store["ore" if unit == "miner" else "wood"] += 1
            return 2
        return 0

    def shoot(self, wolf: int) -> int | None:
        if wolf not in self.wolves:
            return None
        x, y = self.wolves[wolf]
        if abs(x - 2) + abs(y - 2) > 2 and not self.tower:
            return None
        del self.wolves[wolf]
        return 1

    def build(self, building: str) -> int | None:
        price = PRICES[building]
        if any(self.store[kind] < count for kind, count in price.items()):
            return None
        if building == "tower":
            if self.tower:
                return None
            self.tower = True
        for kind, count in price.items():
            self.store[kind] -= count
        return WORTH[building]

    def numbers(self) -> list[int]:
        """What a command can change, in the order of the state's columns."""
        cells = [y * 5 + x for x, y in self.at.values()]
        alive = sum(2**k for k in self.wolves)
        return [*cells, *self.loaded.values(), *self.store.values(), self.tower, alive]


def _random_state(seed: int) -> np.ndarray:
    """Some state, whether play would lead there or not."""
    generator = np.random.default_rng(seed)
    row = layout(OutpostSettings(max_rocks=6), seed)
    row[S_ALIVE] &= generator.integers(8)
    free = [c for c in range(25) if not (row[S_ROCKS] >> c & 1 or c in row[S_WOLVES:])]
    row[:2] = generator.choice(free, 2)
    row[2:4] = generator.integers(2, size=2)
    row[4:6] = generator.integers(3, size=2)
    row[6] = generator.integers(2)
    row[S_STEP] = generator.integers(10)
    return row


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_every_command_in_random_states_does_what_plain_rules_say(first: int) -> None:
    env = OutpostVectorEnv(len(EVERY_ACTION))
    env.reset(seed=0)
    saved, seen_refused, seen_done = env.get_state(), 0, 0
    for seed in range(first, first + 20):
        row = _random_state(seed)
        env.set_state(saved | {"state": np.tile(row, (len(EVERY_ACTION), 1))})
        masks = env.observation()
        _, rewards, _, _, _ = env.step(EVERY_ACTION)
        after = env.get_state()["state"]
        allowed = OUTPOST_TREE.allows(EVERY_ACTION, masks)
        for i, action in enumerate(EVERY_ACTION):
            plain = PlainOutpost(row)
            points = plain.order(action)
            assert allowed[i] == (points is not None), (row, action)
            assert rewards[i] == (points or 0)
            assert after[i, [*range(7), S_ALIVE]].tolist() == plain.numbers()
            assert after[i, S_STEP] == row[S_STEP] + 1
            np.testing.assert_array_equal(after[i, 9:], row[9:])
        assert env.illegal_actions == (~allowed).sum()
        seen_refused, seen_done = seen_refused + (~allowed).sum(), seen_done + allowed.sum()
    assert seen_refused > 500 and seen_done > 500


def test_a_unit_can_be_commanded_where_one_of_its_commands_is_allowed() -> None:
    for seed in range(60):
        row = _random_state(seed)
        possible = {
            int(action[0]) for action in EVERY_ACTION if PlainOutpost(row).order(action) is not None
        }
        assert possible == {unit for unit in range(5) if can_command(row, unit)}


def test_parts_that_do_not_count_change_nothing() -> None:
    relevant = OUTPOST_TREE.relevant(EVERY_ACTION)
    plain = np.where(relevant, EVERY_ACTION, 0)
    env, other = (OutpostVectorEnv(len(EVERY_ACTION), layout_seeds=[7]) for _ in range(2))
    env.reset(seed=0)
    other.reset(seed=0)
    first, *_ = env.step(EVERY_ACTION)
    second, *_ = other.step(plain)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert env.illegal_actions == other.illegal_actions > 0

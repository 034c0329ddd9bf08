"""A step of many pandas: against a slow one in plain Python, and case by case by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.pandas.rules import ALL_EATEN, DIED_OUT, OUT_OF_TIME
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.envs.games.random_stream import below, uniform

STAY, UP, DOWN, LEFT, RIGHT = range(5)
MOVES = {STAY: (0, 0), UP: (0, -1), DOWN: (0, 1), LEFT: (-1, 0), RIGHT: (1, 0)}


class SlowWorld:
    """One world by the rules as they are written down, with lists and loops."""

    def __init__(self, env: PandasVectorEnv, i: int) -> None:
        state, self.settings = env.get_state(), env.settings
        self.pandas = state["pandas"][i].tolist()
        self.rest = state["rest"][i].tolist()
        self.melons = state["melons"][i].tolist()
        self.scorpions = state["scorpions"][i].tolist()
        self.trees = {c for c in state["tree_cells"][i].tolist() if c >= 0}
        self.key, self.counter = state["keys"][i], int(state["counters"][i])
        self.steps = int(state["steps"][i])

    def away(self, a: int, b: int) -> int:
        w = self.settings.width
        return abs(a % w - b % w) + abs(a // w - b // w)

    def ahead(self, cell: int, action: int) -> int | None:
        x, y = cell % self.settings.width, cell // self.settings.width
        x, y = x + MOVES[action][0], y + MOVES[action][1]
        inside = 0 <= x < self.settings.width and 0 <= y < self.settings.height
        return y * self.settings.width + x if inside else None

    def allowed(self, n: int, action: int) -> bool:
        """Whether somebody who acts may do this."""
        if action == STAY:
            return True
        cell = self.ahead(self.pandas[n], action)
        others = {p for m, p in enumerate(self.pandas) if self.rest[m] >= 0 and m != n}
        return cell is not None and cell not in self.trees and cell not in others

    def draw_below(self, number: int, limit: int) -> int:
        return int(below(self.key, np.uint64(self.counter + number), limit))

    def step(self, actions: list[int]) -> tuple[list[float], int]:
        cells = self.settings.cells
        count, gains = len(self.pandas), [0.0] * len(self.pandas)
        self.steps += 1
        chewed = [n for n in range(count) if self.rest[n] > 0]
        wants: dict[int, list[int]] = {}
        for n in range(count):
            if self.rest[n] == 0 and actions[n] != STAY and self.allowed(n, actions[n]):
                goal = self.ahead(self.pandas[n], actions[n])
                assert goal is not None
                wants.setdefault(goal, []).append(n)
        for goal, who in wants.items():
            who.sort(key=lambda n: self.pandas[n])
            pick = self.draw_below(goal, len(who)) if len(who) > 1 else 0
            wants[goal] = [who[pick]]
        for goal, who in wants.items():
            self.pandas[who[0]] = goal
        for n in range(count):
            if self.rest[n] >= 0 and self.pandas[n] in self.scorpions:
                self.kill(n, gains)
        for k, cell in enumerate(self.melons):
            for n in range(count):
                if self.rest[n] >= 0 and self.pandas[n] == cell:
                    self.melons[k] = -1
                    self.rest[n] = self.settings.chew_steps
                    gains[n] += 1
        for n in chewed:
            self.rest[n] -= 1
        ending = 0
        if all(cell < 0 for cell in self.melons):
            ending = ALL_EATEN
        else:
            for s in range(len(self.scorpions)):
                self.move_scorpion(s, gains)
            if max(self.rest) < 0 and self.settings.respawn_steps is None:
                ending = DIED_OUT
            elif self.steps >= self.settings.step_limit:
                ending = OUT_OF_TIME
            if self.settings.respawn_steps is not None:
                self.come_back()
        self.counter += 2 * cells + len(self.scorpions)
        return gains, ending

    def kill(self, n: int, gains: list[float]) -> None:
        gains[n] -= 1
        self.rest[n] = -1 - (self.settings.respawn_steps or 0)

    def enterable(self, cell: int | None) -> bool:
        return cell is not None and cell not in self.trees and cell not in self.melons

    def move_scorpion(self, s: int, gains: list[float]) -> None:
        here = self.scorpions[s]
        u = uniform(self.key, np.uint64(self.counter + self.settings.cells + s))
        near = [
            (self.away(here, p), p)
            for n, p in enumerate(self.pandas)
            if self.rest[n] >= 0 and self.away(here, p) <= 2
        ]
        to: int | None = here
        if near:
            if u >= 0.5:
                goal, w = min(near)[1], self.settings.width
                dx, dy = goal % w - here % w, goal // w - here // w
                across = self.ahead(here, RIGHT if dx > 0 else LEFT) if dx else None
                along = self.ahead(here, DOWN if dy > 0 else UP) if dy else None
                order = [across, along] if abs(dx) >= abs(dy) else [along, across]
                to = next((cell for cell in order if self.enterable(cell)), here)
        elif u >= 0.5:
            to = self.ahead(here, (UP, DOWN, LEFT, RIGHT)[int((u - 0.5) / 0.5 * 4)])
            to = to if self.enterable(to) else here
        assert to is not None
        self.scorpions[s] = to
        for n, p in enumerate(self.pandas):
            if self.rest[n] >= 0 and p == to:
                self.kill(n, gains)

    def come_back(self) -> None:
        due = [n for n, rest in enumerate(self.rest) if rest == -1]
        self.rest = [rest + 1 if rest < -1 else rest for rest in self.rest]
        for n in sorted(due, key=lambda n: (self.pandas[n], n)):
            taken = {p for m, p in enumerate(self.pandas) if self.rest[m] >= 0}
            free = [
                cell
                for cell in range(self.settings.cells)
                if self.enterable(cell)
                and cell not in taken
                and all(self.away(cell, s) > 2 for s in self.scorpions)
            ]
            if free:
                number = self.settings.cells + len(self.scorpions) + self.pandas[n]
                self.pandas[n] = free[self.draw_below(number, len(free))]
                self.rest[n] = 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pandas": 2, "scorpions": 3},
        {"pandas": 20, "width": 9, "watermelons": 10, "scorpions": 4, "max_trees": 8},
        {"pandas": 6, "scorpions": 4, "width": 8, "respawn_steps": 1, "chew_steps": 0},
        {"pandas": 12, "width": 9, "scorpions": 6, "respawn_steps": 5, "chew_steps": 4},
    ],
)
def test_a_step_is_what_the_rules_say(settings: dict[str, Any]) -> None:
    env = PandasVectorEnv(6, seed=2, **settings)
    env.reset()
    generator = np.random.default_rng(5)
    kills = 0
    for _ in range(120):
        slow = [SlowWorld(env, i) for i in range(6)]
        actions = generator.integers(0, 5, size=(6, env.settings.pandas))
        illegal = env.illegal_actions
        observation, rewards, terminated, truncated, infos = env.step(actions)
        state, wrong = env.get_state(), 0
        for i, world in enumerate(slow):
            acting = [n for n in range(len(world.rest)) if world.rest[n] == 0]
            wrong += sum(not world.allowed(n, int(actions[i, n])) for n in acting)
            gains, ending = world.step(actions[i].tolist())
            kills += sum(gain < 0 for gain in gains)
            assert infos["agent_rewards"][i].tolist() == gains and rewards[i] == sum(gains)
            assert terminated[i] == (ending in (ALL_EATEN, DIED_OUT))
            assert truncated[i] == (ending == OUT_OF_TIME)
            alive = observation["alive"][i]
            if ending:
                assert infos["final_info"]["ending"][i] == ending
                alive = infos["final_obs"]["alive"][i]
            else:
                for name in ("pandas", "rest", "melons", "scorpions"):
                    assert state[name][i].tolist() == getattr(world, name), name
                assert state["counters"][i] == world.counter
            assert alive.tolist() == [rest >= 0 for rest in world.rest]
        assert env.illegal_actions - illegal == wrong
    assert kills > 5


def test_a_mask_says_exactly_which_actions_have_an_effect() -> None:
    env = PandasVectorEnv(1, pandas=12, width=7, watermelons=6, max_trees=12, min_trees=12, seed=1)
    checked = 0
    for _ in range(6):
        observation, _ = env.reset()
        for _ in range(5):
            before = env.get_state()
            for n in np.flatnonzero(observation["agent_mask"][0]):
                for action in range(1, 5):
                    env.set_state(before)
                    env._autoreset = False
                    actions = np.zeros((1, 12), int)
                    actions[0, n] = action
                    env.step(actions)
                    moved = env.get_state()["pandas"][0, n] != before["pandas"][0, n]
                    assert moved == observation["action_mask"][0, n, action]
                    checked += 1
            env.set_state(before)
            env._autoreset = True
            mask = observation["action_mask"]
            observation, *_ = env.step((mask.cumsum(-1) * mask).argmax(-1))
    assert checked > 800


@pytest.mark.parametrize(("rows", "actions"), [
    (["1.2...", "......", ".....M", "......"], [RIGHT, LEFT]),
    (["..1...", ".2.3..", "..4..M", "......"], [DOWN, RIGHT, LEFT, UP]),
])  # fmt: skip
def test_of_those_who_want_one_cell_each_gets_it_as_often(
    drawn: Any, rows: list[str], actions: list[int]
) -> None:
    env = drawn(rows, num_envs=4000, scorpions=0)
    before = env.get_state()["pandas"]
    state = env.get_state()
    state["keys"][:] = np.arange(4000, dtype=np.uint64)
    env.set_state(state)
    env.step(np.tile(actions, (4000, 1)))
    moved = env.get_state()["pandas"] != before
    assert (moved.sum(axis=1) == 1).all()
    counts, even = moved.sum(axis=0), 4000 / len(actions)
    # Chi-square, 99.9 % quantiles for 1 and 3 degrees of freedom: fails once in 1000 seeds.
    assert ((counts - even) ** 2 / even).sum() < {2: 10.83, 4: 16.27}[len(actions)]


def test_pandas_do_not_swap_and_may_not_follow_at_once(drawn: Any) -> None:
    env = drawn(["12....", ".....M", "......", "......"])
    assert env.observation()["action_mask"][0, 0, RIGHT] == False  # noqa: E712
    env.step(np.array([[RIGHT, LEFT]]))
    assert env.get_state()["pandas"].tolist() == [[0, 1]] and env.illegal_actions == 2


def test_who_ate_chews_and_then_acts_again(drawn: Any) -> None:
    env = drawn(["1M..M.", "......", "......", ".....2"], chew_steps=2)
    masks, chews = [], []
    for action in (RIGHT, DOWN, DOWN, DOWN):
        observation, rewards, *_, infos = env.step(np.array([[action, STAY]]))
        masks.append(bool(observation["agent_mask"][0, 0]))
        chews.append(float(observation["entities"][0, 0, 6]))
        assert observation["alive"].all()
        assert observation["action_mask"][0, 0].any() == masks[-1]
        if action == RIGHT:
            assert infos["agent_rewards"].tolist() == [[1, 0]] and rewards[0] == 1
    assert masks == [False, False, True, True] and chews == [1.0, 0.5, 0.0, 0.0]
    assert env.get_state()["pandas"][0, 0] == 7  # the two moves in between were not done
    assert env.illegal_actions == 0


def test_who_walks_onto_a_scorpion_is_caught(drawn: Any) -> None:
    env = drawn(["1S....", ".....M", "......", "2....."])
    observation, rewards, *_, infos = env.step(np.array([[RIGHT, STAY]]))
    assert infos["agent_rewards"].tolist() == [[-1, 0]] and rewards[0] == -1
    assert observation["alive"].tolist() == [[False, True]]
    assert not observation["entity_mask"][0, 0] and not observation["visibility"][0, 0].any()
    assert (
        not observation["visibility"][0, :, 0].any() and (observation["entities"][0, 0] == 0).all()
    )


@pytest.mark.parametrize("respawn", [1, 3])
def test_who_died_comes_back_after_so_many_steps(drawn: Any, respawn: int) -> None:
    env = drawn(["1S......"] + ["........"] * 6 + [".....2.M"], respawn_steps=respawn, num_envs=20)
    actions = np.tile([RIGHT, STAY], (20, 1))
    there = []
    for _ in range(respawn + 1):
        observation, *_ = env.step(actions)
        there.append(observation["alive"][:, 0].all())
        assert observation["alive"][:, 0].any() == there[-1]
        actions[:] = STAY
    assert there == [False] * respawn + [True]
    assert observation["agent_mask"][:, 0].all()


def test_the_last_watermelon_ends_an_episode_before_a_scorpion_moves(drawn: Any) -> None:
    env = drawn(["1MS...", "......", "......", ".....2"], num_envs=50, chew_steps=5)
    _, rewards, terminated, truncated, infos = env.step(np.tile([RIGHT, STAY], (50, 1)))
    assert (rewards == 1).all() and terminated.all() and not truncated.any()
    assert (infos["final_info"]["ending"] == ALL_EATEN).all()
    assert infos["final_obs"]["alive"].all()


def test_an_episode_ends_when_nobody_lives(drawn: Any) -> None:
    rows = ["1S....", ".....M", "......", "....S2"]
    actions = np.array([[RIGHT, LEFT]])
    _, rewards, terminated, _, infos = drawn(rows, max_trees=1, min_trees=0).step(actions)
    assert rewards[0] == -2 and terminated[0]
    assert infos["final_info"]["ending"][0] == DIED_OUT
    assert not infos["final_obs"]["alive"].any() and not infos["final_obs"]["agent_mask"].any()
    _, _, terminated, truncated, _ = drawn(rows, respawn_steps=2).step(actions)
    assert not terminated[0] and not truncated[0]


def test_the_order_of_slots_decides_nothing() -> None:
    settings = {"pandas": 9, "scorpions": 4, "width": 8, "respawn_steps": 3}
    env, other = (PandasVectorEnv(8, seed=3, **settings) for _ in range(2))
    told, _ = env.reset()
    generator = np.random.default_rng(0)
    order = generator.permutation(9)
    state = env.get_state()
    other.set_state(state | {k: state[k][:, order] for k in ("pandas", "rest")})
    deaths = 0
    for _ in range(20):  # the step limit is 24: no layout is drawn in between
        actions = generator.integers(0, 5, size=(8, 9))
        told, rewards, over, _, infos = env.step(actions)
        permuted, rewards_too, _, _, infos_too = other.step(actions[:, order])
        assert not over.any()
        np.testing.assert_array_equal(rewards, rewards_too)
        deaths += (infos["agent_rewards"] < 0).sum()
        slots = np.concatenate((order, np.arange(9, told["entities"].shape[1])))
        for name in ("action_mask", "agent_mask", "alive"):
            np.testing.assert_array_equal(told[name][:, order], permuted[name])
        np.testing.assert_array_equal(infos["agent_rewards"][:, order], infos_too["agent_rewards"])
        for name in ("entities", "entity_mask", "positions"):
            np.testing.assert_array_equal(told[name][:, slots], permuted[name])
        visibility = told["visibility"][:, slots][:, :, slots]
        np.testing.assert_array_equal(visibility, permuted["visibility"])
    assert deaths > 10


def test_the_grid_that_moves_go_by_is_the_pandas() -> None:
    assert grid_tables(4, 4).ahead[0].tolist() == [-1, 4, -1, 1]

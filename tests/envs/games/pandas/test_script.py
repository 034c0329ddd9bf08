"""The scripted team: who goes for what, around whom, and what it does not do."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.pandas.script import (
    catch_chance,
    make_script_room,
    script_actions,
    script_all,
)
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv

STAY, UP, DOWN, LEFT, RIGHT = range(5)


def decide(env: PandasVectorEnv) -> list[list[int]]:
    actions = np.zeros((env.num_envs, env.settings.pandas), np.int64)
    script_all(env._world, env._facts, make_script_room(env.settings), actions)
    decided: list[list[int]] = actions.tolist()
    return decided


def test_watermelons_go_to_whom_the_shortest_way_leads(drawn: Any) -> None:
    # Panda 2 is nearest to both; the left one is nearest to it, and panda 1 gets the other.
    env = drawn(["1.....", "......", ".....2", "..M..M"], scorpions=0)
    assert decide(env) == [[DOWN, DOWN]]
    env = drawn(["M.....", "......", ".....2", ".....1"], scorpions=0)
    assert decide(env)[0][0] == STAY  # one watermelon, which is panda 2's
    assert decide(env)[0][1] in (UP, LEFT)


def test_it_walks_around_trees(drawn: Any) -> None:
    env = drawn(["1#M..", ".#...", ".#...", ".....", "2...."], scorpions=0)
    steps = 0
    while env.get_state()["melons"][0, 0] >= 0:
        env._autoreset = False
        env.step(np.array(decide(env)))
        steps += 1
        assert steps < 20
    assert steps == 6  # panda 2 goes 2 right, 4 up: nearer than panda 1, which is 8 steps away


def test_it_leaves_a_watermelon_that_a_scorpion_sits_at_until_it_is_the_last(drawn: Any) -> None:
    rows = ["1MS...", "......", "......", "......", "....M2"]
    lured = decide(drawn(rows, chew_steps=3))
    assert lured[0][0] in (DOWN, STAY) and lured[0][1] == LEFT
    last = decide(drawn(["1MS...", "......", "......", "......", ".....2"]))
    assert last[0][0] == RIGHT
    assert decide(drawn(rows, chew_steps=0))[0][0] == RIGHT  # a single chance of a half


def test_it_flees(drawn: Any) -> None:
    env = drawn(["......", ".S1...", "......", "......", ".2...M"])
    assert decide(env)[0][0] in (RIGHT, UP, DOWN)
    state = env.get_state()
    caught = 0
    for key in range(300):
        state["keys"][:] = key
        env.set_state(state)
        observation, *_ = env.step(np.array(decide(env)))
        caught += not observation["alive"].all()
    assert caught == 0  # two steps away nobody is caught in one


def test_it_does_only_what_is_allowed_and_nothing_for_those_who_do_not_act() -> None:
    env = PandasVectorEnv(16, seed=3, pandas=10, width=9, scorpions=3, respawn_steps=4)
    observation, _ = env.reset()
    room, actions = make_script_room(env.settings), np.zeros((16, 10), np.int64)
    moved = 0
    for _ in range(60):
        actions[:] = 77
        script_all(env._world, env._facts, room, actions)
        assert (actions[~observation["agent_mask"]] == STAY).all()
        assert not room.reserved.any()
        for i in range(16):
            goals = [
                int(cell)
                for n in np.flatnonzero(observation["agent_mask"][i])
                if (cell := env._world.pandas[i, n]) >= 0 and actions[i, n] == STAY
            ]
            assert len(set(goals)) == len(goals)
        moved += (actions > 0).sum()
        observation, *_ = env.step(actions)
    assert env.illegal_actions == 0 and moved > 2000


def test_it_is_a_function_of_the_state() -> None:
    env = PandasVectorEnv(4, seed=5)
    env.reset()
    room, first, second = make_script_room(env.settings), np.zeros(8, int), np.zeros(8, int)
    script_actions(2, env._world, env._facts, room, first)
    script_actions(1, env._world, env._facts, room, second)
    script_actions(2, env._world, env._facts, room, second)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 5])
def test_chances_of_being_caught_are_counted(moves: int) -> None:
    # From one step away one creep of several is enough, from two steps it takes two.
    creeps = [sum(outcome) for outcome in product((0, 1), repeat=moves)]
    for away in (1, 2):
        share = np.mean([count >= away for count in creeps])
        assert catch_chance(away, moves) == pytest.approx(share if moves else 0)
    assert catch_chance(4, moves) == 0 and catch_chance(0, max(moves, 1)) == 1
    assert 0 <= catch_chance(3, moves) < max(catch_chance(2, moves), 1e-9)

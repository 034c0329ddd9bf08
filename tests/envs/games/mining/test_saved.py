"""Saved boards that no play leads to are refused, each by its layer and cell."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.mining.settings import (
    B_DIRECTION,
    B_HIT_POINTS,
    B_KIND,
    B_LEFT,
    B_LOAD,
    B_ORDER,
    B_OWNER,
    B_PRODUCT,
)
from maskrl.envs.games.mining.vector_env import MiningVectorEnv
from maskrl.errors import ConfigError
from maskrl.masks.heads import random_actions

WORKER_CELL, BASE_CELL, MINE_CELL, ENEMY_CELL, EMPTY_CELL = 5, 6, 0, 10, 3


@pytest.mark.parametrize(
    ("layer", "cell", "value"),
    [
        (B_KIND, WORKER_CELL, 8),
        (B_KIND, WORKER_CELL, -1),
        (B_KIND, MINE_CELL, 2),  # a base of nobody
        (B_OWNER, WORKER_CELL, 3),
        (B_OWNER, MINE_CELL, 1),
        (B_OWNER, EMPTY_CELL, 1),
        (B_HIT_POINTS, WORKER_CELL, 2),
        (B_HIT_POINTS, WORKER_CELL, 0),
        (B_LOAD, MINE_CELL, 0),
        (B_LOAD, MINE_CELL, 41),
        (B_LOAD, WORKER_CELL, 2),
        (B_LOAD, BASE_CELL, 1),
        (B_ORDER, WORKER_CELL, 4),  # and no time left for it
        (B_LEFT, WORKER_CELL, 251),
        (B_LEFT, ENEMY_CELL, 5),
        (B_DIRECTION, WORKER_CELL, 4),
        (B_PRODUCT, WORKER_CELL, 7),
    ],
)
def test_damage_is_named(layer: int, cell: int, value: int) -> None:
    env = MiningVectorEnv(2, board="4x4")
    env.reset()
    state = env.get_state()
    state["board"][1, layer, cell] = value
    with pytest.raises(ConfigError, match=r"the saved state is damaged: board\[1, \d, \d+\]"):
        MiningVectorEnv(2, board="4x4").set_state(state)


def test_an_order_that_leads_off_the_board_is_damage() -> None:
    env = MiningVectorEnv(1, board="4x4")
    env.reset()
    state = env.get_state()
    board = state["board"]
    board[0, :, 1], board[0, :, 5] = board[0, :, 5].copy(), 0  # the worker in the first row
    board[0, [B_ORDER, B_LEFT, B_PRODUCT], 1] = 4, 100, 1
    with pytest.raises(ConfigError, match=r"board\[0, 6, 1\] is 0"):  # up
        MiningVectorEnv(1, board="4x4").set_state(state)
    board[0, B_DIRECTION, 1] = 2
    MiningVectorEnv(1, board="4x4").set_state(state)


@pytest.mark.parametrize(("column", "value"), [(0, 46), (0, -5000), (1, 201), (1, -1)])
def test_counts_beyond_any_game_are_damage(column: int, value: int) -> None:
    env = MiningVectorEnv(1, board="4x4")
    env.reset()
    state = env.get_state()
    state["counts"][0, column] = value
    with pytest.raises(ConfigError, match="world 0 has"):
        MiningVectorEnv(1, board="4x4").set_state(state)


def test_another_map_or_other_rules_are_refused() -> None:
    env = MiningVectorEnv(1, board="4x4")
    env.reset()
    state = env.get_state()
    with pytest.raises(ConfigError, match="the saved board has shape"):
        MiningVectorEnv(1, board="10x10").set_state(state)
    with pytest.raises(ConfigError, match="rules version 0"):
        env.set_state(state | {"rules_version": 0})


def test_every_state_of_play_is_taken() -> None:
    env = MiningVectorEnv(8, board="4x4", masks="published")
    observation, _ = env.reset()
    other, rng = MiningVectorEnv(8, board="4x4", masks="published"), np.random.default_rng(0)
    legal, tree = MiningVectorEnv(8, board="4x4"), MiningVectorEnv(8, board="4x4").action_tree
    seen, _ = legal.reset()
    for _ in range(210):
        masks = {"action_mask": observation["action_mask"]}
        actions = random_actions(masks, tuple(env.single_action_space.nvec), rng, (8,))
        observation, *_ = env.step(actions)
        other.set_state(env.get_state())
        assert tree is not None
        masks = {k: v for k, v in seen.items() if k != "observation"}
        seen, *_ = legal.step(random_actions(masks, tree, rng, (8,)))
        other.set_state(legal.get_state())

"""Planes by hand, and every mask against trying every action on a copy of the board."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.mining.observation import TABLES, write_masks, write_planes
from maskrl.envs.games.mining.rules import give_order
from maskrl.envs.games.mining.settings import (
    ATTACK,
    B_LEFT,
    CARRIED_OUT,
    CONDITIONAL,
    HEADS,
    MASKS,
    PLANES,
    PRODUCE,
    PUBLISHED,
    head_sizes,
    order_tree,
)
from maskrl.envs.games.mining.vector_env import MiningVectorEnv

Games = Callable[..., Any]

BOARDS = {
    "mining": "9 W . .\n. W* B .\n. b w .\n. . . 4",
    "army": "K L . .\nH R B .\n. b w .\nW* . . 4",
    "crowd": "W W W W\nW B K W\nW b w W\nW W W 1",
    "corner": "B W* 3 .\nW . . .\n. . . .\nw . . R",
}


def _masks(here: Any, mode: int, before: Any = None) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Flat mask and tables, written over those of `before`."""
    cells = here.size**2
    if before is None:
        sizes = head_sizes(cells)
        tables = tuple(np.zeros((cells, n), np.bool_) for n in sizes[1:])
        before = np.zeros(sum(sizes), np.bool_), tables
    flat, tables = before
    wanted = np.ones(cells, np.bool_)
    write_masks(here.board, here.counts, here.size, mode, flat, tables, wanted)
    return flat, tables


def _actions(cells: int) -> Iterator[np.ndarray]:
    """Every order of every cell, with 0 in the parts that do not count."""
    for cell in range(cells):
        yield np.array([cell, 0, 0, 0, 0, 0, 0, 0])
        for what in range(1, 4):
            for direction in range(4):
                action = np.array([cell, what, 0, 0, 0, 0, 0, 0])
                action[1 + what] = direction
                yield action
        for direction in range(4):
            for product in range(7):
                yield np.array([cell, PRODUCE, 0, 0, 0, direction, product, 0])
        for target in range(cells):
            yield np.array([cell, ATTACK, 0, 0, 0, 0, 0, target])


def _legal(here: Any) -> np.ndarray:
    """Which of `_actions` the rules carry out, each tried on a copy of the board."""
    wanted = np.zeros(here.size**2, np.bool_)
    tried = [
        give_order(here.board.copy(), here.counts.copy(), action, here.size, wanted)
        for action in _actions(here.size**2)
    ]
    return np.array(tried) == CARRIED_OUT


def _situations(game: Games) -> Iterator[tuple[str, Any]]:
    """Each board, fresh and with productions and waits under way, rich and poor."""
    for name, text in BOARDS.items():
        for stock in (0, 1, 3, 5, 12):
            here = game(text, stock=stock)
            yield f"{name}, {stock}", here
            here = game(text, stock=stock)
            rng = np.random.default_rng(stock)
            for step in range(6):
                legal = [a for a, ok in zip(_actions(16), _legal(here), strict=True) if ok]
                long = [a for a in legal if a[1] in (PRODUCE, 1)] or legal
                action = long[rng.integers(len(long))] if long else np.zeros(8, np.int64)
                if step == 2:  # and one that is impossible: somebody waits
                    action = action.copy()
                    action[1], action[5], action[6] = PRODUCE, 0, 2
                give_order(here.board, here.counts, action, 4, np.zeros(16, np.bool_))
                here.wait(1)
                yield f"{name}, {stock}, after {step + 1}", here


def test_conditional_masks_allow_what_is_carried_out_and_nothing_else(game: Games) -> None:
    tree, all_actions = order_tree(16), np.stack(list(_actions(16)))
    before, checked, busy = None, 0, 0
    for name, here in _situations(game):
        before = _masks(here, CONDITIONAL, before)  # over what was there before
        flat, tables = before
        masks = {"action_mask": flat, **dict(zip(TABLES, tables, strict=True))}
        legal = _legal(here)
        np.testing.assert_array_equal(tree.allows(all_actions, masks), legal, err_msg=name)
        checked += int(legal.sum())
        busy += int((here.board[B_LEFT] > 0).sum())
    assert checked > 1_000 and busy > 50


def test_conditional_masks_never_lead_into_an_empty_part(game: Games) -> None:
    for name, here in _situations(game):
        flat, (kinds, *directions, product, target) = _masks(here, CONDITIONAL)
        assert not kinds[~flat[:16]].any(), name
        assert kinds[flat[:16], 0].all(), name
        for what, table in enumerate(directions, start=1):
            np.testing.assert_array_equal(kinds[:, what], table.any(axis=1), err_msg=name)
        np.testing.assert_array_equal(kinds[:, PRODUCE], product.any(axis=1), err_msg=name)
        np.testing.assert_array_equal(kinds[:, ATTACK], target.any(axis=1), err_msg=name)


def test_masks_of_heads_are_what_the_legal_orders_have_there(game: Games) -> None:
    actions = np.stack(list(_actions(16)))
    starts = np.cumsum([0, *head_sizes(16)])
    parts_of = {0: [], 1: [2], 2: [3], 3: [4], 4: [5, 6], 5: [7]}
    for name, here in _situations(game):
        expected = np.zeros(starts[-1], np.bool_)
        for action in actions[_legal(here)]:
            for head in (0, 1, *parts_of[int(action[1])]):
                expected[starts[head] + action[head]] = True
        flat, _ = _masks(here, HEADS)
        np.testing.assert_array_equal(flat, expected, err_msg=name)


def test_published_masks_tell_units_and_targets_by_the_planes(game: Games) -> None:
    here = game("9 W . .\n. W B .\n. b w .\n. . . 4")
    here.tell((2, 1), "produce", "worker", "up")
    here.tell((1, 0), "produce", "light", "right")  # impossible: it waits, and nothing shows it
    flat, _ = _masks(here, PUBLISHED)
    assert here.left((1, 0)) == 70
    assert np.flatnonzero(flat[:16]).tolist() == [1, 5]  # not the base, which shows its order
    assert flat[16:45].all()
    assert np.flatnonzero(flat[45:]).tolist() == [9, 10]
    exact, _ = _masks(here, CONDITIONAL)
    assert np.flatnonzero(exact[:16]).tolist() == [5]


def test_planes_show_each_cell_by_hand(game: Games) -> None:
    here = game("9 W* .\nb B .\n. . 1", stock=5)
    here.tell((1, 1), "produce", "worker", "right")
    planes = np.ones((9, PLANES), np.int8)
    write_planes(here.board, planes)
    # Hit points 0-4, load 5-9, owner 10-12, kind 13-20, order 21-26.
    assert np.flatnonzero(planes[0]).tolist() == [1, 9, 10, 14, 21]  # nine left: 4 or more
    assert np.flatnonzero(planes[1]).tolist() == [1, 6, 11, 17, 21]
    assert np.flatnonzero(planes[2]).tolist() == [0, 5, 10, 13, 21]  # an empty cell
    assert np.flatnonzero(planes[3]).tolist() == [4, 5, 12, 15, 21]
    assert np.flatnonzero(planes[4]).tolist() == [4, 5, 11, 15, 25]  # at work: produce
    assert np.flatnonzero(planes[8]).tolist() == [1, 6, 10, 14, 21]
    assert (planes.sum(axis=1) == 5).all()


@pytest.mark.parametrize("masks", MASKS)
def test_batches_write_the_masks_of_single_boards(masks: str) -> None:
    env = MiningVectorEnv(5, board="4x4", masks=masks)
    observation, _ = env.reset()
    rng = np.random.default_rng(1)
    for _ in range(60):
        actions = rng.integers(0, env.single_action_space.nvec, (5, 8))
        observation, *_ = env.step(actions)
    fresh = MiningVectorEnv(5, board="4x4", masks=masks)
    fresh.set_state(env.get_state())
    for name, array in fresh.observation().items():
        np.testing.assert_array_equal(observation[name], array, err_msg=name)

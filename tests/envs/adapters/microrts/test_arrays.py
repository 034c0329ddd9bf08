"""Buffers become planes and masks cell by cell, and orders go where units act."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.adapters.microrts.arrays import (
    EMPTY_PLANES,
    HEAD_SIZES,
    HEAD_STARTS,
    write_actions,
    write_observation,
)
from maskrl.envs.adapters.microrts.settings import MICRORTS_TREE
from maskrl.masks.heads import starts_of

B, H, W = 2, 3, 4
WORKER = 14 + 3
EVERYTHING = np.zeros(0, np.int64)


def empty_planes():
    planes = np.zeros((B, H, W, 27), np.int32)
    planes[..., EMPTY_PLANES] = 1
    return planes


def put(planes, where, *ones):
    planes[where] = 0
    planes[where][list(ones)] = 1


def outputs(channels=27):
    return (
        np.ones((B, channels, H, W), np.bool_),
        np.ones((B, H, W), np.bool_),
        np.ones((B, 78, H, W), np.bool_),
    )


def test_heads_lie_as_the_tree_says():
    assert tuple(HEAD_SIZES) == MICRORTS_TREE.nvec
    assert HEAD_STARTS.tolist() == list(starts_of(MICRORTS_TREE.nvec))


def test_planes_and_masks_are_transposed_and_only_the_named_games_written():
    planes, masks = empty_planes(), np.zeros((B, H, W, 78), np.int32)
    put(planes, (0, 1, 2), 1, 5, 11, WORKER, 21)  # an own worker, idle, one hit point
    masks[0, 1, 2, [0, 1, 7]] = 1  # it may wait, or move to the right
    grid, agents, actions = outputs()
    walls = np.zeros((H, W), np.bool_)
    rows = np.array([0])
    write_observation(rows, planes, masks, walls, False, EVERYTHING, grid, agents, actions)
    assert np.array_equal(grid[0], planes[0].transpose(2, 0, 1) != 0)
    assert np.argwhere(agents[0]).tolist() == [[1, 2]]
    assert np.argwhere(actions[0]).tolist() == [[0, 1, 2], [1, 1, 2], [7, 1, 2]]
    assert grid[1].all() and agents[1].all() and actions[1].all()


def test_what_the_engine_leaves_unsaid_of_an_empty_cell_is_said():
    planes = np.zeros((B, H, W, 27), np.int32)  # as where it took a hidden unit out
    grid, agents, actions = outputs()
    walls = np.zeros((H, W), np.bool_)
    masks = np.zeros((B, H, W, 78), np.int32)
    write_observation(np.arange(B), planes, masks, walls, False, EVERYTHING, grid, agents, actions)
    assert np.array_equal(grid, np.moveaxis(empty_planes(), -1, 1) != 0)


def test_walls_and_sight_have_planes_of_their_own():
    planes, masks = empty_planes(), np.zeros((B, H, W, 78), np.int32)
    put(planes, (1, 0, 0), 1, 5, 11, WORKER, 21)
    put(planes, (1, 2, 3), 1, 5, 12, WORKER, 21)  # the opponent's sees nothing for us
    grid, agents, actions = outputs(29)
    walls = np.zeros((H, W), np.bool_)
    walls[2, 2] = True
    sight = np.array([0, 0, 0, 2, 0, 0, 0])
    write_observation(np.arange(B), planes, masks, walls, True, sight, grid, agents, actions)
    assert np.array_equal(grid[0, 27], walls) and np.array_equal(grid[1, 27], walls)
    # two cells in a straight line: dx*dx + dy*dy <= 4
    seen = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    assert grid[1, 28].astype(int).tolist() == seen
    assert not grid[0, 28].any()


def test_orders_are_written_where_agents_act_and_nowhere_else():
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 4, (B, 7, H, W))
    actions[:, 0] = 1
    agents = np.zeros((B, H, W), np.bool_)
    agents[0, 2, 1] = True
    orders = np.full((B, H * W, 7), 9, np.int32)
    illegal, wrong = write_actions(actions, agents, np.ones((B, 78, H, W), np.bool_), orders)
    assert (illegal, wrong) == (0, (-1, -1, -1, -1))
    wanted = np.zeros_like(orders)
    wanted[0, 2 * W + 1] = actions[0, :, 2, 1]
    assert np.array_equal(orders, wanted)


@pytest.mark.parametrize("head", range(7))
def test_a_disallowed_choice_is_counted_where_it_counts_and_becomes_waiting(head):
    agents = np.zeros((B, H, W), np.bool_)
    agents[1, 0, 3] = True
    for kind in range(6):
        actions = np.zeros((B, 7, H, W), np.int64)
        actions[1, 0, 0, 3] = kind
        if head:
            actions[1, head, 0, 3] = 2
        mask = np.ones((B, 78, H, W), np.bool_)
        mask[1, HEAD_STARTS[head] + actions[1, head, 0, 3], 0, 3] = False
        orders = np.zeros((B, H * W, 7), np.int32)
        illegal, _ = write_actions(actions, agents, mask, orders)
        counts = MICRORTS_TREE.relevant(actions[1, :, 0, 3])[head]
        assert illegal == int(counts)
        given = np.zeros(7) if counts else actions[1, :, 0, 3]
        assert np.array_equal(orders[1, 3], given)


def test_a_choice_that_no_head_has_is_named_by_its_place():
    actions = np.zeros((B, 7, H, W), np.int64)
    actions[0, 3] = 99  # nobody acts there
    actions[1, 5, 2, 0] = 7
    agents = np.zeros((B, H, W), np.bool_)
    agents[1, 2, 0] = True
    mask = np.ones((B, 78, H, W), np.bool_)
    _, wrong = write_actions(actions, agents, mask, np.zeros((B, H * W, 7), np.int32))
    assert wrong == (1, 5, 2, 0)
    actions[1, 5, 2, 0] = -1
    _, wrong = write_actions(actions, agents, mask, np.zeros((B, H * W, 7), np.int32))
    assert wrong == (1, 5, 2, 0)

"""Who acts: packed rows of slots and cells, their masks, and their actions put back."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl import ActionTree, pack_mask
from maskrl.envs.entries import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import MaskShapeError, NoMaskError
from maskrl.masks.tree import Head
from maskrl.policies.acting import Acting, offsets_of

H, W, AGENTS, ACTIONS = 3, 4, 3, 5
TREE = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))


def slots(nvec=None, **more):
    space = spaces.Dict(
        {
            "observation": spaces.Box(0, 1, (AGENTS, 2), np.float32),
            "agent_mask": mask_space(AGENTS),
            **more,
        }
    )
    return space, spaces.MultiDiscrete([ACTIONS] * AGENTS if nvec is None else nvec)


def grid(nvec=None, **more):
    space = spaces.Dict(
        {
            "grid": spaces.Box(0, 1, (2, H, W), np.float32),
            "agent_mask": mask_space(H, W),
            **more,
        }
    )
    return space, spaces.MultiDiscrete(np.full((H, W), ACTIONS) if nvec is None else nvec)


def test_slots_by_hand():
    team = describe_team(*slots(action_mask=mask_space(AGENTS, ACTIONS)))
    action_mask = torch.rand(3, AGENTS, ACTIONS) < 0.5
    agent_mask = torch.tensor([[True, False, True], [False] * 3, [False, True, False]])
    acting = Acting.read({"agent_mask": agent_mask, "action_mask": action_mask}, team)
    assert len(acting) == 3 and acting.batch == 3
    assert acting.row.tolist() == [0, 0, 2]
    assert acting.slot.tolist() == acting.place.tolist() == [0, 2, 1]
    assert acting.offsets.tolist() == [0, 2, 2, 3]
    assert torch.equal(acting.action_mask, action_mask[[0, 0, 2], [0, 2, 1]])
    everywhere = acting.scatter(torch.tensor([4, 3, 2]), team, idle_action=1)
    assert everywhere.tolist() == [[4, 1, 3], [1, 1, 1], [1, 2, 1]]
    assert acting.gather(everywhere, team).tolist() == [4, 3, 2]


def test_a_grid_by_hand():
    team = describe_team(
        *grid(
            action_mask=mask_space(ACTIONS, H, W),
            agent_cells=spaces.Box(-1, H * W - 1, (AGENTS,), np.int64),
        )
    )
    agent_mask = torch.zeros(2, H, W, dtype=torch.bool)
    agent_mask[0, 1, 2] = agent_mask[0, 0, 3] = agent_mask[1, 2, 0] = True
    action_mask = torch.rand(2, ACTIONS, H, W) < 0.5
    obs = {
        "agent_mask": agent_mask,
        "action_mask": action_mask,
        "agent_cells": torch.tensor([[6, 3, -1], [-1, 1, 8]]),  # one of them waits
    }
    acting = Acting.read(obs, team)
    assert acting.place.tolist() == [3, 6, 8]
    assert acting.slot.tolist() == [1, 0, 2]
    assert acting.offsets.tolist() == [0, 2, 3]
    expected = [action_mask[0, :, 0, 3], action_mask[0, :, 1, 2], action_mask[1, :, 2, 0]]
    assert torch.equal(acting.action_mask, torch.stack(expected))
    everywhere = acting.scatter(torch.tensor([1, 2, 3]), team, idle_action=4)
    assert everywhere.shape == (2, H, W)
    assert everywhere[0, 0, 3] == 1 and everywhere[0, 1, 2] == 2 and everywhere[1, 2, 0] == 3
    assert (everywhere[~agent_mask] == 4).all()
    assert acting.gather(everywhere, team).tolist() == [1, 2, 3]


def test_units_of_a_map_have_no_identity():
    team = describe_team(*grid())
    agent_mask = torch.ones(1, H, W, dtype=torch.bool)
    acting = Acting.read({"agent_mask": agent_mask}, team)
    assert acting.slot.tolist() == [-1] * 12 and acting.place.tolist() == list(range(12))
    assert acting.action_mask is None and acting.head_masks == {}


@pytest.mark.parametrize("form", ["slots", "grid"])
def test_heads_lie_where_the_action_space_has_them(form):
    sizes = np.array([2, 3])
    if form == "slots":
        team = describe_team(*slots(np.tile(sizes, (AGENTS, 1))))
        agent_mask = torch.tensor([[False, True, True]])
    else:
        team = describe_team(*grid(np.tile(sizes[:, None, None], (1, H, W))))
        agent_mask = torch.zeros(1, H, W, dtype=torch.bool)
        agent_mask[0, 0, 1] = agent_mask[0, 2, 3] = True
    acting = Acting.read({"agent_mask": agent_mask}, team)
    actions = torch.tensor([[1, 2], [0, 1]])
    everywhere = acting.scatter(actions, team)
    assert everywhere.shape == (1, *team.action_shape)
    if form == "slots":
        assert everywhere.tolist() == [[[0, 0], [1, 2], [0, 1]]]
    else:
        assert everywhere[0, :, 0, 1].tolist() == [1, 2]
        assert everywhere[0, :, 2, 3].tolist() == [0, 1]
        assert int(everywhere.abs().sum()) == 4
    assert torch.equal(acting.gather(everywhere, team), actions)


@pytest.mark.parametrize("form", ["slots", "grid"])
def test_tables_of_a_trees_heads_come_along(form):
    nvec = np.array(TREE.nvec)
    if form == "slots":
        space, actions = slots(
            np.tile(nvec, (AGENTS, 1)),
            **{
                "action_mask": mask_space(AGENTS, 5),
                "action_mask:target": mask_space(AGENTS, 2, 3),
            },
        )
        agent_mask = torch.tensor([[False, True, True]])
        flat, table = torch.rand(1, AGENTS, 5) < 0.5, torch.rand(1, AGENTS, 2, 3) < 0.5
        expected = flat[0, 1:], table[0, 1:]
    else:
        space, actions = grid(
            np.tile(nvec[:, None, None], (1, H, W)),
            **{"action_mask": mask_space(5, H, W), "action_mask:target": mask_space(2, 3, H, W)},
        )
        agent_mask = torch.zeros(1, H, W, dtype=torch.bool)
        agent_mask[0, 1, 1] = agent_mask[0, 2, 0] = True
        flat, table = torch.rand(1, 5, H, W) < 0.5, torch.rand(1, 2, 3, H, W) < 0.5
        expected = (
            torch.stack([flat[0, :, 1, 1], flat[0, :, 2, 0]]),
            torch.stack([table[0, :, :, 1, 1], table[0, :, :, 2, 0]]),
        )
    team = describe_team(space, actions, TREE)
    obs = {"agent_mask": agent_mask, "action_mask": flat, "action_mask:target": table}
    acting = Acting.read(obs, team)
    assert torch.equal(acting.action_mask, expected[0])
    assert torch.equal(acting.head_masks["target"], expected[1])


def test_packed_masks_are_read():
    team = describe_team(*slots(action_mask=mask_space(AGENTS, ACTIONS)))
    action_mask = torch.rand(2, AGENTS, ACTIONS) < 0.5
    agent_mask = torch.rand(2, AGENTS) < 0.7
    plain = Acting.read({"agent_mask": agent_mask, "action_mask": action_mask}, team)
    packed = {"agent_mask": pack_mask(agent_mask), "action_mask": pack_mask(action_mask)}
    assert torch.equal(Acting.read(packed, team).action_mask, plain.action_mask)


def test_nobody_acts():
    team = describe_team(*slots())
    acting = Acting.read({"agent_mask": torch.zeros(2, AGENTS, dtype=torch.bool)}, team)
    assert len(acting) == 0 and acting.offsets.tolist() == [0, 0, 0]
    empty = torch.zeros(0, dtype=torch.int64)
    assert acting.scatter(empty, team, idle_action=3).tolist() == [[3] * AGENTS] * 2


def test_a_mask_that_the_team_has_must_come():
    team = describe_team(*slots(action_mask=mask_space(AGENTS, ACTIONS)))
    with pytest.raises(NoMaskError, match="no entry 'action_mask'"):
        Acting.read({"agent_mask": torch.ones(1, AGENTS, dtype=torch.bool)}, team)
    with pytest.raises(NoMaskError, match="no entry 'agent_mask'"):
        Acting.read({}, team)


def test_actions_of_another_shape_are_refused():
    team = describe_team(*slots())
    acting = Acting.read({"agent_mask": torch.ones(2, AGENTS, dtype=torch.bool)}, team)
    with pytest.raises(MaskShapeError, match=r"actions has shape \(5,\); expected \(6,\)"):
        acting.scatter(torch.zeros(5, dtype=torch.int64), team)
    with pytest.raises(MaskShapeError, match=r"expected \(2, 3\)"):
        acting.gather(torch.zeros(2, 4, dtype=torch.int64), team)


def test_offsets():
    assert offsets_of(torch.tensor([1, 1, 3]), 5).tolist() == [0, 0, 2, 2, 3, 3]
    assert offsets_of(torch.zeros(0, dtype=torch.int64), 2).tolist() == [0, 0, 0]

"""Who acts in a batch of teams, under which masks, and where choices go: by hand, in both forms."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.acting_rows import ActingRows, alive_agents
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks.tree import ActionTree, Head

SLOTS = describe_team(
    spaces.Dict(
        {
            "observation": spaces.Box(0, 1, (3, 2)),
            "agent_mask": mask_space(3),
            "action_mask": mask_space(3, 5),
        }
    ),
    spaces.MultiDiscrete(np.tile([2, 3], (3, 1))),
)
TREE = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))
GRID = describe_team(
    spaces.Dict(
        {
            "grid": spaces.Box(0, 1, (1, 2, 3)),
            "agent_mask": mask_space(2, 3),
            "agent_cells": spaces.Box(-1, 5, (3,), np.int64),
            "action_mask": mask_space(5, 2, 3),
            "action_mask:target": mask_space(2, 3, 2, 3),
        }
    ),
    spaces.MultiDiscrete(np.tile(np.array([2, 3])[:, None, None], (1, 2, 3))),
    TREE,
)


def test_slots_row_by_row():
    rng = np.random.default_rng(0)
    keep = rng.random((2, 3, 5)) < 0.5
    acts = np.array([[True, False, True], [False, True, False]])
    rows = ActingRows.read({"agent_mask": acts, "action_mask": keep}, SLOTS)
    assert rows.row.tolist() == [0, 0, 1] and rows.counts().tolist() == [2, 1]
    assert rows.slot.tolist() == rows.place.tolist() == [0, 2, 1]
    np.testing.assert_array_equal(rows.masks["action_mask"], [keep[0, 0], keep[0, 2], keep[1, 1]])
    actions = rows.put([[1, 2], [0, 1], [1, 0]], SLOTS, idle_action=0)
    assert actions.tolist() == [[[1, 2], [0, 0], [0, 1]], [[0, 0], [1, 0], [0, 0]]]
    assert rows.take(actions, SLOTS).tolist() == [[1, 2], [0, 1], [1, 0]]


def test_a_grid_cell_by_cell_with_the_slots_of_its_agents():
    rng = np.random.default_rng(1)
    keep, table = rng.random((1, 5, 2, 3)) < 0.5, rng.random((1, 2, 3, 2, 3)) < 0.5
    acts = np.array([[[False, True, False], [True, False, False]]])
    obs = {
        "agent_mask": acts,
        "agent_cells": np.array([[3, -1, 1]]),  # agent 0 in cell (1, 0), agent 2 in (0, 1)
        "action_mask": keep,
        "action_mask:target": table,
    }
    rows = ActingRows.read(obs, GRID)
    assert rows.place.tolist() == [1, 3] and rows.slot.tolist() == [2, 0]
    np.testing.assert_array_equal(rows.masks["action_mask"], [keep[0, :, 0, 1], keep[0, :, 1, 0]])
    np.testing.assert_array_equal(
        rows.masks["action_mask:target"], [table[0, :, :, 0, 1], table[0, :, :, 1, 0]]
    )
    actions = rows.put([[1, 2], [0, 1]], GRID, idle_action=1)
    assert actions.shape == (1, 2, 2, 3)
    assert actions[0, :, 0, 1].tolist() == [1, 2] and actions[0, :, 1, 0].tolist() == [0, 1]
    assert (actions[0, :, 0, 0] == 1).all() and (actions[0, :, 1, 1:] == 1).all()
    assert rows.take(actions, GRID).tolist() == [[1, 2], [0, 1]]


def test_nobody_acts():
    obs = {"agent_mask": np.zeros((2, 3), bool), "action_mask": np.ones((2, 3, 5), bool)}
    rows = ActingRows.read(obs, SLOTS)
    assert len(rows) == 0 and rows.counts().tolist() == [0, 0]
    assert rows.masks["action_mask"].shape == (0, 5)
    assert rows.put(np.zeros((0, 2)), SLOTS, idle_action=1).tolist() == [[[1, 1]] * 3] * 2


def test_who_is_alive():
    acts = np.array([[True, False, True]])
    alive = np.array([[True, True, False]])
    assert alive_agents({"agent_mask": acts, "alive": alive}, SLOTS).tolist() == alive.tolist()
    told = alive_agents({"agent_mask": acts}, SLOTS)
    assert told.tolist() == acts.tolist()
    told[:] = False  # it is a copy
    assert acts.tolist() == [[True, False, True]]
    # on a grid without `alive` those are alive whose cell acts
    grid = {
        "agent_mask": np.array([[[False, True, False], [True, False, False]]]),
        "agent_cells": np.array([[3, -1, 2]]),
    }
    assert alive_agents(grid, GRID).tolist() == [[True, False, False]]
    del grid["agent_cells"]
    assert alive_agents(grid, GRID) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(MaskDtypeError, match="agent_mask has dtype int8; expected bool"):
        ActingRows.read({"agent_mask": np.zeros((2, 3), np.int8)}, SLOTS)
    with pytest.raises(MaskShapeError, match=r"shape \(2, 4\); expected \[B, 3\]"):
        ActingRows.read({"agent_mask": np.zeros((2, 4), bool)}, SLOTS)
    rows = ActingRows.read({"agent_mask": np.ones((2, 3), bool)}, SLOTS)
    with pytest.raises(MaskShapeError, match=r"shape \(2, 3\); expected \(2, 3, 2\): .*slot"):
        rows.take(np.zeros((2, 3)), SLOTS)

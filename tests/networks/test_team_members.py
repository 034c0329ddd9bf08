"""Who is there: living agents, owners of cells, and rows in fours."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError, NoMaskError
from maskrl.networks.team_members import (
    Members,
    in_fours,
    living,
    mask_of,
    slots_of_cells,
)

H, W, AGENTS = 3, 4, 3


def slots_team(alive):
    more = {"alive": mask_space(AGENTS)} if alive else {}
    space = {
        "observation": spaces.Box(0, 1, (AGENTS, 2), np.float32),
        "agent_mask": mask_space(AGENTS),
    }
    return describe_team(spaces.Dict(space | more), spaces.MultiDiscrete([4] * AGENTS))


def grid_team(identity=True, alive=True):
    space = {"grid": spaces.Box(0, 1, (2, H, W), np.float32), "agent_mask": mask_space(H, W)}
    if identity:
        space["agent_cells"] = spaces.Box(-1, H * W - 1, (AGENTS,), np.int64)
    if alive:
        space["alive"] = mask_space(AGENTS)
    return describe_team(spaces.Dict(space), spaces.MultiDiscrete(np.full((H, W), 4)))


def test_living_are_those_alive_and_else_those_who_act():
    obs = {
        "agent_mask": torch.tensor([[True, False, False]]),
        "alive": torch.tensor([[True, True, False]]),
    }
    assert living(obs, slots_team(alive=True)).tolist() == [[True, True, False]]
    assert living(obs, slots_team(alive=False)).tolist() == [[True, False, False]]


def test_on_a_grid_without_alive_those_live_whose_cell_acts():
    agent_mask = torch.zeros(2, H, W, dtype=torch.bool)
    agent_mask[0, 1, 2] = agent_mask[1, 0, 0] = True
    cells = torch.tensor([[5, 6, -1], [-1, 3, 0]])
    obs = {"agent_mask": agent_mask, "agent_cells": cells}
    assert living(obs, grid_team(alive=False)).tolist() == [
        [False, True, False],
        [False, False, True],
    ]


def test_members_know_their_cells():
    cells = torch.tensor([[5, 6, -1], [-1, 3, 0]])
    there = torch.tensor([[True, False, True], [False, False, True]])
    members = Members.of(there, {"agent_cells": cells}, grid_team())
    assert [x.tolist() for x in members] == [[0, 0, 1], [0, 2, 2], [5, -1, 0]]
    assert [x.tolist() for x in members.at(torch.tensor([2, 2]))] == [[1, 1], [2, 2], [0, 0]]


def test_owners_of_cells():
    obs = {"agent_cells": torch.tensor([[5, 6, -1], [-1, 3, 0]])}
    row, place = torch.tensor([0, 1, 1]), torch.tensor([6, 0, 3])
    assert slots_of_cells(obs, grid_team(), row, place).tolist() == [1, 2, 1]
    assert slots_of_cells({}, grid_team(False, False), row, place).tolist() == [-1, -1, -1]


def test_cells_that_contradict_are_refused_by_name():
    row, place = torch.tensor([1]), torch.tensor([6])
    crowded = {"agent_cells": torch.tensor([[1, 2, 3], [6, 0, 6]])}
    with pytest.raises(MaskError, match=r"row 1, cell \(1, 2\): two agents are in it"):
        slots_of_cells(crowded, grid_team(), row, place)
    empty = {"agent_cells": torch.tensor([[6, 2, 3], [5, 0, -1]])}
    with pytest.raises(MaskError, match=r"row 1, cell \(1, 2\): an agent acts there, and none"):
        slots_of_cells(empty, grid_team(), row, place)
    with pytest.raises(NoMaskError, match="no entry 'agent_cells'"):
        slots_of_cells({}, grid_team(), row, place)


def test_who_has_no_identity_cannot_be_asked_for():
    obs = {"agent_mask": torch.ones(1, H, W, dtype=torch.bool)}
    with pytest.raises(ConfigError, match="no identity"):
        living(obs, grid_team(False, False))


def test_masks_are_checked():
    with pytest.raises(NoMaskError, match="no entry 'alive'"):
        mask_of({}, "alive", (3,))
    with pytest.raises(MaskDtypeError, match="alive has dtype"):
        mask_of({"alive": torch.ones(2, 3)}, "alive", (3,))
    with pytest.raises(MaskShapeError, match="alive"):
        mask_of({"alive": torch.ones(2, 4, dtype=torch.bool)}, "alive", (3,))
    with pytest.raises(MaskShapeError, match=r"alive has shape \(3,\)"):
        mask_of({"alive": torch.ones(3, dtype=torch.bool)}, "alive", (3,))


@pytest.mark.parametrize("count", range(1, 14))
def test_rows_come_in_fours_and_repeat_the_last(count):
    rows = in_fours(count, torch.device("cpu"))
    if count % 4 == 0:
        assert rows is None
        return
    assert len(rows) % 4 == 0 and 0 < len(rows) - count < 4
    assert rows.tolist() == [*range(count), *[count - 1] * (len(rows) - count)]
    more = in_fours(count, torch.device("cpu"), least=16)
    assert more.tolist() == [*range(count), *[count - 1] * (16 - count)]

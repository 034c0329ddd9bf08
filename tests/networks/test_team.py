"""What the networks of all sources promise alike: rows for whom is asked, and their widths."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.team import TeamNetwork
from maskrl.networks.team_grid import GridTeam
from maskrl.networks.team_members import Members
from maskrl.networks.team_own import OwnTeam
from maskrl.networks.team_scene import SceneTeam

BATCH, AGENTS = 3, 4


def scene():
    space = spaces.Dict(
        {
            "entities": spaces.Box(-1, 1, (6, 2), np.float32),
            "entity_mask": mask_space(6),
            "visibility": mask_space(6, 6),
            "agent_mask": mask_space(AGENTS),
        }
    )
    obs = {
        "entities": torch.randn(BATCH, 6, 2),
        "entity_mask": torch.ones(BATCH, 6, dtype=torch.bool),
        "visibility": torch.rand(BATCH, 6, 6) < 0.5,
    }
    return SceneTeam(space, NetworkConfig(hidden=(8,)), agents=AGENTS), obs


def own():
    space = spaces.Dict(
        {"x": spaces.Box(-1, 1, (AGENTS, 3), np.float32), "agent_mask": mask_space(AGENTS)}
    )
    return OwnTeam(space, NetworkConfig(hidden=(8,))), {"x": torch.randn(BATCH, AGENTS, 3)}


def grid():
    space = spaces.Dict(
        {"grid": spaces.Box(0, 1, (2, 3, 3), np.float32), "agent_mask": mask_space(3, 3)}
    )
    return GridTeam(space, NetworkConfig(hidden=(8,))), {"grid": torch.rand(BATCH, 2, 3, 3)}


@pytest.mark.parametrize("make", [scene, own, grid])
def test_rows_do_not_depend_on_who_else_is_asked_for(make):
    torch.manual_seed(0)
    network, obs = make()
    assert isinstance(network, TeamNetwork)
    assert set(network.reads) <= set(obs)
    row = torch.arange(BATCH).repeat_interleave(AGENTS)
    slot = torch.arange(AGENTS).repeat(BATCH)
    everybody = Members(row, slot, slot)
    rows = network.of_agents(network.read(obs), everybody)
    assert rows.shape == (BATCH * AGENTS, network.agent_features)
    some = torch.tensor([1, 4, 5, 10])
    few = network.of_agents(network.read(obs), everybody.at(some))
    torch.testing.assert_close(few, rows[some], atol=1e-6, rtol=1e-6)
    if network.team_features:
        assert network.of_team(network.read(obs)).shape == (BATCH, network.team_features)

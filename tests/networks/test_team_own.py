"""Agents with observations of their own: one encoder for all, and nothing of other rows."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.team_members import Members
from maskrl.networks.team_own import OwnTeam, space_of_one

AGENTS = 4


def space(**more):
    return spaces.Dict(
        {
            "observation": spaces.Box(-1, 1, (AGENTS, 5), np.float32),
            "picture": spaces.Box(0, 255, (AGENTS, 12, 12, 3), np.uint8),
            "speed": spaces.Box(np.array([0, 1, -2, 0.0]), 1, (AGENTS,), np.float64),
            "agent_mask": mask_space(AGENTS),
            **more,
        }
    )


def observations(batch):
    g = torch.Generator().manual_seed(0)
    return {
        "observation": torch.randn(batch, AGENTS, 5, generator=g),
        "picture": torch.randint(
            0, 255, (batch, AGENTS, 12, 12, 3), dtype=torch.uint8, generator=g
        ),
        "speed": torch.rand(batch, AGENTS, generator=g),
    }


def test_the_space_of_one_agent():
    one = space_of_one(space())
    assert list(one.spaces) == ["observation", "picture", "speed"]
    assert one["observation"] == spaces.Box(-1, 1, (5,), np.float32)
    assert one["picture"].shape == (12, 12, 3) and one["picture"].dtype == np.uint8
    assert one["speed"].shape == () and float(one["speed"].low) == -2
    with pytest.raises(ConfigError, match=r"'map': expected a Box \[4, \.\.\.\]"):
        space_of_one(space(map=spaces.Box(0, 1, (3, 3), np.float32)))


def test_every_agent_goes_through_the_same_encoder():
    torch.manual_seed(0)
    made = OwnTeam(space(), NetworkConfig(hidden=(8,)))
    obs = observations(3)
    row, slot = torch.tensor([0, 0, 2]), torch.tensor([3, 1, 2])
    rows = made.of_agents(made.read(obs), Members(row, slot, slot))
    assert rows.shape == (3, made.agent_features)
    for i in range(3):
        one = {key: x[row[i], slot[i]].unsqueeze(0) for key, x in obs.items()}
        torch.testing.assert_close(rows[i : i + 1], made.encoder(one))


def test_rows_of_others_are_not_read():
    torch.manual_seed(0)
    made = OwnTeam(space(), NetworkConfig(hidden=(8,)))
    obs = observations(3)
    members = Members(*(torch.tensor([1, 2]),) * 3)
    before = made.of_agents(made.read(obs), members)
    keep = torch.zeros(3, AGENTS, dtype=torch.bool)
    keep[[1, 2], [1, 2]] = True
    spoiled = {
        **obs,
        "observation": torch.where(keep.unsqueeze(-1), obs["observation"], torch.nan),
        "speed": torch.where(keep, obs["speed"], torch.nan),
    }
    after = made.of_agents(made.read(spoiled), members)
    assert torch.equal(before, after)
    after.sum().backward()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_nobody_has_no_rows():
    made = OwnTeam(space(), NetworkConfig())
    none = torch.zeros(0, dtype=torch.int64)
    rows = made.of_agents(made.read(observations(2)), Members(none, none, none))
    assert rows.shape == (0, made.agent_features)
    rows.sum().backward()

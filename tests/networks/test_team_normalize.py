"""Statistics of teams: of those who are there and what they see, and of nothing else."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError
from maskrl.networks.team_normalize import TeamNormalizer, seen_by_team

AGENTS, ENTITIES = 3, 5


def scene_space():
    return spaces.Dict(
        {
            "entities": spaces.Box(-9, 9, (ENTITIES, 2), np.float32),
            "positions": spaces.Box(0, 9, (ENTITIES, 2), np.int64),
            "entity_mask": mask_space(ENTITIES),
            "visibility": mask_space(ENTITIES, ENTITIES),
            "agent_mask": mask_space(AGENTS),
            "alive": mask_space(AGENTS),
        }
    )


def normalizer(space, actions=None):
    actions = spaces.MultiDiscrete([4] * AGENTS) if actions is None else actions
    return TeamNormalizer(space, describe_team(space, actions))


def scene_obs():
    visibility = torch.zeros(1, ENTITIES, ENTITIES, dtype=torch.bool)
    visibility[0, 0, 3] = True  # agent 0 sees entity 3
    visibility[0, 1, 4] = True  # agent 1, who is dead, sees entity 4
    return {
        "entities": torch.tensor([[[1.0, 2.0], [5.0, 5.0], [3.0, 8.0], [8.0, 5.0], [9.0, 9.0]]]),
        "positions": torch.zeros(1, ENTITIES, 2, dtype=torch.int64),
        "entity_mask": torch.tensor([[True, False, True, True, True]]),
        "visibility": visibility,
        "agent_mask": torch.tensor([[True, False, False]]),
        "alive": torch.tensor([[True, False, True]]),
    }


def test_entities_that_a_living_agent_sees_are_samples():
    made = normalizer(scene_space())
    obs = scene_obs()
    assert seen_by_team(obs, made.team).tolist() == [[True, False, True, True, False]]
    assert made.keys == ["entities"], "positions are cells"
    obs["entities"][0, [1, 4]] = torch.nan
    made.update(obs)
    moments = made.normalizers[0].moments
    assert moments.count == 3
    assert moments.mean.tolist() == [4.0, 5.0]  # of (1, 3, 8) and (2, 8, 5)
    torch.testing.assert_close(moments.variance, torch.tensor([26 / 3, 6.0]).double())


def test_without_visibility_all_that_is_there_is_a_sample():
    space = scene_space()
    del space.spaces["visibility"]
    obs = scene_obs()
    del obs["visibility"]
    made = normalizer(space)
    made.update(obs)
    assert made.normalizers[0].moments.count == 4


def test_own_observations_of_living_agents_are_samples():
    space = spaces.Dict(
        {
            "x": spaces.Box(-1, 1, (AGENTS, 2), np.float32),
            "picture": spaces.Box(0, 255, (AGENTS, 4, 4, 3), np.uint8),
            "agent_mask": mask_space(AGENTS),
        }
    )
    made = normalizer(space)
    assert made.keys == ["x"]
    x = torch.full((2, AGENTS, 2), torch.nan)
    x[0, 1], x[1, 2] = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])
    agent_mask = ~x.isnan().any(-1)
    made.update({"x": x, "agent_mask": agent_mask})
    assert made.normalizers[0].moments.count == 2
    assert made.normalizers[0].moments.mean.tolist() == [2.0, 4.0]
    out = made({"x": x, "agent_mask": agent_mask})["x"]
    torch.testing.assert_close(out[agent_mask], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    made.update({"x": x, "agent_mask": torch.zeros_like(agent_mask)})
    assert made.normalizers[0].moments.count == 2, "nobody changes nothing"


def test_planes_of_a_grid_have_statistics_each_whatever_its_size():
    space = spaces.Dict(
        {"grid": spaces.Box(-9, 9, (2, 3, 4), np.float32), "agent_mask": mask_space(3, 4)}
    )
    made = normalizer(space, spaces.MultiDiscrete(np.full((3, 4), 4)))
    grid = torch.stack([torch.arange(12.0).view(3, 4), torch.ones(3, 4)]).unsqueeze(0)
    made.update({"grid": grid})
    moments = made.normalizers[0].moments
    assert moments.count == 12 and moments.mean.flatten().tolist() == [5.5, 1.0]
    out = made({"grid": torch.zeros(1, 2, 7, 7)})["grid"]
    assert out.shape == (1, 2, 7, 7)


def test_nothing_to_normalise_is_refused():
    space = spaces.Dict(
        {"grid": spaces.Box(0, 255, (2, 3, 4), np.uint8), "agent_mask": mask_space(3, 4)}
    )
    with pytest.raises(ConfigError, match="no real-valued entry"):
        normalizer(space, spaces.MultiDiscrete(np.full((3, 4), 4)))

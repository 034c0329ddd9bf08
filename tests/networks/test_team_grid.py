"""A team on a grid: an agent reads its cell and the whole, on a grid of any size."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.team_grid import GridTeam, require_grid
from maskrl.networks.team_members import Members


def space(height=5, width=7, dtype=np.float32, high=1, **more):
    return spaces.Dict(
        {
            "grid": spaces.Box(0, high, (3, height, width), dtype),
            "agent_mask": mask_space(height, width),
            **more,
        }
    )


def members(row, cell):
    row, cell = torch.tensor(row), torch.tensor(cell)
    return Members(row, torch.arange(len(row)), cell)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (2, 9), (16, 16)])
def test_an_agent_reads_its_cell_beside_the_whole(size):
    torch.manual_seed(0)
    made = GridTeam(space(*size), NetworkConfig(hidden=(8,), channels=(4, 6)))
    grid = torch.rand(2, 3, *size)
    last = size[0] * size[1] - 1
    rows = made.of_agents(made.read({"grid": grid}), members([0, 1, 1], [last, 0, -1]))
    features = made.body(grid)
    joined = torch.stack(
        [
            torch.cat([features.cells[0, :, -1, -1], features.whole[0]]),
            torch.cat([features.cells[1, :, 0, 0], features.whole[1]]),
            torch.cat([torch.zeros(4), features.whole[1]]),
        ]
    )
    torch.testing.assert_close(rows, made.of_cells(joined))
    torch.testing.assert_close(made.of_team(features), made.of_whole(features.whole))


def test_a_network_of_the_team_alone_has_no_decoder_and_uses_every_weight():
    made = GridTeam(space(), NetworkConfig(), cells=False)
    assert made.agent_features == 0 and not made.body.up
    made.of_team(made.read({"grid": torch.rand(2, 3, 5, 7)})).sum().backward()
    assert all(p.grad is not None for p in made.parameters())


@pytest.mark.parametrize(
    ("dtype", "high", "scale"), [(np.uint8, 255, 255), (np.uint8, 1, 1), (np.bool_, 1, 1)]
)
def test_bytes_are_scaled_by_their_range_and_flags_are_not(dtype, high, scale):
    torch.manual_seed(0)
    made = GridTeam(space(dtype=dtype, high=high), NetworkConfig(hidden=()))
    kind = torch.bool if dtype is np.bool_ else torch.uint8
    planes = torch.randint(0, high + 1, (2, 3, 5, 7)).to(kind)
    before = planes.clone()
    whole = made.read({"grid": planes}).whole
    plain = GridTeam(space(), NetworkConfig(hidden=()))
    plain.load_state_dict(made.state_dict())
    torch.testing.assert_close(whole, plain.read({"grid": planes / scale}).whole)
    assert torch.equal(planes, before), "the caller's planes are as they were"


def test_visibility_and_what_would_be_ignored_are_refused():
    with pytest.raises(ConfigError, match="visibility: .*sees the whole grid"):
        require_grid(space(visibility=mask_space(4, 4)))
    with pytest.raises(ConfigError, match="'time'.*would be ignored"):
        require_grid(space(time=spaces.Box(0, 1, (1,), np.float32)))
    require_grid(space(action_mask=mask_space(4, 5, 7)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel", 5),
        ("kernels", (3, 3)),
        ("padding", "none"),
        ("pool", 2),
        ("image_layout", "channels_last"),
    ],
)
def test_settings_of_pictures_are_refused_and_not_ignored(name, value):
    config = NetworkConfig(channels=(16, 32), **{name: value})
    with pytest.raises(ConfigError, match=rf"network\.{name}=.*would be ignored.*channels"):
        require_grid(space(), config)
    require_grid(space(), NetworkConfig(channels=(8,), hidden=(4,), activation="relu"))

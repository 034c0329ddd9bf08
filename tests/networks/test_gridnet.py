"""The encoder-decoder over grids: any size, and logits of agents equal to those of the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.distributions import GridwiseCategorical
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.networks.gridnet import GridNet


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (16, 5), (33, 9)])
@pytest.mark.parametrize("channels", [(8,), (8, 16), (8, 12, 16)])
def test_grids_of_any_size_keep_it(size, channels):
    torch.manual_seed(0)
    network = GridNet(3, 6, channels=channels)
    features = network(torch.randn(2, 3, *size))
    assert features.cells.shape == (2, 8, *size)
    assert features.whole.shape == (2, network.out_features) == (2, 2 * channels[-1])
    assert network.logits(features.cells).shape == (2, 6, *size)


def test_logits_of_agents_are_those_of_the_map():
    torch.manual_seed(0)
    network = GridNet(4, 6).double()
    features = network(torch.randn(5, 4, 6, 7, dtype=torch.float64))
    agent_mask = torch.rand(5, 6, 7) < 0.2
    agent_mask[2] = False
    packed, offsets = network.logits_at(features.cells, agent_mask)
    everywhere = network.logits(features.cells)
    torch.testing.assert_close(packed, everywhere.movedim(1, -1)[agent_mask])
    assert offsets.tolist() == [0, *agent_mask.sum((1, 2)).cumsum(0).tolist()]
    few = GridwiseCategorical.from_packed(packed, offsets)
    many = GridwiseCategorical(everywhere, agent_mask)
    torch.testing.assert_close(few.entropy(), many.entropy())
    one, two = (
        torch.autograd.grad(d.entropy().sum(), network.parameters(), retain_graph=True,
                            allow_unused=True)
        for d in (few, many)
    )  # fmt: skip
    for a, b in zip(one, two, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (8, 8), (33, 9)])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_features_lie_cell_by_cell_and_are_those_of_any_other_order(size, batch):
    """Against the same layers on planes after planes: equal values, equal gradients."""
    torch.manual_seed(0)
    network = GridNet(3, 5, channels=(4, 6, 8)).double()
    grid = torch.randn(batch, 3, *size, dtype=torch.float64, requires_grad=True)

    def plane_by_plane():
        x, seen = grid, []
        for layer in network.down:
            x = torch.relu(layer(x.contiguous()))
            seen.append(x)
        whole = torch.cat([x.mean((2, 3)), x.amax((2, 3))], -1)
        for layer, beside in zip(network.up, reversed(seen[:-1]), strict=True):
            wide = torch.nn.functional.interpolate(x, size=beside.shape[2:])
            x = torch.relu(layer(torch.cat([wide, beside], 1).contiguous()))
        return x, whole

    features = network(grid)
    assert not batch or features.cells.is_contiguous(memory_format=torch.channels_last)
    asked = [grid, *(p for name, p in network.named_parameters() if "head" not in name)]
    results = []
    for cells, whole in (features, plane_by_plane()):
        loss = cells.sin().sum() + whole.sin().sum()
        results.append([cells, whole, *torch.autograd.grad(loss, asked)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for parameter, gradient in zip(asked[1:], results[0][3:], strict=True):
        assert parameter.is_contiguous() and gradient.shape == parameter.shape


def test_a_cell_knows_far_away_and_the_critic_all():
    """One changed cell reaches a cell beyond the reach of the first level, and the summary."""
    torch.manual_seed(0)
    network = GridNet(1, 2, channels=(8, 16, 16))
    grid = torch.randn(1, 1, 16, 16)
    moved = grid.clone()
    moved[0, 0, 0, 0] += 5.0
    before, after = network(grid), network(moved)
    assert not torch.equal(before.cells[0, :, 7, 7], after.cells[0, :, 7, 7])
    assert not torch.equal(before.whole, after.whole)


def test_bytes_become_shares():
    torch.manual_seed(0)
    network = GridNet(2, 3, dtype=np.uint8)
    grid = torch.randint(0, 256, (1, 2, 4, 4), dtype=torch.uint8)
    plain = GridNet(2, 3)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(grid).cells, plain(grid / 255.0).cells)


def test_no_agent_anywhere_is_no_logit():
    network = GridNet(2, 3)
    nobody = torch.zeros(2, 4, 4, dtype=torch.bool)
    packed, offsets = network.logits_at(network(torch.zeros(2, 2, 4, 4)).cells, nobody)
    assert packed.shape == (0, 3)
    assert offsets.tolist() == [0, 0, 0]


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match=r"channels is \(\)"):
        GridNet(2, 3, channels=())
    with pytest.raises(ConfigError, match=r"planes is 0"):
        GridNet(0, 3)
    network = GridNet(2, 3)
    with pytest.raises(MaskShapeError, match=r"grid has shape \(1, 3, 4, 4\); expected \[B, 2"):
        network(torch.zeros(1, 3, 4, 4))
    cells = network(torch.zeros(1, 2, 4, 4)).cells
    with pytest.raises(MaskDtypeError, match="agent_mask"):
        network.logits_at(cells, torch.zeros(1, 4, 4))
    with pytest.raises(MaskShapeError, match="agent_mask"):
        network.logits_at(cells, torch.zeros(1, 4, 5, dtype=torch.bool))


def test_a_network_that_ends_in_features_gives_no_logits():
    network = GridNet(3, None, channels=(4, 6))
    features = network(torch.rand(2, 3, 5, 4))
    assert features.cells.shape == (2, 4, 5, 4) and features.whole.shape == (2, 12)
    with pytest.raises(ConfigError, match="ends in features; build it with n_logits"):
        network.logits(features.cells)


def test_without_a_decoder_the_summary_is_the_same():
    whole = GridNet(3, None, channels=(4, 6, 8))
    summary = GridNet(3, None, channels=(4, 6, 8), decoder=False)
    shared = {k: v for k, v in whole.state_dict().items() if not k.startswith("up.")}
    summary.load_state_dict(shared)
    grid = torch.rand(2, 3, 9, 7)
    assert torch.equal(summary(grid).whole, whole(grid).whole)


def test_bytes_that_are_flags_are_taken_as_they_are():
    network = GridNet(2, 3, dtype=np.uint8, largest=1)
    grid = torch.randint(0, 2, (1, 2, 4, 4), dtype=torch.uint8)
    assert torch.equal(network(grid).cells, network(grid.float()).cells)

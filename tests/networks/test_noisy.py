"""Layers with noise of a learned size."""

from __future__ import annotations

import copy

import pytest
import torch

from maskrl.networks.noisy import SCALE, NoisyLinear
from maskrl.networks.q_head import QHead


def test_at_rest_it_is_its_mean():
    torch.manual_seed(0)
    layer = NoisyLinear(4, 3, 1.0)
    assert layer.weight is layer.mean.weight and layer.bias is layer.mean.bias
    layer.draw()
    assert not torch.equal(layer.weight, layer.mean.weight)
    layer.rest()
    assert layer.weight is layer.mean.weight


def test_noise_is_factorised_and_follows_its_generator():
    layer = NoisyLinear(5, 3, 1.0)
    draws = []
    for seed in (1, 1, 2):
        layer.draw(torch.Generator().manual_seed(seed))
        draws.append((layer.weight.detach().clone(), layer.bias.detach().clone()))
    assert torch.equal(draws[0][0], draws[1][0]) and not torch.equal(draws[0][0], draws[2][0])
    shaken, size = draws[0][0] - layer.mean.weight, SCALE / 5**0.5
    assert torch.linalg.matrix_rank(shaken) == 1
    out = (draws[0][1] - layer.mean.bias) / size  # f(noise of the outputs)
    into = shaken[0] / (size * out[0])
    torch.testing.assert_close(shaken, size * torch.outer(out, into))
    flat = torch.randn(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(out, (flat.sign() * flat.abs().sqrt())[:3])


def test_the_size_of_the_noise_is_learned():
    layer = NoisyLinear(4, 2, 1.0)
    layer.draw(torch.Generator().manual_seed(0))
    (layer.weight.sum() + layer.bias.sum()).backward()
    out, into = layer._noise
    torch.testing.assert_close(layer.weight_scale.grad, torch.outer(out, into))
    torch.testing.assert_close(layer.bias_scale.grad, out)
    assert torch.equal(layer.mean.weight.grad, torch.ones(2, 4))


@pytest.mark.parametrize("returns", ["mean", "categorical", "quantile"])
def test_noisy_heads(returns):
    torch.manual_seed(0)
    head = QHead(6, 4, returns=returns, atoms=5, noisy=True)
    x, mask = torch.randn(3, 6), torch.ones(3, 4, dtype=torch.bool)
    still = head(x, mask)
    head.draw_noise(torch.Generator().manual_seed(1))
    shaken = head(x, mask)
    assert shaken.shape == still.shape and not torch.allclose(shaken, still)
    other = copy.deepcopy(head)
    head.rest()
    assert torch.equal(head(x, mask), still)
    other.rest()
    assert torch.equal(other(x, mask), still)
    plain = QHead(6, 4, returns=returns, atoms=5)
    before = plain(x, mask)
    plain.draw_noise()
    assert torch.equal(plain(x, mask), before)

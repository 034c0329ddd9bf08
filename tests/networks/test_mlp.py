"""Fully connected layers: shapes, orthogonality, messages."""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.mlp import (
    ACTIVATIONS,
    MLP,
    find_activation,
    linear_alike,
    orthogonal_linear,
)


def test_weights_are_orthogonal_with_the_gain():
    layer = orthogonal_linear(8, 4, gain=3.0)
    torch.testing.assert_close(layer.weight @ layer.weight.T, 9.0 * torch.eye(4))
    assert layer.bias.tolist() == [0.0] * 4


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_layers_are_what_they_say(activation):
    mlp = MLP(3, (5, 2), activation=activation)
    x = torch.randn(7, 3)
    first, second = mlp.layers
    act = ACTIVATIONS[activation]
    torch.testing.assert_close(mlp(x), act(second(act(first(x)))))
    assert mlp.out_features == 2


def test_no_layers_pass_the_input_on():
    mlp = MLP(3, ())
    x = torch.randn(2, 3)
    assert mlp(x) is x
    assert mlp.out_features == 3


def test_leading_dimensions_are_free():
    assert MLP(3, (4,))(torch.zeros(5, 6, 3)).shape == (5, 6, 4)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(), (33,), (6, 5), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alike_rows_have_alike_bits_wherever_they_stand(activation, hidden, dtype):
    torch.manual_seed(0)
    mlp = MLP(17, hidden, activation=activation).to(dtype)
    head = orthogonal_linear(mlp.out_features, 5).to(dtype)
    row, found = torch.randn(17, dtype=dtype), set()
    for number in (4, 8, 12, 20, 36):
        x = torch.randn(number, 17, dtype=dtype)
        for place in range(number):
            x[place] = row
            features = mlp.alike(x)
            torch.testing.assert_close(features, mlp(x))
            torch.testing.assert_close(linear_alike(features, head), head(features))
            found.add(tuple(linear_alike(features, head)[place].tolist()))
    assert len(found) == 1


def test_gradients_of_alike_rows_are_those_of_the_layers():
    mlp = MLP(3, (6, 5)).double()
    x = torch.randn(8, 3, dtype=torch.float64)
    first = torch.autograd.grad(mlp.alike(x).square().sum(), list(mlp.parameters()))
    second = torch.autograd.grad(mlp(x).square().sum(), list(mlp.parameters()))
    torch.testing.assert_close(first, second)


def test_unknown_activation_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"tanh, relu, gelu, silu, got 'sine'"):
        find_activation("sine")

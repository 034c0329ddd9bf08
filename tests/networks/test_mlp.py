"""Fully connected layers: shapes, orthogonality, messages."""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.mlp import ACTIVATIONS, MLP, find_activation, orthogonal_linear


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


def test_unknown_activation_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"tanh, relu, gelu, silu, got 'sine'"):
        find_activation("sine")

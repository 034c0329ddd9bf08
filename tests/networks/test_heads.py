"""The heads: shapes and the scale they start at."""

from __future__ import annotations

import torch

from maskrl.networks.heads import PolicyHead, ValueHead


def test_first_policy_is_near_uniform():
    probabilities = PolicyHead(64, 6)(torch.randn(100, 64)).softmax(-1)
    assert probabilities.shape == (100, 6)
    assert (probabilities - 1 / 6).abs().max() < 0.02


def test_value_has_no_trailing_dimension():
    head = ValueHead(8)
    assert head(torch.randn(5, 8)).shape == (5,)
    assert head(torch.randn(5, 3, 8)).shape == (5, 3)
    assert torch.isclose(head.linear.weight.norm(), torch.tensor(1.0))

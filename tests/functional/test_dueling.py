"""Dueling values: centred on what is allowed, untouched by the rest."""

from __future__ import annotations

import math

import torch

from maskrl import as_mask
from maskrl.functional.dueling import dueling_values

NAN = math.nan


def test_dueling_centres_on_what_is_allowed():
    value, advantages = torch.tensor([[1.0]]), torch.tensor([[100.0, 2.0, 4.0]])
    mask = as_mask([[0, 1, 1]])
    assert dueling_values(value, advantages, mask)[0, 1:].tolist() == [0.0, 2.0]  # mean is 3
    advantages[0, 0] = NAN
    assert dueling_values(value, advantages, mask)[0, 1:].tolist() == [0.0, 2.0]
    everything = dueling_values(value, torch.tensor([[1.0, 2.0, 3.0]]), None)
    assert everything.tolist() == [[0.0, 1.0, 2.0]]


def test_dueling_with_atoms_and_its_gradient():
    torch.manual_seed(0)
    value = torch.randn(4, 1, 3, dtype=torch.float64, requires_grad=True)
    advantages = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    mask = as_mask([[1, 0, 1, 1, 0]] * 4)
    q = dueling_values(value, advantages, mask, atoms=True)
    allowed = advantages[:, [0, 2, 3]]
    expected = value + allowed - allowed.mean(1, keepdim=True)
    torch.testing.assert_close(q[:, [0, 2, 3]], expected)
    q[:, [0, 2, 3]].square().sum().backward()
    assert advantages.grad[:, [1, 4]].abs().max() == 0

"""The value loss against hand-computed sums."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.objectives.value import explained_variance, value_loss


def test_half_the_mean_squared_error():
    # (1 - 3)^2 = 4, (2 - 2)^2 = 0: half the mean is 1
    assert value_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item() == 1.0


def test_clipping_takes_the_worse_error():
    # value 3 moved by 2 from 1, clipped to 1.5: errors (3 - 3)^2 = 0 and (1.5 - 3)^2 = 2.25
    # value 5 moved by 4 from 1, clipped to 1.5: errors (5 - 1)^2 = 16 and (1.5 - 1)^2 = .25
    values = torch.tensor([3.0, 5.0], requires_grad=True)
    loss = value_loss(
        values, torch.tensor([3.0, 1.0]), old_values=torch.tensor([1.0, 1.0]), clip=0.5
    )
    assert loss.item() == pytest.approx(0.5 * (2.25 + 16) / 2)
    loss.backward()
    assert values.grad[0] == 0  # it went as far as is rewarded
    assert values.grad[1] > 0


def test_steps_that_do_not_count_are_left_out():
    values = torch.tensor([1.0, float("nan")], requires_grad=True)
    loss = value_loss(values, torch.tensor([3.0, 0.0]), valid=torch.tensor([True, False]))
    loss.backward()
    assert loss.item() == 2.0
    assert values.grad.tolist() == [-2.0, 0.0]


def test_clip_needs_old_values():
    with pytest.raises(ConfigError, match="old_values"):
        value_loss(torch.zeros(1), torch.zeros(1), clip=0.2)


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.full((3,), 2.0), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) < 0
    assert math.isnan(explained_variance(returns, torch.ones(3)))

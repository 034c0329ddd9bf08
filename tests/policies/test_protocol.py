"""What counts as a policy, and how its distribution and value are asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError
from maskrl.policies.protocol import Policy, distribution_and_value, require_policy


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def distribution(self, obs):
        return MaskedCategorical(self.layer(obs["x"]), obs["action_mask"])

    def value(self, obs):
        return obs["x"].sum(-1)


class OnePass(Own):
    one_pass = True

    def forward(self, obs):
        return "distribution", "value"


def test_two_methods_make_a_policy():
    policy = Own()
    assert isinstance(policy, Policy)
    assert require_policy(policy) is policy


def test_both_are_asked_for_one_by_one_or_in_one_pass():
    obs = {"x": torch.ones(4, 2), "action_mask": torch.ones(4, 3, dtype=torch.bool)}
    distribution, value = distribution_and_value(Own(), obs)
    assert distribution.probs.shape == (4, 3)
    assert value.tolist() == [2.0] * 4
    assert distribution_and_value(OnePass(), obs) == ("distribution", "value")


class NoValue(nn.Module):
    def distribution(self, obs):
        return None


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("a string", "torch.nn.Module, got str"),
        (nn.Linear(2, 2), r"Linear has no method distribution\(obs\)"),
        (NoValue(), r"NoValue has no method value\(obs\)"),
    ],
)
def test_what_is_missing_is_named(policy, message):
    with pytest.raises(ConfigError, match=message):
        require_policy(policy)

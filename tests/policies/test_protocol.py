"""What counts as a policy, and how its distribution and value are asked for."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from maskrl.distributions import (
    ConditionalCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.protocol import (
    Policy,
    distribution_and_value,
    require_answer,
    require_policy,
)


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


MASK = torch.tensor([[True, True, False]]).expand(4, 3)
OBS = {"x": torch.ones(4, 2), "action_mask": MASK}


def test_a_good_answer_is_taken(caplog):
    require_answer(Own(), *distribution_and_value(Own(), OBS), OBS)
    fewer = MaskedCategorical(torch.zeros(4, 3), torch.tensor([True, False, False]))
    require_answer(Own(), fewer, torch.zeros(4), OBS)
    unmasked = MaskedCategorical(torch.zeros(4, 3))
    require_answer(Own(), unmasked, torch.zeros(4), {"x": OBS["x"]})
    idle = torch.zeros(4, 3, dtype=torch.bool)
    nothing = MaskedCategorical(torch.zeros(4, 3), idle, empty="idle")
    require_answer(Own(), nothing, torch.zeros(4), OBS | {"action_mask": idle})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("distribution", "value", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4), "returned a Tensor, expected a maskrl.MaskedCat"),
        (
            torch.distributions.Categorical(logits=torch.zeros(4, 3)),
            torch.zeros(4),
            "returned a Categorical",
        ),
        (MaskedCategorical(torch.zeros(3)), torch.zeros(4), r"batch shape \(\), expected \(4,\)"),
        (MaskedCategorical(torch.zeros(4, 5)), torch.zeros(4), "between 5 actions.* is about 3"),
        (MaskedCategorical(torch.zeros(4, 3), MASK), torch.zeros(4, 1), r"\(4, 1\).*squeeze"),
        (MaskedCategorical(torch.zeros(4, 3), MASK), 0.0, r"gave float, expected .*\(4,\)"),
    ],
)
def test_an_answer_of_another_form_is_refused(distribution, value, message):
    with pytest.raises(ConfigError, match=message):
        require_answer(Own(), distribution, value, OBS)


def test_distributions_of_several_heads_are_taken(caplog):
    value = torch.zeros(4)
    several = MaskedMultiCategorical(torch.zeros(4, 5), [2, 3])
    obs = {"x": OBS["x"], "action_mask": torch.ones(4, 5, dtype=torch.bool)}
    require_answer(Own(), several, value, obs, (2,))
    pairs = torch.ones(4, 3, 2, dtype=torch.bool)
    pairs[1, 1, 0] = False
    bits = MaskedBernoulli(torch.zeros(4, 3), pairs)
    for mask in (pairs, pairs.flatten(1)):
        require_answer(Own(), bits, value, {"x": OBS["x"], "action_mask": mask}, (3,))
    tree = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))
    table = torch.ones(4, 2, 3, dtype=torch.bool)
    choice = ConditionalCategorical(
        tree, torch.zeros(4, 5), obs["action_mask"], head_masks={"target": table}
    )
    require_answer(Own(), choice, value, {**obs, "action_mask:target": table}, (2,))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("distribution", "event", "message"),
    [
        (MaskedCategorical(torch.zeros(4, 3)), (2,), r"shape \(\), .* \(2,\): a choice for every"),
        (
            MaskedMultiCategorical(torch.zeros(4, 3), [1, 2]),
            (),
            r"MaskedMultiCategorical of the event shape \(2,\), .* have \(\): one number",
        ),
        (
            torch.distributions.Bernoulli(logits=torch.zeros(4, 3)),
            (3,),
            "returned a Bernoulli, expected a distribution of maskrl.distributions .* 3 heads",
        ),
    ],
)
def test_actions_of_another_shape_are_refused(distribution, event, message):
    with pytest.raises(ConfigError, match=message):
        require_answer(Own(), distribution, torch.zeros(4), OBS, event)


def test_a_forgotten_mask_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "maskrl"):
        require_answer(Own(), MaskedCategorical(torch.zeros(4, 3)), torch.zeros(4), OBS)
    assert "allows action 2 in row 0" in caplog.text

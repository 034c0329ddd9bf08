"""`AllowedActions`: a support that knows the mask and says so."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.distributions import constraints

from maskrl.distributions import AllowedActions
from maskrl.distributions.constraints import AllowedFactors

MASK = torch.tensor([[True, False, True], [False, False, False]])


def test_it_is_a_discrete_constraint():
    support = AllowedActions(3, MASK)
    assert isinstance(support, constraints.Constraint)
    assert support.is_discrete
    assert support.event_dim == 0


def test_every_action_of_every_row():
    actions = torch.arange(-1, 4).unsqueeze(-1).expand(5, 2)
    allowed = [[False, False], [True, False], [False, False], [True, False], [False, False]]
    assert AllowedActions(3, MASK).check(actions).tolist() == allowed
    allowed[2][1] = True
    assert AllowedActions(3, MASK, idle_action=1).check(actions).tolist() == allowed


def test_without_a_mask_it_is_an_interval():
    support = AllowedActions(3, None)
    assert support.check(torch.arange(-1, 4)).tolist() == [False, True, True, True, False]


def test_fractions_are_outside():
    values = torch.tensor([[0.0, 0.0], [0.5, 0.5], [float("nan")] * 2])
    expected = [[True, False], [False, False], [False, False]]
    assert AllowedActions(3, MASK).check(values).tolist() == expected


def test_a_value_broadcasts_to_the_rows():
    assert AllowedActions(3, MASK).check(torch.tensor(2)).tolist() == [True, False]


def test_it_names_its_rule_and_pickles():
    assert repr(AllowedActions(3, None)) == "AllowedActions(all of 0..2)"
    named = AllowedActions(3, MASK, idle_action=1)
    assert repr(named) == "AllowedActions(by action_mask, rows (2,), 0..2, idle_action=1)"
    assert torch.equal(pickle.loads(pickle.dumps(named)).action_mask, MASK)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.uint16, torch.int32, torch.float16]
)
def test_actions_of_any_dtype(dtype):
    assert AllowedActions(3, MASK[0]).check(torch.tensor([0, 1]).to(dtype)).tolist() == [
        True,
        False,
    ]


def test_several_factors_and_no_row():
    factors = AllowedFactors(AllowedActions(3, torch.tensor([[True, False, True], [True] * 3])))
    assert factors.event_dim == 1
    assert factors.check(torch.tensor([[0, 1], [1, 1], [2, 3]])).tolist() == [True, False, False]
    none = AllowedFactors(AllowedActions(3, torch.ones(0, 2, 3, dtype=torch.bool)))
    assert none.check(torch.zeros(4, 0, 2, dtype=torch.int64)).shape == (4, 0)

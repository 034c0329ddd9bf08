"""The support of a conditional action, by hand."""

from __future__ import annotations

import torch

from maskrl.distributions.conditional.allowed import AllowedPaths
from maskrl.distributions.conditional.heads import ConditionalHeads
from maskrl.masks import ActionTree, Head

TREE = ActionTree(Head("a", 2), Head("b", 2, relevant={"a": [1]}))


def support(flat, idle_action=None):
    heads = ConditionalHeads("test", TREE, torch.zeros(4), torch.tensor(flat), None, None)
    return AllowedPaths(heads, idle_action)


def test_every_head_that_counts_must_be_allowed():
    allowed = support([True, True, False, True])
    values = torch.tensor([[0, 0], [0, 9], [1, 0], [1, 1], [1, 2], [2, 1], [-1, 1]])
    assert allowed.check(values).tolist() == [True, True, False, True, False, False, False]
    assert allowed.check(torch.tensor([1.5, 1.0])).item() is False
    assert "AllowedPaths(ActionTree(" in repr(allowed)
    assert allowed.is_discrete
    assert allowed.event_dim == 1


def test_an_idle_head_has_one_value():
    values = torch.tensor([[1, 0], [1, 1]])
    nothing = [True, True, False, False]
    assert support(nothing).check(values).tolist() == [False, False]
    assert support(nothing, idle_action=1).check(values).tolist() == [False, True]

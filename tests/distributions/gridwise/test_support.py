"""The support of joint choices knows who is there and what each may do."""

from __future__ import annotations

import torch

from maskrl.distributions import GridwiseCategorical
from maskrl.masks import ActionTree, Head

HERE = torch.tensor([[True, False, True]])  # a grid of 1 x 3
MASK = torch.tensor([[1, 1, 0], [0, 1, 1]]).bool().unsqueeze(1)  # [A, 1, 3]


def test_agents_may_do_what_they_may_and_elsewhere_anything_may_stand():
    support = GridwiseCategorical(torch.zeros(2, 1, 3), HERE, MASK).support
    events = torch.tensor([[[0, 0, 1]], [[0, 99, 1]], [[1, 0, 1]], [[0, 0, 0]], [[2, 0, 1]]])
    assert support.check(events).tolist() == [True, True, False, False, False]
    assert support.event_dim == 2
    assert support.is_discrete


def test_idle_agents_may_be_idle():
    nothing = MASK.clone()
    nothing[..., 0] = False
    d = GridwiseCategorical(torch.zeros(2, 1, 3), HERE, nothing, empty="idle", idle_action=1)
    assert d.support.check(torch.tensor([[[1, 0, 1]], [[0, 0, 1]]])).tolist() == [True, False]


def test_heads_and_trees():
    here, logits = torch.tensor([True, False]), torch.zeros(2, 4)
    mask = torch.tensor([1, 1, 0, 1]).bool()
    heads = GridwiseCategorical.from_slots(logits, here, mask, nvec=(2, 2)).support
    events = torch.tensor([[[1, 1], [5, 5]], [[0, 0], [0, 0]]])
    assert heads.check(events).tolist() == [True, False]
    tree = ActionTree(Head("type", 2), Head("target", 2, {"type": [1]}))
    support = GridwiseCategorical.from_slots(logits, here, mask, tree=tree).support
    assert support.check(events).tolist() == [True, True]  # type 0 has no target
    assert support.event_dim == 2


def test_packed_agents_are_answered_one_by_one():
    d = GridwiseCategorical.from_packed(
        torch.zeros(3, 2), torch.tensor([0, 1, 3]), MASK[:, 0].T.contiguous()
    )
    assert d.support.check(torch.tensor([[0, 0, 0], [1, 1, 1]])).tolist() == [
        [True, True, False],
        [False, True, True],
    ]
    assert d.support.event_dim == 0


def test_repr_names_the_rule():
    support = GridwiseCategorical(torch.zeros(2, 1, 3), HERE, MASK).support
    assert repr(support).startswith("AllowedEvents(cells (1, 3), AllowedActions(by action_mask")

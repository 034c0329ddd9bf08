"""Which prefixes are told apart, by hand."""

from __future__ import annotations

import pickle

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from maskrl.distributions.conditional.plan import PrefixPlan, align, plan_for, reduce_to, total
from maskrl.masks import ActionTree, Head

CHAIN = ActionTree(
    Head("a", 10),
    Head("b", 10, mask_by="a"),
    Head("c", 10, mask_by="b"),
    Head("d", 10, mask_by="c"),
)
STAR = ActionTree(Head("type", 6), *(Head(f"p{i}", 50, relevant={"type": [i]}) for i in range(6)))
BOTH = ActionTree(
    Head("a", 2),
    Head("b", 3, relevant={"a": [1]}),
    Head("c", 4, relevant={"a": [1], "b": [0, 2]}, logits_by="b"),
)


def test_a_chain_remembers_one_head_at_a_time():
    plan = PrefixPlan(CHAIN)
    assert plan.rows == ((), (0,), (1,), (2,))
    assert plan.kept == [(0,), (1,), (2,), ()]
    assert plan.entries == 100  # and not 10^4


def test_relevance_alone_needs_no_rows_of_its_own():
    plan = PrefixPlan(STAR)
    assert plan.rows == ((),) * 7
    assert plan.deps == ((), *((0,),) * 6)
    assert plan.entries == 51  # one parameter with its state of not counting


def test_functions_ask_for_more():
    plan = PrefixPlan(CHAIN, {3: (0, 1, 2)})
    assert plan.rows[3] == (0, 1, 2)
    assert plan.kept == [(0,), (0, 1), (0, 1, 2), ()]
    assert plan.entries == 10_000


def test_where_a_head_counts():
    plan = PrefixPlan(BOTH)
    assert plan.states == (2, 4, 5)
    assert plan.counts(0, torch.device("cpu")) is None
    assert plan.counts(1, torch.device("cpu")).tolist() == [False, True]
    expected = [[False] * 4, [True, False, True, False]]
    assert plan.counts(2, torch.device("cpu")).tolist() == expected


def test_a_head_that_does_not_count_stands_at_choice_zero():
    choices = PrefixPlan(BOTH).choices((0, 1), torch.Size([3]), torch.device("cpu"))
    assert choices[0].shape == choices[1].shape == (2, 4, 3)
    assert choices[0][:, 0, 0].tolist() == [0, 1]
    assert choices[1][0, :, 2].tolist() == [0, 1, 2, 0]


def test_a_choice_with_its_state_of_not_counting():
    # b counts under a = 1 only; otherwise its last state holds everything.
    table = PrefixPlan(BOTH).with_choice(1, torch.tensor([[0.2, 0.3, 0.5]]), 1.0, 0.0)
    assert table.shape == (2, 4, 1)
    expected = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.2, 0.3, 0.5, 0.0]])
    assert torch.equal(table[..., 0], expected)


def test_aligning_and_reducing():
    table = torch.arange(6.0).reshape(2, 3)
    assert align(table, (0, 2), (0, 1, 2)).shape == (2, 1, 3)
    assert reduce_to(table, (0, 2), (2,), total).tolist() == [3.0, 5.0, 7.0]
    assert reduce_to(table, (0, 2), (0, 2), total) is table


def test_a_plan_is_made_once_for_a_tree_and_not_pickled_with_it():
    tree = ActionTree(*CHAIN.heads)
    assert plan_for(tree, {}) is plan_for(tree, {})
    assert plan_for(tree, {3: (0,)}) is not plan_for(tree, {})
    assert pickle.loads(pickle.dumps(tree)).derived == {}


def test_a_plan_without_values_is_not_kept():
    tree = ActionTree(Head("a", 2), Head("b", 2, relevant={"a": [1]}))
    with FakeTensorMode():
        assert not plan_for(tree, {}).has_values
    plan = plan_for(tree, {})
    assert plan.has_values
    assert plan_for(tree, {}) is plan
    with torch.device("meta"):
        assert plan_for(ActionTree(*tree.heads), {}).counts(1, torch.device("cpu")).sum() == 1

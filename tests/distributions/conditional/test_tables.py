"""Tables over prefixes of a small tree, entry by entry."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.distributions.conditional.heads import ConditionalHeads
from maskrl.distributions.conditional.tables import PrefixTables, take
from maskrl.masks import ActionTree, Head

TREE = ActionTree(
    Head("a", 3),
    Head("b", 2, mask_by="a", relevant={"a": [0, 1]}),
    Head("c", 2, relevant={"b": [1]}),
)
FLAT = torch.tensor([True, True, False, True, True, True, True])
B_BY_A = torch.tensor([[True, True], [False, True], [False, False]])
LOGITS = torch.tensor([0.0, math.log(3), 9.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def tables(logits=LOGITS, b_by_a=B_BY_A, idle_action=0):
    heads = ConditionalHeads("test", TREE, logits, FLAT, {"b": b_by_a}, None)
    return PrefixTables(heads, idle_action=idle_action, look=True)


def test_what_the_masks_reach():
    made = tables()
    assert made.reached[0].item()
    # b counts after a = 0 and 1; a = 2 is disallowed, and b would not count after it
    assert made.reached[1].tolist() == [True, True, False]
    assert made.allowed[1].tolist() == [[True, True], [False, True], [False, False]]
    assert made.reached[2].item()
    assert not any(empty.any() for empty in made.empty)
    # a = 0: b = 0, or b = 1 with two c; a = 1: b = 1 with two c
    assert made.legal_actions().item() == 5


def test_weights_are_the_probabilities_of_prefixes():
    made = tables()
    # p(a) = 1/4, 3/4; p(b = 1 | a) = 1/2, 1
    assert made.weights[1].tolist() == pytest.approx([0.25, 0.75, 0.0])
    assert made.weights[2].item() == pytest.approx(0.25 * 0.5 + 0.75)
    marginals = [[0.25, 0.75, 0.0], [0.125, 0.875], [0.4375, 0.4375]]
    for found, expected in zip(made.marginals(), marginals, strict=True):
        assert found.tolist() == pytest.approx(expected)
    entropy_a = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    expected = [entropy_a, 0.25 * math.log(2), 0.875 * math.log(2)]
    torch.testing.assert_close(
        torch.stack(made.entropies()), torch.tensor(expected, dtype=torch.float64)
    )


def test_the_most_probable_is_not_the_greedy_one():
    # a = 0 (0.4) then b = 0 (0.9) beats a = 1 (0.6) then b = 1 and half of c.
    logits = LOGITS.clone()
    logits[:2] = torch.tensor([0.4, 0.6]).log()
    logits[3:5] = torch.tensor([0.9, 0.1]).log()
    assert tables(logits).most_probable().tolist() == [0, 0, 0]


def test_an_idle_head_is_certain_of_its_choice():
    b_by_a = B_BY_A.clone()
    b_by_a[1] = False
    made = tables(b_by_a=b_by_a, idle_action=1)
    assert [e.tolist() for e in made.empty] == [False, [False, True, False], False]
    assert made.legal_actions().item() == 5
    assert made.weights[2].item() == pytest.approx(0.875)
    # what an idle head does is no decision, and so no choice with a probability
    assert made.marginals()[1].tolist() == pytest.approx([0.125, 0.125])


def test_taking_entries_by_state():
    table = torch.arange(12).reshape(2, 3, 2)  # two heads, a batch of two
    states = [torch.tensor([1, 0]), torch.tensor([2, 1])]
    assert take(table, states, 2).tolist() == [10, 3]

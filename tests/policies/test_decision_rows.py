"""Logits and probabilities of decisions, row by row, against distributions built by hand."""

from __future__ import annotations

import numpy as np
import torch

from maskrl.distributions import (
    ConditionalCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.decision_rows import as_rows, decision_rows


def softmax(x, keep):
    weights = np.where(keep, np.exp(x - x[keep].max()), 0.0)
    return weights / weights.sum()


def test_rows_of_one_head():
    raw = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]])
    keep = torch.tensor([[True, True, False], [True, True, True]])
    distribution = MaskedCategorical(raw, keep)
    logits, probs = decision_rows((3,), distribution, as_rows(raw), keep.numpy(), distribution.mode)
    np.testing.assert_array_equal(logits, raw.numpy())
    for row in range(2):
        expected = softmax(raw[row].numpy(), keep[row].numpy())
        np.testing.assert_allclose(probs[row], expected, atol=1e-6)
    assert probs[0, 2] == 0.0


def test_several_heads_lie_one_after_the_other_and_idle_ones_are_0():
    raw = torch.tensor([[0.0, 1.0, 2.0, 0.0, 1.0]])
    keep = torch.tensor([[False, False, True, True, False]])
    distribution = MaskedMultiCategorical(raw, (2, 3), keep, empty="idle")
    _, probs = decision_rows((2, 3), distribution, as_rows(raw), keep.numpy(), distribution.mode)
    np.testing.assert_allclose(probs[0, :2], 0)
    np.testing.assert_allclose(probs[0, 2:], softmax(np.array([2.0, 0, 1]), keep.numpy()[0, 2:]))


def test_bits_are_pairs():
    raw = torch.tensor([[0.0, 2.0]])
    keep = torch.tensor([[True, True, False, True]])
    distribution = MaskedBernoulli(raw, keep.view(1, 2, 2))
    logits, probs = decision_rows(
        (2, 2), distribution, as_rows(raw), keep.numpy(), distribution.mode, binary=True
    )
    assert logits.tolist() == [[0, 0, 0, 2]] and probs.tolist() == [[0.5, 0.5, 0, 1]]


def test_a_trees_heads_follow_the_path_of_each_row():
    tree = ActionTree(Head("type", 2), Head("way", 2, relevant={"type": (1,)}, logits_by="type"))
    raw = torch.tensor([[5.0, 0.0, 1.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 1.0, 2.0, 0.0]])
    keep = np.ones((2, 4), bool)
    distribution = ConditionalCategorical(tree, raw)
    chosen = torch.tensor([[0, 0], [1, 0]])
    logits, probs = decision_rows(tree, distribution, as_rows(raw), keep, chosen)
    # the table's row of the type that was taken
    assert logits.tolist() == [[5, 0, 1, 1], [0, 5, 2, 0]]
    assert probs[0, 2:].tolist() == [0, 0]  # does not count in the first row
    np.testing.assert_allclose(probs[1, 2:], softmax(np.array([2.0, 0.0]), keep[0, 2:]), atol=1e-6)


def test_no_rows_at_all():
    distribution = MaskedCategorical(torch.zeros(0, 3))
    logits, probs = decision_rows(
        (3,),
        distribution,
        np.zeros((0, 3)),
        np.ones((0, 3), bool),
        torch.zeros(0, dtype=torch.long),
    )
    assert logits.shape == probs.shape == (0, 3)

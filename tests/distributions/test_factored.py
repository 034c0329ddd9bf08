"""What independent factors share: copies, and large samples."""

from __future__ import annotations

import copy

import pytest
import torch

from maskrl.distributions import (
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
    factored,
)


@pytest.mark.parametrize(
    "d",
    [
        MaskedCategorical(
            torch.zeros(2, 3), torch.tensor([[True, False, True], [False, True, True]])
        ),
        MaskedMultiCategorical(
            torch.zeros(2, 5), [2, 3], torch.tensor([True, False, True, True, True])
        ),
        MaskedBernoulli(
            torch.zeros(2, 3), torch.tensor([[True, True], [False, True], [True, True]])
        ),
    ],
    ids=lambda d: type(d).__name__,
)
def test_a_large_sample_is_drawn_in_parts(d, monkeypatch):
    whole = d.sample((500,), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(factored, "DRAWS", 64)
    parts = d.sample((500,), generator=torch.Generator().manual_seed(0))
    assert parts.shape == whole.shape
    assert d.support.check(parts).all()
    assert (parts.double().mean(0) - whole.double().mean(0)).abs().max() < 0.2


def test_allowed_counts_of_every_factor():
    counts = MaskedMultiCategorical(
        torch.zeros(5), [2, 3], torch.tensor([True, False, True, True, True])
    ).allowed_counts()
    assert counts.tolist() == [1, 3]
    bits = MaskedBernoulli(torch.zeros(2), torch.tensor([[True, True], [False, True]]))
    assert bits.allowed_counts().tolist() == [2, 1]
    assert MaskedCategorical(torch.zeros(4)).allowed_counts().item() == 4


def test_a_copy_reaches_the_logits():
    logits = torch.zeros(2, 3, requires_grad=True)
    d = copy.copy(MaskedCategorical(logits).expand((4, 2)))
    d.log_prob(torch.zeros(2)).sum().backward()
    assert (logits.grad[:, 0] > 0).all()

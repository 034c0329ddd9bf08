"""What independent factors share: shapes of actions, and large samples."""

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
from maskrl.distributions.factored import as_actions
from maskrl.errors import MaskDtypeError, MaskShapeError

BATCH, EVENT = torch.Size([3]), torch.Size([2])


def test_actions_broadcast_with_the_batch_and_keep_the_event():
    for shape in [(2,), (3, 2), (5, 3, 2), (1, 2)]:
        actions = as_actions("D", torch.zeros(shape), BATCH, EVENT, validate=True)
        assert actions.dtype == torch.int64
        assert actions.shape == torch.broadcast_shapes(shape, (3, 2))
    same = torch.zeros(3, 2, dtype=torch.int64)
    assert as_actions("D", same, BATCH, EVENT, validate=True) is same


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([0, 1], MaskDtypeError, "value has type list"),
        (torch.tensor([0.5, 1.0]), MaskDtypeError, "holds fractions"),
        (torch.zeros(3, 2, dtype=torch.complex64), MaskDtypeError, "dtype torch.complex64"),
        (torch.zeros(3, 4), MaskShapeError, "expected the last dimension to be 2"),
        (torch.zeros(4, 2), MaskShapeError, r"value has shape \(4, 2\), the batch \(3,\)"),
    ],
)
def test_actions_that_do_not_fit(value, error, message):
    with pytest.raises(error, match=f"^D.*{message}"):
        as_actions("D", value, BATCH, EVENT, validate=True)


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

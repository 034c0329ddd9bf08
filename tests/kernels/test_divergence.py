"""KL of rows of log-probabilities, by hand and where some are -inf; joined heads."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels import set_backend
from maskrl.kernels.dispatch import prepare_rows
from maskrl.kernels.divergence import divergence_between, kl_of_joined, kl_of_rows

NO = -math.inf


def rows(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_by_hand():
    p, q = rows([0.5, 0.5, 0.0], [0.25, 0.75, 0.0]), rows([0.25, 0.75, 0.0], [0.25, 0.25, 0.5])
    expected = [
        0.5 * math.log(2) + 0.5 * math.log(2 / 3),
        0.75 * math.log(3),
    ]
    torch.testing.assert_close(kl_of_rows(p, q), torch.tensor(expected, dtype=torch.float64))


def test_what_only_one_side_allows():
    p, q = rows([0.5, 0.5]), rows([1.0, 0.0])
    assert kl_of_rows(p, q).item() == math.inf
    assert kl_of_rows(q, p).item() == math.log(2)


def test_idle_rows():
    idle, other = torch.full((2,), NO), rows([0.5, 0.5]).float()
    assert kl_of_rows(idle, idle).item() == 0
    assert kl_of_rows(idle, other).item() == math.inf
    assert kl_of_rows(other, idle).item() == math.inf


def test_nothing_infinite_reaches_a_gradient():
    p = rows([0.5, 0.5], [1.0, 0.0]).requires_grad_()
    q = rows([1.0, 0.0], [0.5, 0.5]).requires_grad_()
    kl_of_rows(p, q)[1].backward()
    assert p.grad.isfinite().all()
    assert q.grad.isfinite().all()
    kl_of_rows(p, q).sum().backward()
    assert p.grad.isfinite().all()


def test_nan_stays_nan():
    nan = torch.tensor([math.nan, math.nan])
    assert kl_of_rows(nan, torch.tensor([0.5, 0.5]).log()).isnan()


def test_heads_that_are_joined_are_compared_one_by_one():
    p, q = rows([0.5, 0.5, 1.0, 0.25, 0.75]), rows([0.25, 0.75, 1.0, 0.75, 0.25])
    joined = kl_of_joined(p, q, (2, 1, 2))
    by_hand = [0.5 * math.log(2) + 0.5 * math.log(2 / 3), 0.0, 0.5 * math.log(3)]
    torch.testing.assert_close(joined, torch.tensor([by_hand], dtype=torch.float64))


@pytest.mark.parametrize("backend", ["reference", "fused"])
@pytest.mark.parametrize("sizes", [None, (2, 3)])
def test_rows_of_any_backend(backend, sizes):
    x, y = torch.randn(2, 4, 5, dtype=torch.float64)
    set_backend(backend)
    try:
        p, q = (prepare_rows(z, None, look=True, sizes=sizes) for z in (x, y))
        divergence = divergence_between(p, q, sizes)
    finally:
        set_backend("auto")
    heads = [5] if sizes is None else sizes
    pairs = zip(x.split(heads, -1), y.split(heads, -1), strict=True)
    by_torch = [
        torch.distributions.kl_divergence(
            *(torch.distributions.Categorical(logits=z) for z in pair)
        )
        for pair in pairs
    ]
    torch.testing.assert_close(
        divergence, by_torch[0] if sizes is None else torch.stack(by_torch, -1)
    )


def test_rows_of_two_backends_and_batches_that_broadcast():
    x, y = torch.randn(4, 1, 3), torch.randn(5, 3)
    p = prepare_rows(x, None, look=True)
    set_backend("reference")
    try:
        q = prepare_rows(y, None, look=True)
    finally:
        set_backend("auto")
    expected = kl_of_rows(x.log_softmax(-1), y.log_softmax(-1))
    torch.testing.assert_close(divergence_between(p, q), expected)
    torch.testing.assert_close(divergence_between(p, prepare_rows(y, None, look=True)), expected)

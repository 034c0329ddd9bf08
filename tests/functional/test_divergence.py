"""KL of rows of log-probabilities, by hand and where some are -inf."""

from __future__ import annotations

import math

import torch

from maskrl.functional.divergence import kl_of_rows

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

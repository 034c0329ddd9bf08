"""A row that allows nothing, with `empty="idle"`: no decision is taken there (X5)."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

from maskrl.distributions import MaskedCategorical
from maskrl.errors import DisallowedActionError

POISON = [0.0, 1e30, -math.inf, math.inf, math.nan]


def mask_of(*rows):
    return torch.tensor(rows, dtype=torch.bool)


MASK = mask_of([1, 0, 1], [0, 0, 0], [0, 1, 0])


@pytest.fixture(params=[True, False], ids=["validated", "unvalidated"])
def validate_args(request):
    return request.param


@pytest.fixture(params=POISON, ids=str)
def poisoned(request):
    """Logits whose idle row holds anything."""
    logits = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits[1] = request.param
    return logits


def test_choices_are_the_idle_action(poisoned, validate_args):
    for idle_action in (0, 2):
        d = MaskedCategorical(
            poisoned, MASK, empty="idle", idle_action=idle_action, validate_args=validate_args
        )
        assert d.mode[1] == idle_action
        assert (d.sample((50,))[:, 1] == idle_action).all()
        assert (d.expand((4, 3)).sample()[:, 1] == idle_action).all()


def test_statistics_are_zero_and_the_other_rows_untouched(poisoned, validate_args):
    d = MaskedCategorical(poisoned, MASK, empty="idle", validate_args=validate_args)
    others = MaskedCategorical(poisoned[[0, 2]], MASK[[0, 2]])
    assert (d.probs[1] == 0).all()
    assert (d.logits[1] == -math.inf).all()
    assert d.entropy()[1] == d.entropy_normalized()[1] == 0
    assert torch.equal(d.entropy()[[0, 2]], others.entropy())
    assert torch.equal(d.probs[[0, 2]], others.probs)


def test_scores(poisoned):
    d = MaskedCategorical(poisoned, MASK, empty="idle", idle_action=1)
    scores = d.log_prob(torch.tensor([0, 1, 1]))
    assert scores[1] == 0
    assert scores[2] == 0  # the only allowed action
    with pytest.raises(DisallowedActionError) as caught:
        d.log_prob(torch.tensor([0, 2, 1]))
    for word in ["action 2 in row (1,)", "takes no decision", "idle_action=1"]:
        assert word in str(caught.value)
    # In a row that allows something the idle action is an action like any other.
    with pytest.raises(DisallowedActionError, match=r"action 1 in row \(0,\)"):
        d.log_prob(torch.tensor([1, 1, 1]))
    loose = MaskedCategorical(poisoned, MASK, empty="idle", idle_action=1, validate_args=False)
    assert loose.log_prob(torch.tensor([1, 2, 0])).tolist() == [-math.inf] * 3


def test_gradients_are_zero_in_idle_rows_only(poisoned, validate_args):
    logits = poisoned.clone().requires_grad_()
    d = MaskedCategorical(logits, MASK, empty="idle", validate_args=validate_args)
    uniform = MaskedCategorical(torch.zeros(3, 3), MASK, empty="idle")
    total = (
        d.log_prob(torch.tensor([0, 0, 1])).sum()
        + d.entropy().sum()
        + d.probs.square().sum()
        + torch.distributions.kl_divergence(d, uniform).sum()
        + torch.distributions.kl_divergence(uniform, d).sum()
    )
    (first,) = torch.autograd.grad(total, logits, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), logits)
    for gradient in (first, second):
        assert gradient.isfinite().all()
        assert (gradient[1] == 0).all()
        assert (gradient[~MASK] == 0).all()
    assert (first[0, MASK[0]] != 0).all()


def test_a_batch_of_idle_rows_only():
    logits = torch.full((4, 3), math.nan, requires_grad=True)
    nothing = torch.zeros(3, dtype=torch.bool)
    d = MaskedCategorical(logits, nothing, empty="idle", idle_action=2)
    assert d.sample().tolist() == d.mode.tolist() == [2, 2, 2, 2]
    loss = d.log_prob(d.sample()).sum() + d.entropy().sum()
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_the_support_is_the_idle_action():
    d = MaskedCategorical(torch.zeros(3, 3), MASK, empty="idle", idle_action=1)
    allowed = d.support.check(torch.arange(3).unsqueeze(-1).expand(3, 3))
    assert allowed.T.tolist() == [[True, False, True], [False, True, False], [False, True, False]]
    narrow = MaskedCategorical(torch.zeros(2, 3), MASK[1:], empty="idle", idle_action=2)
    assert narrow.enumerate_support().tolist() == [[2, 1]]
    assert narrow.log_prob(narrow.enumerate_support()).tolist() == [[0.0, 0.0]]


def test_idle_rows_survive_expanding_and_pickling():
    d = MaskedCategorical(torch.zeros(3, 3), MASK, empty="idle", idle_action=2)
    for other in (d.expand((2, 3)), pickle.loads(pickle.dumps(d))):
        assert (other.mode[..., 1] == 2).all()
        assert (other.entropy()[..., 1] == 0).all()


def test_without_idle_rows_idle_equals_raise():
    logits, m = torch.randn(5, 4), torch.ones(5, 4, dtype=torch.bool)
    m[:, 2] = False
    strict, idle = MaskedCategorical(logits, m), MaskedCategorical(logits, m, empty="idle")
    draws = [d.sample((9,), generator=torch.Generator().manual_seed(1)) for d in (strict, idle)]
    assert torch.equal(*draws)
    assert torch.equal(strict.probs, idle.probs)
    assert torch.equal(strict.log_prob(draws[0]), idle.log_prob(draws[0]))

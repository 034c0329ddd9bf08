"""`MaskedCategorical` against `torch.distributions.Categorical` on the gathered logits (X2)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical

from maskrl.distributions import MaskedCategorical


@st.composite
def cases(draw):
    """Logits [rows, actions] and a mask in which every row allows something."""
    rows, actions = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    scale = draw(st.sampled_from([0.0, 1.0, 30.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(rows, actions, generator=generator, dtype=torch.float64) * scale
    m = torch.rand(rows, actions, generator=generator) > draw(st.sampled_from([0.0, 0.5, 0.9]))
    m[torch.arange(rows), torch.randint(actions, (rows,), generator=generator)] = True
    return logits, m


@given(cases())
def test_statistics_and_gradients_equal_torchs(case):
    logits, m = case
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    d = MaskedCategorical(ours, m)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(len(m)):
        kept = Categorical(logits=theirs[row][m[row]])
        index = m[row].nonzero().flatten()
        alone = MaskedCategorical(ours[row], m[row])
        torch.testing.assert_close(d.probs[row][m[row]], kept.probs)
        torch.testing.assert_close(d.logits[row][m[row]], kept.logits)
        torch.testing.assert_close(d.entropy()[row], kept.entropy())
        torch.testing.assert_close(alone.log_prob(index), kept.log_prob(torch.arange(len(index))))
        assert d.mode[row] == index[logits[row][m[row]].argmax()]
        total = total + kept.entropy() + kept.log_prob(torch.tensor(0))
    first = m.to(torch.uint8).argmax(-1)
    (d.entropy().sum() + d.log_prob(first).sum()).backward()
    total.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert (ours.grad[~m] == 0).all()


@given(cases(), st.integers(1, 3))
def test_padding_with_disallowed_actions_changes_nothing(case, more):
    logits, m = case
    rows = len(m)
    padded = MaskedCategorical(
        torch.cat([logits, torch.full((rows, more), math.nan)], -1),
        torch.cat([m, torch.zeros(rows, more, dtype=torch.bool)], -1),
    )
    d = MaskedCategorical(logits, m)
    torch.testing.assert_close(padded.entropy(), d.entropy())
    torch.testing.assert_close(padded.log_prob(d.mode), d.log_prob(d.mode))
    draws = [x.sample((9,), generator=torch.Generator().manual_seed(2)) for x in (d, padded)]
    assert torch.equal(*draws)


def test_frequencies_equal_torchs():
    # Chi-square of 200,000 draws, 4 degrees of freedom: above 18.5 once in a thousand seeds.
    logits = torch.tensor([0.2, 5.0, -1.0, 0.9, 0.0, 1.4, 7.0])
    m = torch.tensor([1, 0, 1, 1, 1, 1, 0]).bool()
    generator = torch.Generator().manual_seed(11)
    draws = MaskedCategorical(logits, m).sample((200_000,), generator=generator)
    counts = draws.bincount(minlength=7).double()
    expected = Categorical(logits=logits[m].double()).probs * 200_000
    assert counts[~m].sum() == 0
    assert ((counts[m] - expected).square() / expected).sum() < 18.5


def test_draws_of_different_rows_and_samples_are_independent():
    # Correlations of 50,000 fair coins; 5 / sqrt(50,000) is exceeded once in two million.
    d = MaskedCategorical(torch.zeros(4, 2))
    draws = d.sample((50_000,), generator=torch.Generator().manual_seed(5)).double()
    columns = torch.cat([draws[:-1], draws[1:]], -1).T
    correlations = torch.corrcoef(columns) - torch.eye(8)
    assert correlations.abs().max() < 5 / math.sqrt(50_000)


@pytest.mark.parametrize("sample_shape", [(), (5,), (2, 3)])
def test_the_interface_gives_what_torchs_gives(sample_shape):
    logits = torch.randn(4, 3)
    ours, theirs = MaskedCategorical(logits), Categorical(logits=logits)
    assert ours.batch_shape == theirs.batch_shape
    assert ours.event_shape == theirs.event_shape
    assert ours.param_shape == theirs.param_shape
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    sample = ours.sample(torch.Size(sample_shape))
    assert sample.shape == theirs.sample(torch.Size(sample_shape)).shape
    assert sample.dtype == theirs.sample().dtype
    torch.testing.assert_close(ours.log_prob(sample), theirs.log_prob(sample))
    assert torch.equal(ours.mode, theirs.mode)
    assert torch.equal(ours.enumerate_support(), theirs.enumerate_support())
    assert torch.equal(ours.enumerate_support(False), theirs.enumerate_support(False))
    assert ours.expand((2, 4)).batch_shape == theirs.expand((2, 4)).batch_shape


def test_a_mixture_of_torchs_own_wrappers_accepts_it():
    d = MaskedCategorical(torch.randn(4, 3), torch.tensor([True, False, True]))
    joint = torch.distributions.Independent(d, 1)
    actions = joint.sample((2,))
    torch.testing.assert_close(joint.log_prob(actions), d.log_prob(actions).sum(-1))
    torch.testing.assert_close(joint.entropy(), d.entropy().sum(-1))

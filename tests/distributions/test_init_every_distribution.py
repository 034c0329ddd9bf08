"""What every distribution of the package keeps, whatever it is a distribution over.

The cases come from examples.py. Invariants are cited as in docs/design.md.
"""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch.distributions import Distribution, kl_divergence

from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.masks import pack_mask

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
POISON = [1e30, -math.inf, math.inf, math.nan]


def score(example, d, actions):
    """Everything that carries gradient, in one number without -inf."""
    uniform = example.make(torch.zeros_like(d.logits), example.action_mask)
    return (
        d.log_prob(actions).sum()
        + d.entropy().sum()
        + d.entropy_normalized().sum()
        + d.probs.square().sum()
        + torch.where(d.logits.isfinite(), d.logits, 0.0).square().sum()
        + kl_divergence(d, uniform).sum()
        + kl_divergence(uniform, d).sum()
    )


def test_it_is_a_distribution_of_torch(example):
    d = example.build()
    assert isinstance(d, Distribution)
    assert not d.has_rsample
    assert d.support.is_discrete
    assert d.support.event_dim == len(d.event_shape)
    assert d.logits.shape == d.probs.shape == example.logits.shape
    assert type(d).__name__ in repr(d)


@pytest.mark.parametrize("sample_shape", [(), (4,), (2, 3), (0,)])
def test_shapes(example, sample_shape):
    d = example.build()
    expected = torch.Size(sample_shape) + d.batch_shape
    actions = d.sample(torch.Size(sample_shape))
    assert actions.shape == expected + d.event_shape
    assert actions.dtype == torch.int64
    assert d.log_prob(actions).shape == expected
    assert d.entropy().shape == d.batch_shape
    assert d.entropy_normalized().shape == d.batch_shape
    assert d.mode.shape == d.batch_shape + d.event_shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_x3_samples_and_mode_are_in_the_support(example, dtype):
    d = example.make(example.logits.to(dtype), example.action_mask)
    for actions in (d.sample((200,)), d.mode):
        assert d.support.check(actions).all()
        assert d.log_prob(actions).isfinite().all()


def test_the_mode_is_most_probable(example):
    d = example.build()
    assert (d.log_prob(d.mode) >= d.log_prob(d.sample((200,))).amax(0) - 1e-12).all()


def test_entropy_is_the_mean_of_the_surprise(example):
    # A mean of 20,000 surprises; five standard errors are exceeded once in a million.
    d = example.build()
    surprise = -d.log_prob(d.sample((20_000,)))
    error = surprise.std(0) / math.sqrt(20_000)
    assert ((surprise.mean(0) - d.entropy()).abs() <= 5 * error + 1e-9).all()
    assert (d.entropy_normalized() >= 0).all()
    assert (d.entropy_normalized() <= 1).all()


def test_probabilities_sum_to_one_and_are_zero_where_disallowed(example):
    d = example.build()
    torch.testing.assert_close(example.log_probs(d).exp(), d.probs)
    assert (d.probs[~example.allowed] == 0).all()
    assert (d.logits[~example.allowed] == -math.inf).all()
    assert torch.equal(d.action_mask, example.action_mask.expand(d.action_mask.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("poison", POISON)
def test_x1_what_is_disallowed_is_never_read(example, poison, dtype):
    clean = example.logits.to(dtype)
    poisoned = torch.where(example.readable, clean, poison)
    results = []
    for logits in (clean.clone().requires_grad_(), poisoned.clone().requires_grad_()):
        d = example.make(logits, example.action_mask)
        total = score(example, d, d.mode)
        total.backward()
        draws = d.sample((5,), generator=torch.Generator().manual_seed(3))
        results.append((total.detach(), logits.grad, draws))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    gradient = results[1][1]
    assert gradient.isfinite().all()
    assert (gradient[~example.readable] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_are_at_least_float32(example, dtype):
    d = example.make(example.logits.to(dtype), example.action_mask)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    for statistic in (d.logits, d.probs, d.entropy(), d.log_prob(d.mode)):
        assert statistic.dtype == expected


def test_gradients(example):
    actions = example.build().mode

    def scored(logits):
        return score(example, example.make(logits, example.action_mask), actions)

    logits = example.logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(scored, logits)
    assert torch.autograd.gradgradcheck(scored, logits)


def test_x4_masks_are_neither_cast_nor_reshaped(example):
    m = example.action_mask
    for wrong in (m.to(torch.int8), m.to(torch.uint8), m.float(), np.asarray(m), m.tolist()):
        with pytest.raises(MaskDtypeError, match="as_mask"):
            example.make(example.logits, wrong)
    for wrong in (m[..., :0], torch.cat([m, m], -1), m.expand(3, *example.full_mask.shape)):
        with pytest.raises(MaskShapeError, match="expected"):
            example.make(example.logits, wrong)


def test_x4_callers_tensors_are_unchanged(example):
    logits, m = example.logits.clone(), example.action_mask.clone()
    d = example.make(logits, m)
    actions = d.sample((3,))
    kept = actions.clone()
    d.mode, d.probs, d.logits, d.entropy(), d.log_prob(actions), d.expand((2, *d.batch_shape))
    assert torch.equal(logits, example.logits)
    assert torch.equal(m, example.action_mask)
    assert torch.equal(actions, kept)


def test_a_packed_mask_is_the_same_mask(example):
    packed = example.make(example.logits, pack_mask(example.action_mask))
    assert torch.equal(packed.probs, example.build().probs)


def test_a_generator_decides_the_sample(example):
    d = example.build()
    draws = [d.sample((50,), generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*draws)


def test_expand(example):
    d = example.build()
    shape = torch.Size((2, 3)) + d.batch_shape
    wide = d.expand(shape)
    assert wide.batch_shape == shape
    assert wide.event_shape == d.event_shape
    assert wide.sample((4,)).shape == (4, *shape, *d.event_shape)
    for ours, theirs in [
        (wide.entropy(), d.entropy()),
        (wide.probs, d.probs),
        (wide.logits, d.logits),
        (wide.mode, d.mode),
        (wide.action_mask, d.action_mask),
        (wide.log_prob(wide.mode), d.log_prob(d.mode)),
        (kl_divergence(wide, wide), kl_divergence(d, d)),
    ]:
        assert torch.equal(ours, theirs.expand(ours.shape))
    actions = wide.sample()
    torch.testing.assert_close(wide.log_prob(actions), d.log_prob(actions))
    assert wide.support.check(actions).all()


@pytest.mark.parametrize("duplicate", [lambda d: pickle.loads(pickle.dumps(d)), copy.copy])
def test_pickling_and_copying(example, duplicate):
    logits = (example.logits * 1.0).requires_grad_()
    for d in (example.build(), example.make(logits * 2, example.action_mask)):
        wide = d.expand((2, *d.batch_shape))
        for original in (d, wide):
            other = duplicate(original)
            assert torch.equal(other.probs, original.probs)
            assert other.batch_shape == original.batch_shape
            assert other.sample().shape == original.batch_shape + original.event_shape


def test_nothing_is_computed_that_is_not_asked_for(example, monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "log_softmax", lambda *a, **k: calls.append(1))
    example.build(validate_args=False)
    assert calls == []


ONCE = {
    "nothing": lambda d: None,
    "sample": lambda d: d.sample(),
    "mode": lambda d: d.mode,
    "statistics": lambda d: (d.probs, d.entropy(), kl_divergence(d, d)),
}


@pytest.mark.parametrize("acting", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("use", ONCE)
@pytest.mark.parametrize("validate", [None, False])
def test_what_was_used_for_acting_can_be_trained(example, acting, use, validate):
    gradients = []
    for used, built in [(False, False), (True, False), (True, acting is torch.no_grad)]:
        logits = example.logits.clone().requires_grad_()
        with torch.set_grad_enabled(not built):
            d = example.make(logits, example.action_mask, validate_args=validate)
        if used:
            with acting():
                ONCE[use](d)
        score(example, d, example.build().mode).backward()
        gradients.append(logits.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_kl_of_a_distribution_with_itself_is_zero_and_else_positive(example):
    p = example.build()
    q = example.make(example.logits.flip(-1) * 0.3, example.action_mask)
    assert (kl_divergence(p, p) == 0).all()
    choice = p.entropy() > 0
    assert (kl_divergence(p, q)[choice] > 0).all()
    assert (kl_divergence(p, q)[~choice] == 0).all()


def test_reductions_are_named(example):
    d = example.build()
    for reduce in ("joint", "none"):
        assert d.log_prob(d.mode, reduce=reduce).isfinite().all()
    for reduce in ("sum", "mean", "none"):
        assert d.entropy(reduce=reduce).isfinite().all()
    with pytest.raises(ConfigError, match=r"log_prob: reduce is 'sum'; expected \"joint\""):
        d.log_prob(d.mode, reduce="sum")
    with pytest.raises(ConfigError, match=r"entropy: reduce is 'joint'; expected \"sum\", "):
        d.entropy(reduce="joint")


def idle_in_row_zero(example):
    """The example's mask with nothing allowed in the first row."""
    full = example.full_mask.clone()
    full[example.first_row] = False
    return full


@pytest.mark.parametrize("dtype", DTYPES)
def test_x5_an_idle_row_takes_no_decision(batched_example, dtype):
    example = batched_example
    poisoned = example.logits.to(dtype, copy=True)
    poisoned[example.first_row] = math.nan
    logits = poisoned.requires_grad_()
    d = example.make(logits, idle_in_row_zero(example), empty="idle", idle_action=0)
    actions = d.sample((20,))
    assert (actions[:, 0] == 0).all()
    assert (d.mode[0] == 0).all()
    assert (d.probs[example.first_row] == 0).all()
    assert (d.entropy()[0] == 0).all()
    assert (d.entropy_normalized()[0] == 0).all()
    assert (d.log_prob(actions)[:, 0] == 0).all()
    assert d.support.check(actions).all()
    (d.log_prob(actions).sum() + d.entropy().sum() + d.probs.square().sum()).backward()
    assert (logits.grad[example.first_row] == 0).all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_x5_kl_of_idle_rows(batched_example, dtype):
    example = batched_example
    logits = example.logits.to(dtype)
    p = example.make(logits, idle_in_row_zero(example), empty="idle")
    q = example.make(logits, example.action_mask)
    assert (kl_divergence(p, p) == 0).all()
    assert (kl_divergence(p, q)[0] == math.inf).all()
    assert (kl_divergence(q, p)[0] == math.inf).all()
    assert kl_divergence(q, p)[1:].isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("validate", [None, False])
def test_x5_an_empty_row_is_refused_and_named(batched_example, validate, dtype):
    example = batched_example
    with pytest.raises(NoAllowedActionError, match=r"allows nothing in row \(0"):
        example.make(example.logits.to(dtype), idle_in_row_zero(example), validate_args=validate)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_x13_an_allowed_logit_that_is_no_number(example, poison, dtype):
    where = tuple(example.readable.nonzero()[-1].tolist())
    logits = example.logits.to(dtype, copy=True)
    logits[where] = poison
    with pytest.raises(NonFiniteLogitsError, match=rf"is {poison} at row"):
        example.make(logits, example.action_mask)
    unchecked = example.make(logits, example.action_mask, validate_args=False)
    row = example.row_of(where)
    assert unchecked.entropy()[row].isnan()
    assert unchecked.entropy_normalized()[row].isnan()
    assert kl_divergence(unchecked, unchecked)[row].isnan()
    for table in (unchecked.probs, unchecked.logits):
        assert table[where].isnan()
    for choose in (unchecked.sample, lambda: unchecked.mode):
        with pytest.raises(NonFiniteLogitsError, match="row"):
            choose()


@pytest.mark.parametrize("dtype", DTYPES)
def test_x6_a_disallowed_action_raises_or_scores_minus_infinity(example, dtype):
    if example.disallowed is None:
        assert example.allowed.all()
        return
    actions = torch.tensor(example.disallowed)
    d = example.make(example.logits.to(dtype), example.action_mask)
    assert not d.support.check(actions).all()
    with pytest.raises(DisallowedActionError, match="disallowed by"):
        d.log_prob(actions)
    logits = example.logits.to(dtype, copy=True).requires_grad_()
    unchecked = example.make(logits, example.action_mask, validate_args=False)
    scores = unchecked.log_prob(actions)
    assert torch.equal(scores == -math.inf, ~d.support.check(actions))
    scores.sum().backward()
    assert logits.grad.isfinite().all()


def test_settings_are_checked(example):
    with pytest.raises(ConfigError, match="empty is 'uniform'"):
        example.build(empty="uniform")
    with pytest.raises(ConfigError, match="idle_action is 99"):
        example.build(idle_action=99)

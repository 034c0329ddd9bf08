"""Masked softmax, log-softmax, log-sum-exp and entropy equal torch's on what is allowed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.functional import (
    masked_entropy,
    masked_log_softmax,
    masked_logsumexp,
    masked_softmax,
)
from maskrl.masks import pack_mask

ALL = [masked_softmax, masked_log_softmax, masked_logsumexp, masked_entropy]
POISON = [1e30, -1e30, math.inf, -math.inf, math.nan]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def random_case(rows=7, actions=5, dtype=torch.float64):
    logits = torch.randn(rows, actions).to(dtype)
    m = torch.rand(rows, actions) > 0.5
    m[:, 1] = True
    return logits, m


def gathered(logits, allowed, operation):
    """The same of the allowed logits alone, in plain torch."""
    kept = logits[allowed].double()
    out = torch.zeros(logits.shape, dtype=torch.float64)
    if operation is masked_softmax:
        out[allowed] = kept.softmax(-1)
        return out
    if operation is masked_log_softmax:
        return out.masked_fill(~allowed, -math.inf).masked_scatter(allowed, kept.log_softmax(-1))
    if operation is masked_logsumexp:
        return kept.logsumexp(-1)
    return torch.distributions.Categorical(logits=kept).entropy()


@pytest.mark.parametrize("operation", ALL)
def test_x2_equal_to_torch_on_the_allowed_logits(operation):
    logits, m = random_case()
    expected = torch.stack([gathered(x, a, operation) for x, a in zip(logits, m, strict=True)])
    torch.testing.assert_close(operation(logits, m), expected)
    torch.testing.assert_close(operation(logits, pack_mask(m)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("operation", ALL)
def test_x1_what_stands_under_the_mask_changes_nothing(operation, poison, dtype):
    clean, m = random_case(dtype=dtype)
    poisoned = torch.where(m, clean, poison)
    grads = []
    for logits in (clean.clone().requires_grad_(), poisoned.clone().requires_grad_()):
        out = operation(logits, m)
        torch.where(out == -math.inf, 0.0, out).square().sum().backward()
        grads.append(logits.grad)
    assert torch.equal(operation(clean, m), operation(poisoned, m))
    assert torch.equal(grads[0], grads[1])
    assert (grads[1][~m] == 0).all()
    assert (grads[1][m] != 0).any()


def test_x1_probability_and_entropy_are_exactly_zero():
    m = torch.tensor([True, False, False])
    logits = torch.tensor([-50.0, 1e30, math.nan])
    assert masked_softmax(logits, m).tolist() == [1.0, 0.0, 0.0]
    assert masked_log_softmax(logits, m).tolist() == [0.0, -math.inf, -math.inf]
    assert masked_entropy(logits, m).item() == 0.0
    assert math.copysign(1.0, masked_entropy(logits, m).item()) == 1.0
    assert masked_logsumexp(logits, m).item() == -50.0


@pytest.mark.parametrize("operation", ALL)
def test_x1_whatever_reaches_the_disallowed_entries_of_the_output(operation):
    logits, m = random_case()
    logits.requires_grad_()
    out = operation(logits, m)
    seed = torch.ones_like(out)
    if out.shape == m.shape:
        seed = torch.where(m, seed, math.nan)  # a gradient of NaN where nothing is allowed
    out.backward(seed)
    assert logits.grad.isfinite().all()
    assert (logits.grad[~m] == 0).all()


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (masked_softmax, 0.0),
        (masked_log_softmax, -math.inf),
        (masked_logsumexp, -math.inf),
        (masked_entropy, 0.0),
    ],
)
def test_x5_idle_rows(operation, answer, poison):
    logits, m = random_case()
    m[2] = False
    logits[2] = poison
    logits.requires_grad_()
    out = operation(logits, m, empty="idle")
    assert (out[2] == answer).all()
    torch.where(out.isfinite(), out, 0.0).sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[2] == 0).all()
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(out[others], operation(logits[others], m[others]))


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_x13_an_unsound_row_is_nan_and_no_other(operation, bad):
    logits, m = random_case()
    logits[3, 1] = bad
    out = operation(logits, m)
    nan = out.isnan() if out.ndim == 1 else out.isnan().any(-1)
    assert nan.nonzero().flatten().tolist() == [3]
    if out.ndim == 2:
        assert out[3, m[3]].isnan().all()
        assert not out[3, ~m[3]].isnan().any()


def test_an_allowed_minus_infinity_is_probability_zero():
    logits = torch.tensor([0.0, -math.inf, 0.0], requires_grad=True)
    m = torch.tensor([True, True, False])
    assert masked_softmax(logits, m).tolist() == [1.0, 0.0, 0.0]
    masked_log_softmax(logits, m)[1].backward()
    assert logits.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("operation", ALL)
def test_edges_of_shape(operation):
    assert operation(torch.zeros(0, 3), torch.ones(0, 3).bool()).shape[0] == 0
    assert operation(torch.zeros(4, 1), torch.ones(4, 1).bool()).isfinite().all()
    base = torch.randn(5, 12)
    m = torch.rand(5, 12) > 0.3
    m[:, 0] = True
    torch.testing.assert_close(
        operation(base[:, ::2], m[:, ::2]),
        operation(base[:, ::2].contiguous(), m[:, ::2].contiguous()),
    )
    row = torch.randn(12)
    torch.testing.assert_close(
        operation(row.expand(5, 12), m), torch.stack([operation(row, each) for each in m])
    )


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**31))
def test_permuting_actions_commutes_and_batching_is_looping(rows, actions, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, actions, generator=generator, dtype=torch.float64)
    m = torch.rand(rows, actions, generator=generator) > 0.5
    order = torch.randperm(actions, generator=generator)
    probs = masked_softmax(logits, m, empty="idle")
    permuted = masked_softmax(logits[:, order], m[:, order], empty="idle")
    torch.testing.assert_close(permuted, probs[:, order])
    for row in range(rows):
        alone = masked_softmax(logits[row], m[row], empty="idle")
        torch.testing.assert_close(alone, probs[row])


@given(st.integers(2, 9), st.integers(0, 2**31))
def test_shrinking_a_mask_never_lowers_what_stays_and_padding_changes_nothing(actions, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(actions, generator=generator, dtype=torch.float64) * 5
    wide = torch.rand(actions, generator=generator) > 0.3
    narrow = wide & (torch.rand(actions, generator=generator) > 0.3)
    before = masked_softmax(logits, wide, empty="idle")
    after = masked_softmax(logits, narrow, empty="idle")
    assert (after[narrow] >= before[narrow] - 1e-12).all()
    padded = masked_entropy(
        torch.cat([logits, torch.randn(3)]),
        torch.cat([wide, torch.zeros(3, dtype=torch.bool)]),
        empty="idle",
    )
    torch.testing.assert_close(padded, masked_entropy(logits, wide, empty="idle"))

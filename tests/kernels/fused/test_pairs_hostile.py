"""The divergence of hostile batches by one kernel, and both gradients, beside float64 torch.

Two batches of one shape have masks, memory and numbers of their own; each mask is handed over as
bool and as bits. Bounds on values v: 1e-5 * max(1, |v|) in float32 and in half precision, which
is computed in float32, 1e-11 * max(1, |v|) in float64, and 4 ulp of the result. The gradient
at p sums terms of the size of the divergence, by which its bound grows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrl.kernels.divergence import divergence_between, kl_of_joined
from maskrl.kernels.fused.pairs import fused_divergence
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceBackend

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
CASES, EXAMPLES = 100_000, 900


def assert_close(name, got, want, scale):
    kind = torch.finfo(got.dtype)
    ulp = torch.from_numpy(np.spacing(want.abs().numpy())) * 2.0**52 * kind.eps
    small = 1e-11 if got.dtype == torch.float64 else 1e-5
    bound = small * torch.maximum(want.abs(), scale) + 4 * ulp.clamp(min=kind.tiny * kind.eps)
    got = got.double()
    # In the range of float16 a gradient of more is infinite.
    wanted = torch.where(want.abs() > kind.max, want.sign() * torch.inf, want)
    wrong = ~((got == wanted) | ((got - want).abs() <= bound))
    if wrong.any():
        at = tuple(wrong.nonzero()[0].tolist())
        raise AssertionError(f"{name} at {at}: got {got[at].item()!r}, want {want[at].item()!r}")


def entries_of(batch, of_segments):
    """Repeat a value of each segment for each of its entries."""
    return torch.cat(
        [
            (of_segments if batch.sizes is None else of_segments[..., k])[..., None].expand(x.shape)
            for k, x in enumerate(batch.heads(batch.logits))
        ],
        -1,
    )


def check(hostile, first, second):
    """Hold the divergence of two batches against float64."""
    p, q = hostile.build(first), hostile.build(second)
    if first.allowed == second.allowed == "half" and first.form == second.form:
        # Equal masks, because others leave few divergences finite.
        q.mask, q.packed, q.allowed = p.mask, p.packed, p.allowed
    rng = np.random.default_rng(first.seed + 2)
    make = ReferenceBackend().rows
    leaves = [batch.logits.detach().double().requires_grad_() for batch in (p, q)]
    truths = [
        make(leaf, batch.mask, look=True, sizes=batch.sizes)
        for leaf, batch in zip(leaves, (p, q), strict=True)
    ]
    want = kl_of_joined(*(rows.log_probs() for rows in truths), p.sizes)
    none = torch.zeros(p.shape, dtype=torch.bool)
    unsound = [none if rows.unsound is None else rows.unsound for rows in truths]
    sound = ~(unsound[0] | unsound[1])
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    g = hostile.upstream_of(first.upstream[0], rng, p.shape, dtype)
    of_p, of_q = torch.autograd.grad(want, leaves, g.double())
    want = want.detach()
    finite = sound & want.isfinite()
    size = torch.where(finite, want, 0.0).abs().clamp(min=1)
    scale = {"large": 1e3, "small": 1e-3}.get(first.upstream[0], 1.0)
    for packed in (False, True):
        ours = [FusedRows(b.logits, b.packed if packed else b.mask, b.sizes) for b in (p, q)]
        got = fused_divergence(*ours)
        assert_close("divergence", got.detach()[sound], want[sound], torch.ones(()))
        assert not got[~sound].isfinite().any()
        d_p, d_q = torch.autograd.grad(got, [p.logits, q.logits], g)
        for name, batch, d, true, at_most in (
            ("gradient at p", p, d_p, of_p, scale * size),
            ("gradient at q", q, d_q, of_q, torch.full_like(size, scale)),
        ):
            here = entries_of(batch, sound) & batch.allowed
            at_most = entries_of(batch, at_most)
            assert_close(name, d[here], true[here], at_most[here])
            assert (d[~batch.allowed] == 0).all()
            assert (d[entries_of(batch, sound & want.isinf())] == 0).all()
        acting = [FusedRows(rows._logits.detach(), rows._action_mask, p.sizes) for rows in ours]
        again = divergence_between(*acting, p.sizes)
        assert torch.equal(again[sound], got.detach()[sound])
    return p.shape.numel()


def hold(hostile, dtype, examples):
    """Check that many pairs of batches; return how many segments they had."""
    segments = []
    pairs = st.builds(
        lambda one, other: (one, dataclasses.replace(other, heads=one.heads, rows=one.rows)),
        hostile.draws(dtype),
        hostile.draws(dtype),
    )

    @settings(max_examples=examples)
    @given(pairs)
    def every(pair):
        segments.append(check(hostile, *pair))

    every()
    return sum(segments)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_few_pairs(dtype, hostile):
    assert hold(hostile, dtype, 15) > 500


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_hundred_thousand_pairs(dtype, hostile):
    assert hold(hostile, dtype, EXAMPLES) >= CASES

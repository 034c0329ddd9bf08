"""The divergence of two sets of segments and its gradients, against float64 torch."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.divergence import kl_of_rows
from maskrl.kernels.fused.plan import BYTES


def divergence(p, q):
    """The divergence `[R, K]`, and a function that gives both gradients."""
    sources = (
        *p.source(),
        (of_p := p.forward().normalizer).data_ptr(),
        *q.source(),
        (of_q := q.forward().normalizer).data_ptr(),
    )
    kl = p.empty()
    p.kernels.divergence(*sources, kl.data_ptr(), 0, 0, 0, 0, 0)

    def gradients(g, kept=(of_p, of_q)):
        d_p, d_q = p.entries(), q.entries()
        p.kernels.divergence(
            *sources, kl.data_ptr(), g.data_ptr(), *g.stride(), d_p.data_ptr(), d_q.data_ptr()
        )
        return d_p, d_q

    return kl, gradients


@pytest.mark.parametrize("seed", range(40))
def test_against_rows_of_log_probabilities(seed, make_case, hand_case, assert_close):
    p = make_case(seed)
    q = make_case(1000 + seed, beside=p)
    if seed % 2:  # with the same mask it is finite
        q = hand_case(q.logits, p.mask, p.sizes, p.kind)
    kl, gradients = divergence(p, q)
    g = torch.randn(p.shape, dtype=kl.dtype)
    d_p, d_q = (d.split(p.sizes, -1) for d in gradients(g))
    log_ps, _, unsound_p = p.truth()
    log_qs, _, unsound_q = q.truth()
    usable = ~unsound_p & ~unsound_q
    assert kl[~usable].isnan().all()
    for k, (log_p, log_q) in enumerate(zip(log_ps, log_qs, strict=True)):
        want = kl_of_rows(log_p, log_q) if log_p.shape[1] else torch.zeros(len(log_p))
        assert_close(kl[:, k], want, where=usable[:, k])
        finite = (want.isfinite() & usable[:, k])[:, None].expand(log_p.shape)
        # Terms of the size of the divergence cancel, in any float arithmetic.
        size = torch.where(finite, want.abs()[:, None], 0.0) + 1
        probs, others = log_p.exp(), log_q.exp()
        upstream = g[:, k : k + 1].double()
        ratio = torch.where(log_p == -math.inf, 0.0, log_p - log_q - want[:, None])
        of_p = torch.where(log_p == -math.inf, 0.0, upstream * probs * ratio)
        assert_close((d_p[k] / size).to(kl.dtype), of_p / size, where=finite)
        of_q = torch.where(log_q == -math.inf, 0.0, upstream * (others - probs))
        assert_close(d_q[k], of_q, where=finite)
        constant = (want.isinf() & usable[:, k])[:, None].expand(log_p.shape)
        assert (d_p[k][constant] == 0).all()
        assert (d_q[k][constant] == 0).all()


@pytest.mark.parametrize("length", [3, 300])
def test_rules_by_hand(length, hand_case):
    # Rows: equal, q forbids what p can take, p forbids more, both empty, p empty, q empty.
    allowed = torch.ones(6, length, dtype=torch.bool)
    p_mask, q_mask = allowed.clone(), allowed.clone()
    q_mask[1, 1:] = False
    p_mask[2, 1:] = False
    p_mask[3:5] = q_mask[3] = q_mask[5] = False
    logits = torch.zeros(6, length)
    p = hand_case(logits, p_mask, [length], BYTES)
    q = hand_case(logits, q_mask, [length], BYTES)
    kl, gradients = divergence(p, q)
    assert kl[:, 0].tolist() == pytest.approx(
        [0, math.inf, math.log(length), 0, math.inf, math.inf]
    )
    for d in gradients(torch.ones(6, 1)):
        assert d.isfinite().all()
        assert (d[[1, 3, 4, 5]] == 0).all()

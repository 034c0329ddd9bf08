"""Segments in plain torch, beside each row on its own; both backends; divergences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from maskrl.kernels import set_backend
from maskrl.kernels.divergence import kl_of_rows
from maskrl.kernels.fused.segments import FusedSegments
from maskrl.kernels.reference import ReferenceBackend
from maskrl.kernels.segments import (
    ReferenceSegments,
    Segments,
    check_places,
    divergence_of_segments,
    growing,
    kl_of_segments,
    prepare_segments,
)

HALF = (torch.float16, torch.bfloat16)


def segments_of(*counts):
    offsets = np.cumsum([0, *counts])
    return Segments(torch.from_numpy(offsets), offsets)


def drawn(seed, dtype=torch.float64, *, sizes=None):
    """Scores, a mask and segments: some empty by size or mask, some with a -inf, wild under it."""
    generator = torch.Generator().manual_seed(seed)
    sizes = sizes or torch.randint(0, 9, (40,), generator=generator).tolist()
    segments = segments_of(*sizes)
    scores = torch.randn(segments.entries, generator=generator) * 3
    mask = torch.rand(segments.entries, generator=generator) < 0.7
    scores[torch.rand(segments.entries, generator=generator) < 0.05] = -math.inf
    wild = torch.tensor([1e30, -math.inf, math.inf, math.nan])
    spoilt = wild[torch.randint(4, mask.shape, generator=generator)]
    return torch.where(mask, scores, spoilt).to(dtype), mask, segments


def one_by_one(scores, mask, segments):
    """Each segment as a row of its own; None where it has no entry."""
    edges = segments.on_host
    return [
        ReferenceBackend().rows(scores[a:b], None if mask is None else mask[a:b], look=True)
        if b > a
        else None
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]


def test_by_hand():
    segments = segments_of(2, 0, 3)
    assert len(segments) == 3
    assert segments.entries == 5
    assert segments.longest == 3
    assert segments.counts.tolist() == [2, 0, 3]
    assert segments.of_entry.tolist() == [0, 0, 2, 2, 2]
    assert segments.within.tolist() == [0, 1, 0, 1, 2]
    values = torch.tensor([1.0, 2.0, 3.0, -4.0, 5.0])
    assert segments.sum(values).tolist() == [3, 0, 4]
    assert segments.largest(values).tolist() == [2, -math.inf, 5]
    flags = torch.tensor([False, True, False, True, True])
    assert segments.first(flags).tolist() == [1, 0, 1]
    assert segments.last_entry(flags).tolist() == [1, -1, 4]
    assert segments.how_many(flags).tolist() == [1, 0, 2]
    assert segments.how_many(None).tolist() == [2, 0, 3]
    places = torch.tensor([[1, 0, 2], [2, 0, -1]])
    assert segments.at(values, places, -9).tolist() == [[2, -9, 5], [-9, -9, -9]]


def test_no_segments_and_nothing_in_them():
    none, empty = segments_of(), segments_of(0, 0)
    assert none.longest == empty.longest == 1
    assert empty.at(torch.zeros(0), torch.tensor([0, 0]), False).tolist() == [False, False]
    rows = prepare_segments(torch.zeros(0), None, empty)
    assert rows.empty.tolist() == [True, True]
    assert rows.entropy().tolist() == [0, 0]
    assert rows.sample(torch.rand(3, 2, dtype=torch.float64)).tolist() == [[0, 0]] * 3
    assert prepare_segments(torch.zeros(0), None, none).argmax().shape == (0,)


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("sizes", [None, [6] * 40], ids=["ragged", "of one length"])
def test_every_statistic_is_that_of_each_row_alone(make, dtype, masked, sizes):
    scores, mask, segments = drawn(1, dtype, sizes=sizes)
    if not masked:
        scores, mask = torch.where(mask, scores, 0.5), None
    rows = make(scores, mask, segments)
    alone = one_by_one(scores, mask, segments)
    usable = [of is not None and of.empty is None and of.unsound is None for of in alone]
    empty = [of is None or of.empty is not None for of in alone]
    unsound = [of is not None and of.unsound is not None for of in alone]
    assert (rows.empty.tolist() if rows.empty is not None else [False] * 40) == empty
    assert (rows.unsound.tolist() if rows.unsound is not None else [False] * 40) == unsound
    assert sum(usable) > 20
    log_probs, probs, entropy = rows.log_probs(), rows.probs(), rows.entropy()
    picks = torch.tensor([0 if of is None else int(of.argmax()) for of in alone])
    picked, mode = rows.chosen(picks), rows.argmax()
    uniform = torch.rand(7, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    samples = rows.sample(uniform)
    first = rows.sample(uniform[0])
    close = (
        {"atol": 1e-12, "rtol": 1e-12} if dtype == torch.float64 else {"atol": 2e-6, "rtol": 1e-5}
    )
    same = 0
    for b, (of, ok) in enumerate(zip(alone, usable, strict=True)):
        a, z = segments.on_host[b : b + 2]
        if of is None:
            assert entropy[b] == 0
            continue
        torch.testing.assert_close(log_probs[a:z], of.log_probs(), equal_nan=True, **close)
        torch.testing.assert_close(probs[a:z], of.probs(), equal_nan=True, **close)
        torch.testing.assert_close(entropy[b], of.entropy(), equal_nan=True, **close)
        if ok:
            assert mode[b] == of.argmax()
            torch.testing.assert_close(picked[b], of.chosen(of.argmax()), **close)
            same += (of.sample(uniform[:, b]) == samples[:, b]).sum()
            assert (probs[a:z][samples[:, b]] > 0).all()
            assert probs[a:z][first[b]] > 0
    assert same >= 7 * sum(usable) - 1


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", [None, [6] * 40], ids=["ragged", "of one length"])
def test_every_gradient_is_that_of_each_row_alone(make, dtype, sizes):
    scores, mask, segments = drawn(3, dtype, sizes=sizes)
    scores = torch.where(scores == -math.inf, 0.5, scores)  # no unsound segment
    scale = torch.linspace(0.5, 2, 40)
    picks = torch.tensor(
        [0 if of is None else int(of.argmax()) for of in one_by_one(scores, mask, segments)]
    )
    leaf, other = scores.clone().requires_grad_(), scores.clone().requires_grad_()

    def total(rows, action, weight):
        log_probs, picked = rows.log_probs(), rows.chosen(action)
        finite = torch.where(log_probs == -math.inf, 0.0, log_probs).square()
        scored = torch.where(picked == -math.inf, 0.0, picked) + rows.entropy() ** 2
        return (scored * weight).sum() + finite.sum() + rows.probs().square().sum()

    total(make(leaf, mask, segments), picks, scale).backward()
    for b, of in enumerate(one_by_one(other, mask, segments)):
        if of is not None:
            total(of, picks[b], scale[b]).backward()
    tolerance = {torch.float64: 1e-11, torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(leaf.grad, other.grad, atol=tolerance, rtol=tolerance)
    assert (leaf.grad[~mask] == 0).all()
    assert leaf.grad.dtype == dtype


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
@pytest.mark.parametrize("wild", [math.nan, math.inf])
def test_x13_an_unsound_segment_spoils_no_other(make, wild):
    segments = segments_of(2, 3, 2, 1)
    scores = torch.tensor([0.0, 1.0, wild, 2.0, 0.0, 0.0, 3.0, -math.inf], dtype=torch.float64)
    mask = torch.tensor([True, True, True, True, False, True, True, True])
    leaf = scores.clone().requires_grad_()
    rows = make(leaf, mask, segments)
    assert rows.unsound.tolist() == [False, True, False, True]
    assert rows.entropy().isnan().tolist() == [False, True, False, True]
    assert rows.log_probs()[4] == -math.inf
    assert rows.chosen(torch.tensor([0, 2, 0, 0])).tolist()[1] == -math.inf
    draws = rows.sample(torch.rand(200, 4, dtype=torch.float64))
    expected = scores[[0, 1]].softmax(-1)[1]
    assert abs((draws[:, 0] == 1).double().mean() - expected) < 0.15
    assert (draws[:, 2] <= 1).all()
    rows.entropy()[[0, 2]].sum().backward()
    assert leaf.grad[[0, 1, 5, 6]].isfinite().all()
    assert (leaf.grad[[0, 1, 5, 6]] != 0).all()


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
@pytest.mark.parametrize("uniform", [0.0, 2**-53, 0.5, 1 - 2**-53])
def test_x3_a_draw_is_possible_for_every_uniform(make, uniform):
    scores, mask, segments = drawn(5, torch.float32, sizes=[3, 1, 40, 7, 200] * 20)
    scores = torch.where(scores == -math.inf, -90.0, scores * 20)
    rows = make(scores, mask, segments)
    actions = rows.sample(torch.full((3, 100), uniform, dtype=torch.float64))
    picked = rows.chosen(actions)
    some = segments.how_many(mask) > 0
    assert (picked[:, some] > -math.inf).all()
    assert segments.at(mask, actions, False)[:, some].all()


def test_a_sum_that_was_rounded_in_any_order_grows_at_possible_entries_only():
    cdf = torch.tensor([1e-9, 0.5, 0.6, 0.4, 1.0, 1.1])
    can_be = torch.tensor([False, True, False, True, True, False])
    assert growing(cdf, can_be).tolist() == pytest.approx([0.0, 0.5, 0.5, 0.5, 1.0, 1.0])


def test_without_a_look_flags_are_there_always_and_nothing_raises():
    rows = ReferenceSegments(torch.zeros(3), None, segments_of(1, 2), look=False)
    assert rows.empty.tolist() == rows.unsound.tolist() == [False, False]
    assert rows.chosen(torch.tensor([0, 7])).tolist() == [0.0, -math.inf]


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
def test_places_beyond_a_segment_score_minus_infinity_and_beyond_all_are_refused(make):
    rows = make(torch.zeros(6), None, segments_of(1, 3, 2))
    picked = rows.chosen(torch.tensor([1, 2, 2]))
    assert picked.tolist() == pytest.approx([-math.inf, -math.log(3), -math.inf])
    assert not rows.is_possible(rows.chosen(torch.tensor([1, 2, 2])))
    assert rows.is_possible(rows.chosen(torch.tensor([0, 2, 1])))
    for wrong in (3, -1):
        for shape in ((3,), (2, 3)):
            with pytest.raises(IndexError):
                rows.chosen(torch.full(shape, wrong))
    check_places(torch.tensor([0, 2]), segments_of(3))


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
def test_first_and_second_derivatives(make):
    segments = segments_of(3, 0, 1, 4)
    mask = torch.tensor([True, True, False, True, True, True, True, False])
    actions = torch.tensor([1, 0, 0, 2])

    def scored(x):
        rows = make(x, mask, segments)
        finite = torch.where(rows.log_probs() == -math.inf, 0.0, rows.log_probs())
        picked = rows.chosen(actions)
        return torch.where(picked == -math.inf, 0.0, picked) + rows.entropy(), rows.probs(), finite

    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(scored, x)
    assert torch.autograd.gradgradcheck(scored, x)


@pytest.mark.parametrize("make", [ReferenceSegments, FusedSegments])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("sizes", [None, [4] * 40], ids=["ragged", "of one length"])
def test_divergences_and_their_gradients(make, dtype, sizes):
    scores, mask, segments = drawn(7, dtype, sizes=sizes)
    others, wider, _ = drawn(8, dtype, sizes=np.diff(segments.on_host).tolist())
    scores = torch.where(mask & (scores == -math.inf), 0.5, scores)
    others = torch.where(wider & (others == -math.inf), 0.5, others)
    x, y = scores.clone().requires_grad_(), others.clone().requires_grad_()
    p, q = make(x, mask, segments), make(y, wider, segments)
    divergence = divergence_of_segments(p, q, segments)
    torch.where(divergence.isinf(), 0.0, divergence).sum().backward()
    u, v = scores.clone().requires_grad_(), others.clone().requires_grad_()
    pairs = zip(one_by_one(u, mask, segments), one_by_one(v, wider, segments), strict=True)
    expected = torch.stack(
        [
            torch.zeros((), dtype=dtype) if a is None else kl_of_rows(a.log_probs(), b.log_probs())
            for a, b in pairs
        ]
    )
    torch.where(expected.isinf(), 0.0, expected).sum().backward()
    close = (
        {"atol": 1e-11, "rtol": 1e-11} if dtype == torch.float64 else {"atol": 2e-5, "rtol": 2e-5}
    )
    torch.testing.assert_close(divergence, expected, **close)
    torch.testing.assert_close(x.grad, u.grad, **close)
    torch.testing.assert_close(y.grad, v.grad, **close)
    assert expected.isinf().any()
    assert (expected[expected.isfinite()] != 0).sum() > 4


def test_second_derivatives_of_a_divergence():
    segments = segments_of(3, 0, 1, 4)
    mask = torch.tensor([True, True, False, True, True, True, True, False])

    def divergence(x, y):
        return divergence_of_segments(
            FusedSegments(x, mask, segments), FusedSegments(y, None, segments), segments
        )

    arguments = tuple(torch.randn(2, 8, dtype=torch.float64).requires_grad_().unbind())
    assert torch.autograd.gradcheck(divergence, arguments)
    assert torch.autograd.gradgradcheck(divergence, arguments)


def test_segments_of_two_backends_are_compared_by_their_log_probabilities():
    scores, mask, segments = drawn(9)
    p, q = ReferenceSegments(scores, mask, segments), FusedSegments(scores, None, segments)
    expected = kl_of_segments(p.log_probs(), q.log_probs(), segments)
    torch.testing.assert_close(divergence_of_segments(p, q, segments), expected, equal_nan=True)
    torch.testing.assert_close(
        divergence_of_segments(FusedSegments(scores, mask, segments), p, segments)[
            segments.how_many(mask) > 0
        ].nan_to_num(),
        torch.zeros(int((segments.how_many(mask) > 0).sum()), dtype=torch.float64),
        atol=1e-12,
        rtol=0,
    )


def test_the_backend_is_the_one_that_is_chosen():
    segments = segments_of(1, 2)
    assert isinstance(prepare_segments(torch.zeros(3), None, segments), FusedSegments)
    assert isinstance(prepare_segments(torch.zeros(0), None, segments_of(0)), ReferenceSegments)
    set_backend("reference")
    try:
        assert isinstance(prepare_segments(torch.zeros(3), None, segments), ReferenceSegments)
    finally:
        set_backend("auto")

"""Fused rows beside the reference's: the same answers, and what is shared between questions."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.fused import graph
from maskrl.kernels.fused import rows as module
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceBackend
from maskrl.masks import pack_mask

SIZES = (2, 1, 5)


def cases():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for shape, sizes in (((7, 5), None), ((3, 4, 8), SIZES), ((40, 78), None), ((9,), None)):
            logits = (torch.randn(shape, generator=generator) * 3).to(dtype)
            mask = torch.rand(shape, generator=generator) < 0.5
            # a row that allows nothing, one with a single choice, one with a -inf
            flat, rows = mask.view(-1, shape[-1]), logits.view(-1, shape[-1])
            if len(flat) > 2:
                flat[0] = False
                flat[1] = torch.arange(shape[-1]) == shape[-1] - 1
                rows[2, 0] = -math.inf
                flat[2, :2] = True
            yield pytest.param(logits, mask, sizes, id=f"{dtype}-{shape}-{sizes}")


CASES = list(cases())


def pair(logits, mask, sizes):
    plain = ReferenceBackend().rows(logits, mask, look=True, sizes=sizes)
    return FusedRows(logits, mask, sizes), plain


def close(ours, theirs, dtype):
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if dtype != torch.float64 else {}
    torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize(("logits", "mask", "sizes"), CASES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_statistic_is_that_of_the_reference(logits, mask, sizes, packed):
    ours, plain = pair(logits, mask, sizes)
    if packed:
        ours = FusedRows(logits, pack_mask(mask), sizes)
    for name in ("log_probs", "probs", "entropy"):
        close(getattr(ours, name)(), getattr(plain, name)(), logits.dtype)
    for name in ("empty", "unsound"):
        mine, theirs = getattr(ours, name), getattr(plain, name)
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)
    usable = torch.ones(()) if plain.empty is None else ~plain.empty
    assert torch.equal(ours.argmax() * usable, plain.argmax() * usable)
    shape = ours.entropy().shape
    for lead in ((), (4,)):
        uniform = torch.rand(
            (*lead, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        mine, theirs = ours.sample(uniform), plain.sample(uniform)
        assert ((mine == theirs) | ~usable.bool()).double().mean() > 0.99
        close(ours.chosen(mine), plain.chosen(mine), logits.dtype)


@pytest.mark.parametrize(("logits", "mask", "sizes"), CASES)
def test_every_gradient_is_that_of_the_reference(logits, mask, sizes):
    results = []
    for fused in (True, False):
        leaf = logits.clone().requires_grad_()
        rows = pair(leaf, mask, sizes)[0 if fused else 1]
        actions = pair(logits, mask, sizes)[1].argmax()
        scale = torch.linspace(0.5, 2, actions.numel()).reshape(actions.shape)
        picked = rows.chosen(actions)
        total = (torch.where(picked > -math.inf, picked, 0.0) * scale).sum()
        total = total + (rows.entropy() * scale.flip(0)).sum() + rows.probs().square().sum()
        log_probs = rows.log_probs()
        total = total + torch.where(log_probs > -math.inf, log_probs, 0.0).square().sum()
        total.backward()
        results.append(leaf.grad)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4}.get(logits.dtype, 0.1)
    torch.testing.assert_close(*results, atol=tolerance, rtol=tolerance)
    assert (results[0][~mask] == 0).all()


def counted(monkeypatch):
    """Counts the kernel calls."""
    calls = []

    def run(kernel, *arguments):
        calls.append(kernel.__name__)
        return original(kernel, *arguments)

    original = module.run
    for place in (module, graph):
        monkeypatch.setattr(place, "run", run)
    return calls


LOGITS, MASK = torch.randn(6, 4), torch.ones(6, 4, dtype=torch.bool)


def test_a_draw_brings_its_log_probability(monkeypatch):
    calls = counted(monkeypatch)
    rows = FusedRows(LOGITS, MASK, None)
    actions = rows.sample(torch.rand(6, dtype=torch.float64))
    assert rows.empty is rows.unsound is None
    rows.chosen(actions)
    rows.entropy()
    assert calls == ["pass32"]


def test_actions_that_were_written_into_are_scored_anew():
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            rows = FusedRows(LOGITS, MASK, None)
            actions = rows.sample(torch.rand(6, dtype=torch.float64))
            before = rows.chosen(actions).clone()
            actions += 1
            actions %= 4
            expected = LOGITS.log_softmax(-1).gather(-1, actions[:, None])[:, 0]
            torch.testing.assert_close(rows.chosen(actions), expected)
            assert not torch.equal(before, expected)


def test_score_and_entropy_share_one_pass_and_one_gradient(monkeypatch):
    calls = counted(monkeypatch)
    leaf = LOGITS.clone().requires_grad_()
    rows = FusedRows(leaf, MASK, None)
    (rows.chosen(torch.zeros(6, dtype=torch.int64)).sum() + rows.entropy().sum()).backward()
    assert calls == ["pass32", "gradient32"]


@pytest.mark.parametrize("order", ["score first", "entropy first", "entropy alone"])
def test_whole_actions_share_one_pass_and_one_gradient(monkeypatch, order):
    leaf = torch.randn(6, 8, dtype=torch.float64).requires_grad_()
    mask = torch.rand(6, 8) < 0.6
    mask[:, [0, 2, 3]] = True
    actions = torch.zeros(6, 3, dtype=torch.int64)
    upstream = torch.randn(2, 6, dtype=torch.float64)

    def gradient(log_probs, entropy):
        results = [entropy] if order == "entropy alone" else [log_probs(), entropy]
        return torch.autograd.grad(results, leaf, list(upstream[-len(results) :]))[0]

    plain = ReferenceBackend().rows(leaf, mask, look=True, sizes=SIZES)
    want = gradient(lambda: plain.chosen(actions).sum(-1), plain.entropy().sum(-1))
    calls = counted(monkeypatch)
    rows = FusedRows(leaf, mask, SIZES)
    if order == "score first":
        scores = rows.whole(actions)
        got = gradient(lambda: scores, rows.whole_entropy())
        assert calls == ["pass64", "pick_whole64", "gradient64"]
    else:
        got = gradient(lambda: rows.whole(actions), rows.whole_entropy())
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_whole_actions_are_sums_over_heads_whoever_asks(dtype):
    leaf = torch.randn(2, 3, 8, dtype=dtype).requires_grad_()
    mask = torch.rand(2, 3, 8) < 0.6
    mask[..., [0, 2, 3]] = True
    for given in (mask, pack_mask(mask), None):
        rows = FusedRows(leaf, given, SIZES)
        with torch.no_grad():
            actions = rows.sample(torch.rand(2, 3, 3, dtype=torch.float64))
            of_draw, entropy = rows.whole(actions), rows.whole_entropy()
            again = rows.whole(actions.clone())
            heads = rows.chosen(actions), rows.entropy()
        # Bit by bit: what acting noted is what learning starts from.
        assert torch.equal(of_draw, again)
        assert torch.equal(of_draw, rows.whole(actions).detach())
        assert torch.equal(entropy, rows.whole_entropy().detach())
        assert of_draw.shape == entropy.shape == (2, 3)
        for whole, of_heads in zip((of_draw, entropy), heads, strict=True):
            torch.testing.assert_close(whole, of_heads.double().sum(-1).to(dtype))
        torch.testing.assert_close(rows.whole(actions.expand(4, 2, 3, 3)), of_draw.expand(4, 2, 3))


def test_whole_actions_of_which_a_head_is_impossible():
    leaf = torch.zeros(2, 8).requires_grad_()
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[0, 4] = False
    rows = FusedRows(leaf, mask, SIZES)
    scores = rows.whole(torch.tensor([[0, 0, 1], [1, 0, 1]]))
    assert scores[0] == -math.inf and not rows.is_possible(scores)
    scores.sum().backward()
    # The head itself is a constant; the others still are chosen.
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad[0], torch.tensor([0.5, -0.5, 0, 0, 0, 0, 0, 0]))
    assert rows.is_possible(rows.whole(torch.zeros(2, 3, dtype=torch.int64)))
    with pytest.raises(IndexError):
        rows.whole(torch.tensor([[0, 0, 5], [0, 0, 0]]))


def test_the_entropy_of_whole_actions_written_into_does_not_come_back():
    for leaf in (torch.randn(3, 8), torch.randn(3, 8).requires_grad_()):
        rows = FusedRows(leaf, None, SIZES)
        want = rows.whole_entropy().detach().clone()
        rows.whole_entropy().detach().zero_()
        assert torch.equal(rows.whole_entropy().detach(), want)


def test_a_gradient_of_whole_actions_that_is_differentiated_again():
    leaf = torch.randn(3, 8, dtype=torch.float64).requires_grad_()
    actions = torch.ones(3, 3, dtype=torch.int64)
    actions[:, 1] = 0

    def score(x):
        rows = FusedRows(x, None, SIZES)
        return rows.whole(actions).square() + rows.whole_entropy()

    assert torch.autograd.gradgradcheck(score, (leaf,))


def test_nothing_is_computed_before_it_is_asked_for(monkeypatch):
    calls = counted(monkeypatch)
    FusedRows(LOGITS, MASK, None)
    assert calls == []


def test_a_gradient_that_is_differentiated_again_is_the_references():
    logits = LOGITS.double().requires_grad_()
    mask = MASK.clone()
    mask[0, 1:3] = False
    actions = torch.tensor([0, 1, 2, 3, 0, 1])

    def scored(x):
        rows = FusedRows(x, mask, None)
        return rows.chosen(actions) * 2 + rows.entropy(), rows.probs()

    assert torch.autograd.gradcheck(scored, logits)
    assert torch.autograd.gradgradcheck(scored, logits)


def test_a_choice_out_of_range_is_an_index_error():
    for wrong in (4, -1):
        with pytest.raises(IndexError):
            FusedRows(LOGITS, MASK, None).chosen(torch.full((6,), wrong))


def test_no_grad_in_between_does_not_cut_the_graph():
    leaf = LOGITS.clone().requires_grad_()
    rows = FusedRows(leaf, MASK, None)
    with torch.no_grad():
        rows.entropy()
        actions = rows.sample(torch.rand(6, dtype=torch.float64))
        assert not rows.chosen(actions).requires_grad
    assert rows.chosen(actions).requires_grad
    assert rows.entropy().requires_grad
    with torch.no_grad():
        assert not rows.entropy().requires_grad


def test_a_mask_that_is_changed_before_the_gradient_is_refused():
    leaf = LOGITS.clone().requires_grad_()
    mask = MASK.clone()
    score = FusedRows(leaf, mask, None).chosen(torch.zeros(6, dtype=torch.int64)).sum()
    mask[0, 1] = False
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        score.backward()

"""What fused segments keep from one question to the next, and what they let go."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from maskrl.errors import MaskError
from maskrl.kernels.fused import segments as module
from maskrl.kernels.fused.segments import FusedSegments
from maskrl.kernels.segments import ReferenceSegments, Segments

OFFSETS = np.array([0, 2, 3, 7])
SEGMENTS = Segments(torch.from_numpy(OFFSETS), OFFSETS)
LOGITS, MASK = torch.randn(7), torch.ones(7, dtype=torch.bool)
ACTIONS = torch.tensor([1, 0, 2])


@pytest.fixture
def calls(monkeypatch):
    """The kernels that were called."""
    called = []

    def run(kernel, *arguments):
        called.append(kernel.__name__)
        return original(kernel, *arguments)

    original = module.run
    monkeypatch.setattr(module, "run", run)
    return called


def test_nothing_is_computed_before_it_is_asked_for(calls):
    FusedSegments(LOGITS, MASK, SEGMENTS)
    assert calls == []


def test_a_draw_brings_its_log_probability_until_it_is_written_into(calls):
    of = FusedSegments(LOGITS, MASK, SEGMENTS)
    actions = of.sample(torch.rand(3, dtype=torch.float64))
    assert of.empty is of.unsound is None
    before = of.chosen(actions).clone()
    assert calls == ["pass32"]
    actions[2] = (actions[2] + 1) % 4
    expected = torch.log_softmax(LOGITS[3:], -1)[actions[2]]
    torch.testing.assert_close(of.chosen(actions)[2], expected)
    assert before[2] != expected


def test_score_and_entropy_share_one_pass_and_one_gradient(calls):
    leaf = LOGITS.clone().requires_grad_()
    of = FusedSegments(leaf, MASK, SEGMENTS)
    assert of.empty is None
    (of.chosen(ACTIONS).sum() + of.entropy().sum()).backward()
    assert calls == ["pass32", "pick32", "gradient32"]


def test_no_grad_in_between_does_not_cut_the_graph():
    of = FusedSegments(LOGITS.clone().requires_grad_(), MASK, SEGMENTS)
    with torch.no_grad():
        of.entropy()
        actions = of.sample(torch.rand(3, dtype=torch.float64))
        assert not of.chosen(actions).requires_grad
    assert of.chosen(actions).requires_grad
    assert of.entropy().requires_grad
    with torch.no_grad():
        assert not of.entropy().requires_grad


def test_upstream_gradients_of_any_stride():
    grads = []
    for make in (FusedSegments, ReferenceSegments):
        leaf = LOGITS.double().requires_grad_()
        of = make(leaf, None, SEGMENTS)
        weights = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
        picked = of.chosen(ACTIONS)
        total = (torch.stack([picked, of.entropy()], -1) * weights).sum() + picked.mean()
        grads.append(torch.autograd.grad(total, leaf)[0])
    torch.testing.assert_close(*grads)


def test_a_batch_of_upstream_gradients_at_once():
    x = LOGITS.double().requires_grad_()
    of = FusedSegments(x, MASK, SEGMENTS)
    for statistic in (of.chosen(ACTIONS) + of.entropy(), of.probs()):
        every = torch.eye(len(statistic), dtype=torch.float64)
        together = torch.autograd.grad(
            statistic, x, every, is_grads_batched=True, retain_graph=True
        )[0]
        for i, upstream in enumerate(every):
            alone = torch.autograd.grad(statistic, x, upstream, retain_graph=True)[0]
            torch.testing.assert_close(together[i], alone)


def test_logits_and_masks_that_do_not_lie_together():
    wide, mask = torch.randn(7, 2), torch.rand(7, 2) < 2
    ours = FusedSegments(wide[:, 1], mask[:, 0], SEGMENTS)
    plain = ReferenceSegments(wide[:, 1], mask[:, 0], SEGMENTS)
    torch.testing.assert_close(ours.log_probs(), plain.log_probs())


def test_a_mask_that_is_changed_before_the_gradient_is_refused():
    mask = MASK.clone()
    of = FusedSegments(LOGITS.clone().requires_grad_(), mask, SEGMENTS)
    score = of.chosen(ACTIONS).sum()
    mask[3] = False
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        score.backward()


def test_they_are_let_go_at_once_and_not_when_garbage_is_collected():
    gc.disable()
    try:
        leaf = LOGITS.clone().requires_grad_()
        of = FusedSegments(leaf * 2, MASK, SEGMENTS)
        total = of.chosen(ACTIONS).sum() + of.entropy().sum() + of.probs().sum()
        layout = of.layout.logits
        held = weakref.ref(layout)
        total.backward()
        del of, total, layout
        assert held() is None
    finally:
        gc.enable()


def test_inside_a_functional_transform_the_reference_answers():
    of = FusedSegments(LOGITS.double(), None, SEGMENTS)
    expected = of.chosen(ACTIONS)

    def score(actions):
        return of.chosen(actions)

    inside = torch.func.functionalize(score)(ACTIONS)
    torch.testing.assert_close(inside, expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_result_that_was_written_into_does_not_come_back(mode):
    leaf = LOGITS.clone().requires_grad_()
    with mode():
        of = FusedSegments(leaf, MASK, SEGMENTS)
        drawn = of.sample(torch.rand(3, dtype=torch.float64))
        for ask in (lambda: of.entropy(), lambda: of.chosen(drawn), lambda: of.chosen(ACTIONS)):
            want = ask().detach().clone()
            ask().mul_(0.01)
            assert torch.equal(ask().detach(), want)


def test_an_entropy_written_into_while_acting_reaches_no_gradient():
    grads = []
    for write in (False, True):
        leaf = LOGITS.clone().requires_grad_()
        of = FusedSegments(leaf, MASK, SEGMENTS)
        with torch.no_grad():
            entropy = of.entropy()
            if write:
                entropy.zero_()
                of.sample(torch.rand(3, dtype=torch.float64))
                assert (entropy == 0).all()
        of.entropy().sum().backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads)


def test_logits_that_changed_in_place_are_refused():
    logits = LOGITS.clone()
    of = FusedSegments(logits, MASK, SEGMENTS)
    of.chosen(ACTIONS)
    logits.mul_(2.0)
    for ask in (lambda: of.chosen(ACTIONS), of.probs):
        with pytest.raises(MaskError, match="changed in place"):
            ask()

"""What a caller does to a result stays with the caller: statistics are asked for again, unchanged.

Rows keep what came along with a pass. A result that is written into must neither come back
from the next question nor reach a gradient, as with the reference, which computes anew.
"""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import MaskError
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceRows
from maskrl.masks.packed import pack_mask

LOGITS = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(7, 6, generator=torch.Generator().manual_seed(1)) < 0.6
MASK[:, 2] = True
ACTIONS = torch.full((7,), 2)
ASK = {
    "entropy": lambda rows: rows.entropy(),
    "chosen": lambda rows: rows.chosen(ACTIONS),
    "log_probs": lambda rows: rows.log_probs(),
    "probs": lambda rows: rows.probs(),
    "argmax": lambda rows: rows.argmax(),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", ASK)
def test_a_result_that_was_written_into_does_not_come_back(name, mode):
    with mode():
        rows = FusedRows(LOGITS, MASK, None)
        want = ASK[name](rows).clone()
        ASK[name](rows).zero_()
        assert torch.equal(ASK[name](rows), want)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_score_of_a_draw(mode):
    with mode():
        rows = FusedRows(LOGITS, MASK, None)
        actions = rows.sample(torch.rand(7, dtype=torch.float64))
        want = rows.chosen(actions).clone()
        rows.chosen(actions).zero_()
        assert torch.equal(rows.chosen(actions), want)


def gradient(make, write):
    leaf = LOGITS.clone().requires_grad_()
    rows = make(leaf)
    write(rows)
    (rows.chosen(ACTIONS).sum() + rows.entropy().sum()).backward()
    return leaf.grad


@pytest.mark.parametrize("name", ASK)
def test_a_result_written_into_while_acting_reaches_no_gradient(name):
    def write(rows):
        with torch.no_grad():
            ASK[name](rows).zero_()

    ours = gradient(lambda leaf: FusedRows(leaf, MASK, None), write)
    theirs = gradient(lambda leaf: ReferenceRows(leaf, MASK, look=True), lambda rows: None)
    torch.testing.assert_close(ours, theirs)


def test_a_result_is_scaled_in_place_in_the_graph():
    gradients = []
    for make in (
        lambda leaf: FusedRows(leaf, MASK, None),
        lambda leaf: ReferenceRows(leaf, MASK, look=True),
    ):
        leaf = LOGITS.clone().requires_grad_()
        rows = make(leaf)
        scores, entropy = rows.chosen(ACTIONS), rows.entropy()
        scores.mul_(2.0)
        entropy.mul_(0.01)
        (scores.sum() + entropy.sum()).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_the_caller_may_write_into_actions_and_mask_after_acting():
    actions, mask = ACTIONS.clone(), MASK.clone()
    rows = FusedRows(LOGITS, mask, None)
    want = rows.chosen(actions).clone()
    entropy = rows.entropy().clone()
    actions.zero_()
    assert torch.equal(rows.chosen(ACTIONS), want)
    assert torch.equal(rows.entropy(), entropy)


@pytest.mark.parametrize("ask", [lambda rows: rows.entropy(), lambda rows: rows.chosen(ACTIONS)])
def test_a_result_of_the_graph_that_was_scaled_in_place_does_not_come_back(ask):
    rows = FusedRows(LOGITS.clone().requires_grad_(), MASK, None)
    want = ask(rows).detach().clone()
    ask(rows).mul_(0.01)
    assert torch.equal(ask(rows).detach(), want)


def test_a_later_draw_leaves_alone_what_was_handed_out():
    rows = FusedRows(LOGITS, MASK, None)
    entropy = rows.entropy().mul_(0.01)
    want = entropy.clone()
    rows.sample(torch.rand(7, dtype=torch.float64))
    assert torch.equal(entropy, want)


def test_a_disallowed_choice_is_reported_though_the_entropy_was_written_into():
    rows = FusedRows(LOGITS.clone().requires_grad_(), torch.arange(6) != 2, None)
    with torch.no_grad():
        rows.entropy().zero_()
    assert not rows.is_possible(rows.chosen(ACTIONS))


QUESTIONS = {
    "chosen": lambda rows: rows.chosen(ACTIONS),
    "probs": lambda rows: rows.probs(),
    "sample": lambda rows: rows.sample(torch.rand(7, dtype=torch.float64)),
    "draws": lambda rows: rows.sample(torch.rand(2, 7, dtype=torch.float64)),
}


@pytest.mark.parametrize("width", [6, 3000])
@pytest.mark.parametrize("of", ["logits", "mask", "bits"])
@pytest.mark.parametrize("name", QUESTIONS)
def test_logits_and_masks_that_changed_in_place_are_refused(name, of, width):
    logits = torch.randn(7, width)
    mask = torch.rand(7, width) < 0.6
    mask[:, 2] = True
    packed = pack_mask(mask)
    rows = FusedRows(logits, packed if of == "bits" else mask, None)
    assert rows.empty is None
    QUESTIONS[name](rows)
    if of == "logits":
        logits.mul_(2.0)
    elif of == "mask":
        mask[3] = torch.arange(width) == 2
    else:
        packed.bits[3] = 4
    for _ in range(2):
        with pytest.raises(MaskError, match="changed in place"):
            QUESTIONS[name](rows)


def test_what_is_written_beside_logits_and_mask_is_no_change():
    logits, mask = torch.randn(9, 6), torch.ones(9, 6, dtype=torch.bool)
    rows = FusedRows(logits[:7], mask[:7], None)
    want, entropy = rows.chosen(ACTIONS).clone(), rows.entropy().clone()
    logits[7:] = 0.0
    mask[7:] = False
    assert torch.equal(rows.chosen(ACTIONS), want)
    assert torch.equal(rows.entropy(), entropy)

"""What a caller does to a result stays with the caller: statistics are asked for again, unchanged.

Rows keep what came along with a pass. A result that is written into must neither come back
from the next question nor reach a gradient, as with the reference, which computes anew.
"""

from __future__ import annotations

import pytest
import torch

from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceRows

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

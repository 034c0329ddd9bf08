"""Choices scored by known normalisers: float64 truth, and the flags of a call."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.fused.layout import lay_out
from maskrl.kernels.fused.scoring import IMPOSSIBLE, OUT_OF_RANGE, pick32, pick64
from maskrl.masks.packed import pack_mask

SIZES = (3, 1, 4)


def picked(logits, action_mask, sizes, actions):
    """Scores `[R, K]` and flags, with normalisers computed here."""
    allowed = torch.ones_like(logits, dtype=torch.bool) if action_mask is None else action_mask
    if not isinstance(allowed, torch.Tensor):
        allowed = allowed.unpack()
    heads = torch.where(allowed, logits.double(), -math.inf).split(list(sizes), -1)
    tops = torch.stack([head.max(-1).values for head in heads], -1)
    logs = torch.stack([head.logsumexp(-1) for head in heads], -1) - tops
    normalizer = torch.stack([tops, logs], -1).contiguous()
    layout = lay_out(logits, action_mask, tuple(sizes))
    scores = torch.full(actions.shape, 7.0, dtype=logits.dtype)
    kernel = pick32 if logits.dtype == torch.float32 else pick64
    addresses = [t.data_ptr() for t in (normalizer, actions, scores)]
    flags = kernel(layout.plan.address, layout.logits.data_ptr(), layout.mask_address, *addresses)
    truth = torch.stack(
        [
            h.log_softmax(-1).gather(-1, a[:, None])[:, 0]
            for h, a in zip(heads, actions.T, strict=True)
        ],
        -1,
    )
    return scores, flags, truth


@pytest.mark.parametrize("kind", ["none", "bytes", "bits"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_those_of_float64(kind, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(40, sum(SIZES), generator=generator)).to(dtype)
    mask = torch.rand(40, sum(SIZES), generator=generator) < 0.6
    mask[:, [0, 3, 4]] = True
    given = {"none": None, "bytes": mask, "bits": pack_mask(mask)}[kind]
    choices = [torch.zeros(40, dtype=torch.int64)] * 3
    scores, flags, truth = picked(logits, given, SIZES, torch.stack(choices, -1))
    assert flags == 0
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(scores.double(), truth, rtol=tolerance, atol=tolerance)


def test_what_cannot_be_chosen_is_flagged():
    logits = torch.tensor([[0.0, 1.0, -math.inf]])
    mask = torch.tensor([[True, False, True]])
    for action, want in [(0, 0), (1, IMPOSSIBLE), (2, IMPOSSIBLE)]:
        scores, flags, _ = picked(logits, mask, (3,), torch.tensor([[action]]))
        assert flags == want
        assert (scores.item() == -math.inf) == bool(want)
    layout = lay_out(logits, mask, None)
    normalizer, score = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1)
    for action in (-1, 3, 2**40):
        flags = pick32(
            layout.plan.address,
            logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            torch.tensor([action]).data_ptr(),
            score.data_ptr(),
        )
        assert flags == OUT_OF_RANGE | IMPOSSIBLE


def test_a_score_that_overflows_is_impossible():
    logits = torch.tensor([[3e38, -3e38]])
    scores, flags, _ = picked(logits, None, (2,), torch.tensor([[1]]))
    assert scores.item() == -math.inf
    assert flags == IMPOSSIBLE

"""`MaskedBernoulli`: what is its own beside the tests that every distribution inherits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from maskrl.distributions import MaskedBernoulli
from maskrl.errors import DisallowedActionError, MaskShapeError, NoAllowedActionError
from maskrl.errors import NonFiniteLogitsError as NonFinite
from maskrl.masks import pack_mask

# A free bit, one that must be 1, one that must be 0.
MAY_BE = torch.tensor([[True, True], [False, True], [True, False]])
LOGITS = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_free_bits_equal_torch():
    ours, theirs = MaskedBernoulli(LOGITS), Bernoulli(logits=LOGITS)
    actions = ours.sample((20,))
    torch.testing.assert_close(ours.log_prob(actions, "none"), theirs.log_prob(actions.double()))
    torch.testing.assert_close(ours.entropy(reduce="none"), theirs.entropy())
    torch.testing.assert_close(ours.probs, theirs.probs)
    assert torch.equal(ours.logits, theirs.logits)
    other = LOGITS.flip(0)
    torch.testing.assert_close(
        kl_divergence(ours, MaskedBernoulli(other)),
        kl_divergence(theirs, Bernoulli(logits=other)).sum(-1),
    )


def test_forced_bits_by_hand():
    d = MaskedBernoulli(torch.zeros(3), MAY_BE)
    assert d.probs.tolist() == [0.5, 1.0, 0.0]
    assert d.logits.tolist() == [0.0, math.inf, -math.inf]
    assert d.entropy(reduce="none").tolist() == pytest.approx([math.log(2), 0.0, 0.0])
    assert d.entropy_normalized().item() == pytest.approx(1.0)
    assert (d.sample((100,))[:, 1:] == torch.tensor([1, 0])).all()
    assert d.log_prob(torch.tensor([0, 1, 0])).item() == pytest.approx(-math.log(2))


def test_the_frequency_of_a_free_bit():
    # 100,000 draws: five standard errors are exceeded once in a million; the seed is fixed.
    d = MaskedBernoulli(torch.tensor([1.0, 0.0, 0.0]), MAY_BE)
    share = d.sample((100_000,), generator=torch.Generator().manual_seed(1))[:, 0].double().mean()
    p = torch.sigmoid(torch.tensor(1.0)).item()
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / 100_000)


def test_flat_packed_and_broadcast_masks_are_the_same():
    expected = MaskedBernoulli(LOGITS, MAY_BE.expand(4, 3, 2))
    flat = MAY_BE.reshape(6)
    for mask in (MAY_BE, flat, flat.expand(4, 6), pack_mask(MAY_BE), pack_mask(flat)):
        d = MaskedBernoulli(LOGITS, mask)
        assert torch.equal(d.probs, expected.probs)
        assert torch.equal(d.action_mask, expected.action_mask)
    one = MaskedBernoulli(torch.zeros(2, 1), torch.tensor([[True, False], [False, True]]))
    assert one.probs.tolist() == [[0.0], [1.0]]


def test_an_idle_bit_leaves_the_others_alone():
    mask = MAY_BE.clone()
    mask[1] = False
    d = MaskedBernoulli(LOGITS, mask, empty="idle", idle_action=1)
    actions = d.sample()
    assert (actions[:, 1] == 1).all()
    assert (d.log_prob(actions, "none")[:, 1] == 0).all()
    assert (d.probs[:, 1] == 0).all()
    assert (d.logits[:, 1] == -math.inf).all()
    torch.testing.assert_close(d.entropy(), Bernoulli(logits=LOGITS[:, 0]).entropy())
    assert d.support.check(actions).all()
    assert not d.support.check(torch.zeros(3, dtype=torch.int64))


def test_errors_name_the_bit():
    mask = MAY_BE.expand(4, 3, 2).clone()
    mask[2, 0] = False
    with pytest.raises(NoAllowedActionError, match=r"row \(2,\), bit 0"):
        MaskedBernoulli(LOGITS, mask)
    d = MaskedBernoulli(LOGITS, MAY_BE)
    with pytest.raises(DisallowedActionError, match=r"action 0 in row \(0,\), bit 1 is disallowed"):
        d.log_prob(torch.zeros(4, 3, dtype=torch.int64))
    for wrong in (2, -1):
        with pytest.raises(DisallowedActionError, match=rf"action {wrong} .* outside 0\.\.1"):
            d.log_prob(torch.full((4, 3), wrong))
    logits = LOGITS.clone()
    logits[1, 0] = math.nan
    with pytest.raises(NonFinite, match=r"nan at row \(1,\), bit 0"):
        MaskedBernoulli(logits, MAY_BE)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (5,), (3, 3), (4, 7), (3, 2, 1)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(MaskShapeError, match=r"\(4, 3, 2\) \(may be 0, may be 1\).*\(4, 6\)"):
        MaskedBernoulli(LOGITS, torch.ones(shape, dtype=torch.bool))


def test_log_odds_of_minus_infinity_are_legal():
    logits = torch.tensor([-math.inf, 0.0]).requires_grad_()
    d = MaskedBernoulli(logits)
    assert d.probs.tolist() == [0.0, 0.5]
    d.log_prob(torch.tensor([0, 1])).backward()
    assert logits.grad.tolist() == [0.0, 0.5]


def test_an_empty_batch():
    d = MaskedBernoulli(LOGITS[:0], MAY_BE)
    assert d.sample((3,)).shape == (3, 0, 3)
    assert d.log_prob(d.sample()).shape == d.entropy().shape == (0,)

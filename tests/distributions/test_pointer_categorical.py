"""`PointerCategorical`: padded, ragged and one by one are the same; its words and offsets."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import MaskedCategorical, PointerCategorical, PointerPicks
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.kernels import set_backend


@pytest.fixture(params=["auto", "reference"], autouse=True)
def backend(request):
    """Everything holds for both."""
    set_backend(request.param)
    yield
    set_backend("auto")


SIZES = [3, 1, 0, 5, 2]
OFFSETS = torch.tensor([0, *SIZES]).cumsum(0)
SCORES = torch.randn(11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
OTHER = torch.randn(11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
FLAT = torch.tensor([1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1], dtype=torch.bool)
ACTIONS = torch.tensor([2, 0, 0, 4, 1])


def padded(flat, fill):
    """The entries of each set beside each other, by hand."""
    table = torch.full((5, 5), fill, dtype=flat.dtype)
    for b, size in enumerate(SIZES):
        table[b, :size] = flat[OFFSETS[b] : OFFSETS[b] + size]
    return table


def answers(d, q, actions):
    """All statistics of a batch of five sets, none of them in a layout."""
    return torch.stack(
        [d.log_prob(actions), d.entropy(), d.entropy_normalized(), kl_divergence(d, q)], -1
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("poison", [0.0, 1e30, math.nan, -math.inf])
@pytest.mark.parametrize("flat_mask", [FLAT, None], ids=["masked", "unmasked"])
def test_padded_ragged_and_a_loop_agree_forward_and_backward(dtype, poison, flat_mask):
    full = torch.ones_like(FLAT) if flat_mask is None else flat_mask
    results = []
    for kind in ("ragged", "padded", "loop"):
        leaf = torch.where(full, SCORES, poison).to(dtype).requires_grad_()
        other = torch.where(full, OTHER, poison).to(dtype)
        if kind == "ragged":
            d, q = (
                PointerCategorical(x, flat_mask, offsets=OFFSETS, empty="idle")
                for x in (leaf, other)
            )
            statistics = answers(d, q, ACTIONS)
            probs, mode = d.probs, d.mode
            assert d.logits.shape == d.probs.shape == (11,)
        elif kind == "padded":
            # built by index, so that gradients reach the leaf
            index = padded(torch.arange(11), 0)
            there = padded(torch.ones(11, dtype=torch.bool), False)
            table = torch.where(there, leaf[index], poison)
            mask = padded(full, False)
            d = PointerCategorical(table, mask, empty="idle")
            q = PointerCategorical(padded(other, poison), mask, empty="idle")
            statistics = answers(d, q, ACTIONS)
            probs, mode = d.probs[there], d.mode
        else:
            statistics, probs, mode = [], [], []
            for b, size in enumerate(SIZES):
                if size == 0:
                    statistics.append(torch.zeros(4))
                    mode.append(torch.tensor(0))
                    continue
                own = slice(int(OFFSETS[b]), int(OFFSETS[b + 1]))
                d, q = (MaskedCategorical(x[own], full[own]) for x in (leaf, other))
                statistics.append(answers(d, q, ACTIONS[b]))
                probs.append(d.probs)
                mode.append(d.mode)
            statistics, probs, mode = torch.stack(statistics), torch.cat(probs), torch.stack(mode)
        (statistics.sum() + probs.square().sum()).backward()
        results.append((statistics.detach(), probs.detach(), mode, leaf.grad))
    for other_result in results[1:]:
        for ours, theirs in zip(results[0], other_result, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6, check_dtype=False)
    assert (results[0][3][~full] == 0).all()


def test_samples_are_the_same_by_the_same_uniforms():
    ragged = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle")
    table = PointerCategorical(padded(SCORES, math.nan), padded(FLAT, False), empty="idle")
    draws = [d.sample((500,), generator=torch.Generator().manual_seed(3)) for d in (ragged, table)]
    assert torch.equal(*draws)
    assert (draws[0][:, 2] == 0).all()
    assert ragged.support.check(draws[0]).all()


def test_x8_permuting_candidates_permutes_the_answers():
    order = torch.randperm(5, generator=torch.Generator().manual_seed(4))
    table, mask = padded(SCORES, 0.0), padded(FLAT, False)
    d = PointerCategorical(table, mask, empty="idle")
    permuted = PointerCategorical(table[:, order], mask[:, order], empty="idle")
    torch.testing.assert_close(permuted.probs, d.probs[:, order])
    torch.testing.assert_close(permuted.entropy(), d.entropy())
    place = order.argsort()
    torch.testing.assert_close(
        permuted.log_prob(place[ACTIONS])[[0, 1, 3, 4]], d.log_prob(ACTIONS)[[0, 1, 3, 4]]
    )


def test_x8_padding_changes_nothing():
    table, mask = padded(SCORES, 0.0), padded(FLAT, False)
    wide = PointerCategorical(
        torch.cat([table, torch.full((5, 9), math.nan)], -1),
        torch.cat([mask, torch.zeros(5, 9, dtype=torch.bool)], -1),
        empty="idle",
    )
    d = PointerCategorical(table, mask, empty="idle")
    torch.testing.assert_close(wide.probs[:, :5], d.probs)
    torch.testing.assert_close(wide.entropy(), d.entropy())
    torch.testing.assert_close(wide.log_prob(ACTIONS), d.log_prob(ACTIONS))


def test_gradients_of_ragged_sets():
    def statistics(scores):
        d = PointerCategorical(scores, FLAT, offsets=OFFSETS, empty="idle")
        q = PointerCategorical(OTHER, FLAT, offsets=OFFSETS, empty="idle")
        return answers(d, q, ACTIONS)

    leaf = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(statistics, leaf)
    assert torch.autograd.gradgradcheck(statistics, leaf)


def test_an_empty_set_is_named():
    with pytest.raises(NoAllowedActionError, match=r"gives row \(2,\) no candidate, offsets\[2\]"):
        PointerCategorical(SCORES, offsets=OFFSETS)
    with pytest.raises(NoAllowedActionError, match=r"entity_mask allows nothing in row \(2,\)"):
        PointerCategorical(SCORES, FLAT, offsets=OFFSETS, validate_args=False)
    with pytest.raises(NoAllowedActionError, match=r"entity_mask allows nothing in row \(1,\)"):
        PointerCategorical(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
    d = PointerCategorical(SCORES, offsets=OFFSETS, empty="idle", idle_action=3)
    assert d.mode[2] == 3
    assert d.log_prob(d.mode)[2] == d.entropy()[2] == 0


def test_messages_speak_of_candidates_and_scores():
    scores = SCORES.clone()
    scores[7] = math.nan
    with pytest.raises(
        NonFiniteLogitsError, match=r"scores is nan at row \(3,\), candidate 3, which is allowed"
    ):
        PointerCategorical(scores, offsets=OFFSETS, empty="idle")
    scores[3] = -math.inf
    with pytest.raises(NonFiniteLogitsError, match=r"row \(1,\).*Disallow candidates with entity"):
        PointerCategorical(scores, FLAT, offsets=OFFSETS, empty="idle")
    d = PointerCategorical(SCORES, offsets=OFFSETS, empty="idle")
    beyond = ACTIONS.clone()
    beyond[0] = 3
    with pytest.raises(
        DisallowedActionError, match=r"candidate 3 in row \(0,\) is disallowed by offsets; it all"
    ):
        d.log_prob(beyond)
    masked = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle")
    beyond[0] = 1
    with pytest.raises(DisallowedActionError, match="disallowed by entity_mask; it allows"):
        masked.log_prob(beyond)
    beyond[0] = 5
    with pytest.raises(DisallowedActionError, match=r"outside 0\.\.4"):
        d.log_prob(beyond)


def test_layouts_are_checked():
    with pytest.raises(MaskDtypeError, match="scores has dtype torch.int64"):
        PointerCategorical(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(MaskShapeError, match=r"entity_mask has shape \(3,\), scores \(2, 4\)"):
        PointerCategorical(torch.zeros(2, 4), torch.ones(3, dtype=torch.bool))
    with pytest.raises(MaskShapeError, match=r"expected a floating point tensor \[M\]"):
        PointerCategorical(torch.zeros(2, 4), offsets=torch.tensor([0, 8]))
    d = PointerCategorical(SCORES, offsets=OFFSETS, empty="idle")
    with pytest.raises(MaskShapeError, match="expected it to end with 5"):
        d.expand((4,))
    fewer = PointerCategorical(SCORES[:10], offsets=torch.tensor([0, 2, 4, 4, 9, 10]), empty="idle")
    for q in (fewer, PointerCategorical(padded(SCORES, 0.0))):
        with pytest.raises(MaskShapeError, match="expected the same sets"):
            kl_divergence(d, q)


def test_no_sets_and_no_candidates():
    none = PointerCategorical(torch.zeros(0), offsets=torch.tensor([0]))
    assert none.sample((3,)).shape == (3, 0)
    assert none.probs.shape == none.entropy().shape == (0,)
    empty = PointerCategorical(torch.zeros(0), offsets=torch.tensor([0, 0, 0]), empty="idle")
    assert empty.mode.tolist() == [0, 0]
    assert empty.entropy().tolist() == [0.0, 0.0]


def test_its_parts():
    d = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle")
    assert torch.equal(d.entity_mask, FLAT)
    assert torch.equal(d.action_mask, FLAT)
    assert torch.equal(d.offsets, OFFSETS)
    assert "ragged, longest set 5" in repr(d)
    table = PointerCategorical(torch.zeros(2, 3))
    assert table.offsets is None
    assert table.entity_mask.all()
    assert table.entity_mask.shape == table.param_shape == (2, 3)


def test_an_expanded_batch_of_ragged_sets():
    d = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle", idle_action=1)
    wide = d.expand((2, 3, 5))
    assert wide.batch_shape == (2, 3, 5)
    assert wide.probs.shape == wide.entity_mask.shape == (2, 3, 11)
    assert wide.sample().shape == (2, 3, 5)
    assert wide.sample((4,)).shape == (4, 2, 3, 5)
    actions = wide.sample()
    assert (actions[..., 2] == 1).all()
    torch.testing.assert_close(wide.log_prob(actions)[1, 2], d.log_prob(actions[1, 2]))
    torch.testing.assert_close(wide.entropy()[1, 0], d.entropy())
    assert torch.equal(wide.mode[0, 1], d.mode)
    assert torch.equal(wide.allowed_counts()[1, 1], torch.tensor([2, 1, 0, 3, 2]))
    assert wide.support.check(actions).all()
    torch.testing.assert_close(kl_divergence(wide, d.expand((3, 5))), torch.zeros(2, 3, 5).double())


def test_gradients_reach_the_scores_through_expanding_and_no_grad():
    leaf = SCORES.clone().requires_grad_()
    with torch.no_grad():
        d = PointerCategorical(leaf, FLAT, offsets=OFFSETS, empty="idle")
        actions = d.sample()
    (d.expand((3, 5)).log_prob(actions.expand(3, 5)).sum() + d.probs.square().sum()).backward()
    assert (leaf.grad[FLAT] != 0).any()
    assert (leaf.grad[~FLAT] == 0).all()


def test_copies_and_pickles():
    d = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle")
    d.entropy()
    for again in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        torch.testing.assert_close(again.probs, d.probs)
        torch.testing.assert_close(again.log_prob(ACTIONS), d.log_prob(ACTIONS))
        assert torch.equal(again.offsets, OFFSETS)


def test_a_long_set_beside_many_short_ones_takes_no_more_than_its_candidates():
    counts = torch.cat([torch.arange(10_000) % 9 + 1, torch.tensor([100_000])])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    # padded these are a billion entries
    scores = torch.zeros(int(offsets[-1]), requires_grad=True)
    d = PointerCategorical(scores, offsets=offsets)
    torch.testing.assert_close(d.entropy(), counts.float().log(), atol=2e-6, rtol=1e-5)
    assert d.support.check(d.sample((3,))).all()
    d.log_prob(torch.zeros_like(counts)).sum().backward()
    sums = torch.segment_reduce(scores.grad.double(), "sum", offsets=offsets)
    torch.testing.assert_close(sums, torch.zeros(10_001).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.grad[offsets[:-1]], 1 - 1 / counts)


def test_samples_follow_the_probabilities():
    d = PointerCategorical(SCORES, FLAT, offsets=OFFSETS, empty="idle")
    drawn = d.sample((20_000,), generator=torch.Generator().manual_seed(6))
    for b, size in enumerate(SIZES):
        if size > 1:
            probs = d.probs[OFFSETS[b] : OFFSETS[b + 1]]
            counts = torch.bincount(drawn[:, b], minlength=size)
            can = probs > 0
            chi = ((counts[can] - 20_000 * probs[can]) ** 2 / (20_000 * probs[can])).sum()
            assert chi < 25  # beyond 5e-6 for 4 degrees of freedom
            assert counts[~can].sum() == 0


def test_without_replacement_makes_picks():
    d = PointerCategorical.without_replacement(
        SCORES, FLAT, picks=2, end_scores=torch.zeros(5, dtype=torch.float64), offsets=OFFSETS
    )
    assert isinstance(d, PointerPicks)
    assert d.event_shape == (2,)
    assert d.support.can_end


def test_ragged_sets_are_refused_while_tracing():
    torch.compiler.reset()

    def entropy(scores):
        return PointerCategorical(scores, offsets=OFFSETS, empty="idle").entropy()

    with pytest.raises(Exception, match=r"pass padded scores \[B, E\] with entity_mask"):
        torch.compile(entropy, backend="aot_eager")(SCORES)
    with pytest.raises(ConfigError, match="offsets cannot be used under compile"):
        torch.func.vmap(entropy)(SCORES.expand(2, 11))

"""One pass over masked segments: statistics, scores and draws against plain float64 torch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.kernels.fused.forward import EMPTY, IMPOSSIBLE, OUT_OF_RANGE, UNSOUND
from maskrl.kernels.fused.plan import BYTES
from maskrl.kernels.reference import ReferenceRows

LOWEST_POSSIBLE = {torch.float32: -103.2, torch.float64: -744.0}


def check_statistics(case, result, assert_close):
    of_heads, empty, unsound = case.truth()
    assert torch.equal(result.normalizer[..., 0] == -math.inf, empty)
    assert torch.equal(result.normalizer[..., 0].isnan(), unsound)
    assert bool(result.status & EMPTY) == bool(empty.any())
    assert bool(result.status & UNSOUND) == bool(unsound.any())
    entropy = torch.stack([0 - (t.exp() * t.clamp(min=-1e300)).sum(-1) for t in of_heads], -1)
    assert_close(result.entropy, entropy)
    certain = torch.stack([(t > -math.inf).sum(-1) == 1 for t in of_heads], -1)
    assert (result.entropy[certain & ~empty & ~unsound] == 0).all()
    masked = torch.where(case.mask, case.logits.double(), -math.inf)
    total = torch.stack([x.logsumexp(-1) for x in masked.split(case.sizes, -1)], -1)
    assert_close(result.normalizer.sum(-1), torch.where(unsound, math.nan, total))
    return of_heads, ~empty & ~unsound


def check_draws(case, result, uniforms, assert_close):
    of_heads, empty, unsound = case.truth()
    for k, log_p in enumerate(of_heads):
        usable = ~empty[:, k] & ~unsound[:, k]
        if not usable.any():
            continue
        drawn = result.actions[usable, k : k + 1]
        picked = log_p[usable].gather(-1, drawn)
        assert (picked > LOWEST_POSSIBLE[case.logits.dtype]).all()
        assert_close(result.log_probs[usable, k], picked[:, 0])
        cdf = log_p[usable].exp().cumsum(-1)
        cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf / cdf[:, -1:]], -1)
        u = uniforms[usable, k : k + 1]
        assert (u >= cdf.gather(-1, drawn) - 1e-6).all()
        assert (u < cdf.gather(-1, drawn + 1) + 1e-6).all()


def check_scores(case, actions, assert_close):
    result = case.forward(actions=actions)
    of_heads, _, _ = case.truth()
    # An entry of -inf behind each segment is what an empty one is scored by.
    ended = [torch.nn.functional.pad(t, (0, 1), value=-math.inf) for t in of_heads]
    want = [t.gather(-1, actions[:, k : k + 1])[:, 0] for k, t in enumerate(ended)]
    assert_close(result.log_probs, torch.stack(want, -1))
    assert bool(result.status & IMPOSSIBLE) == bool((result.log_probs == -math.inf).any())


@pytest.mark.parametrize("seed", range(60))
def test_statistics_draws_and_scores(seed, make_case, draw_uniforms, draw_actions, assert_close):
    case = make_case(seed)
    uniforms = draw_uniforms(case, seed)
    drawn = case.forward(uniforms=uniforms)
    check_statistics(case, drawn, assert_close)
    check_draws(case, drawn, uniforms, assert_close)
    check_scores(case, draw_actions(case, seed), assert_close)


@pytest.mark.slow
def test_a_hundred_thousand_segments(make_case, draw_uniforms, draw_actions, assert_close):
    segments = seed = 0
    while segments < 100_000:
        seed += 1
        case = make_case(10_000 + seed)
        segments += case.shape[0] * case.shape[1]
        uniforms = draw_uniforms(case, seed)
        drawn = case.forward(uniforms=uniforms)
        check_statistics(case, drawn, assert_close)
        check_draws(case, drawn, uniforms, assert_close)
        check_scores(case, draw_actions(case, seed), assert_close)


@pytest.mark.parametrize("seed", range(12))
def test_what_stands_under_the_mask_changes_no_bit(seed, make_case, hand_case, draw_uniforms):
    case = make_case(seed)
    uniforms = draw_uniforms(case, seed)
    calm = hand_case(torch.where(case.mask, case.logits, 0.0), case.mask, case.sizes, case.kind)
    one, other = case.forward(uniforms=uniforms), calm.forward(uniforms=uniforms)
    for name in ["status", "actions", "log_probs", "normalizer", "entropy"]:
        got, want = getattr(one, name), getattr(other, name)
        torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


def test_mask_kinds_and_one_mask_for_all_rows_agree(make_case, hand_case):
    logits = torch.randn(9, 300)
    mask = (torch.rand(1, 300) < 0.3).expand(9, 300)
    results = [hand_case(logits, mask, [100, 7, 193], kind).forward() for kind in (1, 2)]
    results.append(hand_case(logits, mask.contiguous(), [100, 7, 193], BYTES).forward())
    for result in results[1:]:
        assert torch.equal(result.normalizer, results[0].normalizer)
        assert torch.equal(result.entropy, results[0].entropy)


def test_by_hand(hand_case):
    # 1/2 and 1/2 of three, one sure, none, and a NaN that is allowed.
    nan = math.nan
    logits = torch.tensor([[0.0, nan, 0.0], [nan, 5.0, nan], [1.0, 2.0, 3.0], [0.0, nan, 0.0]])
    mask = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)
    case = hand_case(logits, mask, [3], BYTES)
    result = case.forward(actions=torch.tensor([[2], [0], [0], [1]]))
    assert result.status == EMPTY | UNSOUND | IMPOSSIBLE
    assert result.log_probs[:3, 0].tolist() == pytest.approx([math.log(0.5), -math.inf, -math.inf])
    assert result.entropy[:3, 0].tolist() == pytest.approx([math.log(2), 0, 0])
    assert result.log_probs[3].isnan()
    assert result.entropy[3].isnan()
    assert result.normalizer[:3, 0].tolist() == [[0, math.log(2)], [5, 0], [-math.inf, 0]]


def test_a_choice_that_is_no_entry_is_reported_and_read_nowhere(hand_case):
    case = hand_case(torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool), [4], BYTES)
    result = case.forward(actions=torch.tensor([[4], [-1], [2**40]]))
    assert result.status == IMPOSSIBLE | OUT_OF_RANGE
    assert (result.log_probs == -math.inf).all()


@pytest.mark.parametrize("length", [5, 100, 3000, 50_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_uniform_gives_a_possible_entry(length, dtype, hand_case):
    # Probabilities from 1 down to what no float holds, in any order, for uniforms at all ends.
    logits = (torch.rand(40, length, dtype=torch.float64) * -900).to(dtype)
    mask = torch.rand(40, length) < 0.5
    mask[:, -1] = True
    case = hand_case(logits, mask, [length], BYTES)
    edges = torch.tensor([0.0, 5e-324, 1e-300, 1e-40, 2**-53, 0.5, 1 - 2**-52, 1 - 2**-53])
    for u in edges.double():
        drawn = case.forward(uniforms=torch.full((40, 1), float(u), dtype=torch.float64))
        assert mask.gather(-1, drawn.actions).all()
        probs = ReferenceRows(logits, mask, look=True).probs()
        assert (probs.gather(-1, drawn.actions) > 0).all()


def test_a_million_entries_behind_one_that_holds_all_but_a_trace(hand_case):
    logits = torch.zeros(1, 1_000_000)
    logits[0, 0] = 30.0
    case = hand_case(logits, torch.ones(1, 1_000_000, dtype=torch.bool), [1_000_000], BYTES)
    head = math.exp(30) / (math.exp(30) + 999_999)
    for share in [0.01, 0.25, 0.5, 0.99]:
        u = torch.tensor([[head + (1 - head) * share]], dtype=torch.float64)
        drawn = case.forward(uniforms=u).actions.item()
        # 1e-6 of the whole is more than the trace: only that the tail is reached is certain.
        assert drawn > 0


def test_errors_stay_near_those_of_the_reference_in_float32(hand_case):
    logits = torch.randn(10_000, 78) * 3
    mask = torch.rand(10_000, 78) < 0.4
    mask[:, 3] = True
    actions = mask.double().multinomial(1)
    result = hand_case(logits, mask, [78], BYTES).forward(actions=actions)
    exact = ReferenceRows(logits.double(), mask, look=True)
    plain = ReferenceRows(logits, mask, look=True)
    pairs = [
        (result.entropy[:, 0], plain.entropy(), exact.entropy()),
        (result.log_probs[:, 0], plain.chosen(actions[:, 0]), exact.chosen(actions[:, 0])),
    ]
    for ours, theirs, truth in pairs:
        assert (ours - truth).abs().max() <= 3 * (theirs - truth).abs().max() + 4e-7


@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=70),
    st.data(),
)
def test_any_row_of_numbers(hand_case, assert_close, numbers, data):
    logits = torch.tensor([numbers])
    booleans = st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers))
    mask = torch.tensor([data.draw(booleans)])
    case = hand_case(logits, mask, [len(numbers)], data.draw(st.sampled_from([1, 2])))
    u = torch.tensor([[data.draw(st.floats(0, 1, exclude_max=True))]], dtype=torch.float64)
    result = case.forward(uniforms=u)
    check_statistics(case, result, assert_close)
    check_draws(case, result, u, assert_close)

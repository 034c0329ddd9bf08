"""`PointerPicks` against all sequences, at its edges, and with scores that are functions."""

from __future__ import annotations

import itertools
import math
import pickle

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import PointerCategorical, PointerPicks
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)

POISON = [1e30, -math.inf, math.inf, math.nan]
E = 5
GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(4, E, dtype=torch.float64, generator=GENERATOR)
END = torch.randn(4, dtype=torch.float64, generator=GENERATOR)
MASK = torch.tensor(
    [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool
)
FIRST, SECOND = (torch.randn(n, dtype=torch.float64, generator=GENERATOR) for n in ((E, 8), (8, 6)))


def of_set(picked):
    """Scores of candidates, and of ending as the last, that depend on the set."""
    return torch.tanh(picked.double() @ FIRST + 0.5) @ SECOND


def make(kind, picks, *, scale=1.0, mask=MASK, rows=slice(None), **settings):
    """One of four kinds of distribution over the same candidates."""
    if kind == "functions":
        return PointerPicks(
            lambda picked: scale * of_set(picked)[..., :E],
            mask[rows],
            picks=picks,
            end_scores=lambda picked: scale * of_set(picked)[..., E],
            **settings,
        )
    end = None if kind == "no end" else scale * END[rows]
    return PointerPicks(scale * SCORES[rows], mask[rows], picks=picks, end_scores=end, **settings)


def legal_sequences(d):
    """All sequences, and which of them are legal in which row."""
    every = torch.tensor(list(itertools.product(range(E + 1), repeat=d.event_shape[0])))
    every = every.reshape(-1, *[1] * len(d.batch_shape), every.shape[-1])
    every = every.expand(-1, *d.batch_shape, -1)
    return every, d.support.check(every)


def expected(weight, x):
    return torch.where(weight > 0, weight * torch.where(weight > 0, x, 0.0), 0.0).sum(0)


@pytest.mark.parametrize("kind", ["no end", "end", "functions"])
@pytest.mark.parametrize(("picks", "min_picks"), [(1, 0), (2, 0), (3, 2), (5, 0), (6, 1)])
def test_against_all_sequences(kind, picks, min_picks):
    settings = {"min_picks": min_picks, "empty": "idle", "validate_args": False}
    d = make(kind, picks, **settings)
    q = make(kind, picks, scale=0.4, **settings)
    if picks == 6:  # 6^6 sequences would be many: those that nobody may choose are left out
        picked = [p for m in range(6) for p in itertools.permutations(range(E), m)]
        every = torch.tensor([[*p, *[E] * (6 - len(p))] for p in picked])
        every = every.unsqueeze(1).expand(-1, 4, -1)
        legal = d.support.check(every)
    else:
        every, legal = legal_sequences(d)
    log_p, log_q = d.log_prob(every), q.log_prob(every)
    assert torch.equal(log_p > -math.inf, legal)
    weight = log_p.exp()
    assert ((weight.sum(0) - 1).abs() < 1e-9).all()
    torch.testing.assert_close(d.entropy(), expected(weight, -log_p))
    torch.testing.assert_close(kl_divergence(d, q), expected(weight, log_p - log_q))
    torch.testing.assert_close(d.log_prob(d.mode), log_p.amax(0), rtol=0, atol=1e-12)
    assert torch.equal(d.legal_actions(), legal.sum(0).double())
    most = legal.sum(0).double().log()
    normalized = torch.where(most > 0, d.entropy() / torch.where(most > 0, most, 1.0), 0.0)
    torch.testing.assert_close(d.entropy_normalized(), normalized)
    torch.testing.assert_close(d.entropy("none").sum(-1), d.entropy())
    torch.testing.assert_close(d.entropy("mean") * picks, d.entropy())


@pytest.mark.parametrize("kind", ["no end", "end", "functions"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_taught_sequence_scores_as_the_sampled_one_to_the_bit(kind, dtype):
    if kind == "functions":
        d = make(kind, 4, empty="idle")
    else:
        end = None if kind == "no end" else END.to(dtype)
        d = PointerPicks(SCORES.to(dtype), MASK, picks=4, end_scores=end, empty="idle")
    actions, scores = d.sample_with_log_prob((300,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(scores, d.log_prob(actions, reduce="none"))
    assert torch.equal(actions, d.sample((300,), generator=torch.Generator().manual_seed(1)))
    assert d.support.check(actions).all()


def test_frequencies_of_sequences():
    # Chi-square at 1e-4 over the 10 sequences of up to 2 of 3 candidates: 9 degrees of freedom,
    # critical value 33.72. With this fixed seed it passes; one seed in ten thousand would fail.
    d = make("end", 2, rows=1)
    draws = d.sample((40_000,), generator=torch.Generator().manual_seed(2))
    every, legal = legal_sequences(d)
    every = every[legal]
    counts = (draws.unsqueeze(1) == every).all(-1).sum(0)
    assert counts.sum() == 40_000
    expectation = d.log_prob(every).exp() * 40_000
    assert ((counts - expectation).square() / expectation).sum() < 33.72


def test_large_samples_are_drawn_in_parts(monkeypatch):
    monkeypatch.setattr("maskrl.distributions.pointer_picks.DRAWS", 40)
    d = make("end", 3, empty="idle")
    draws = d.sample((5, 3))
    assert draws.shape == (5, 3, 4, 3)
    assert d.support.check(draws).all()
    assert d.sample((0,)).shape == (0, 4, 3)


def test_one_pick_without_end_is_a_pointer_categorical():
    d = make("no end", 1, rows=slice(3))
    one = PointerCategorical(SCORES[:3], MASK[:3])
    assert torch.equal(d.probs, one.probs)
    assert torch.equal(d.logits, one.logits)
    assert torch.equal(d.mode[:, 0], one.mode)
    torch.testing.assert_close(d.entropy(), one.entropy())
    torch.testing.assert_close(d.log_prob(d.mode), one.log_prob(one.mode))


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_x1_nothing_is_read_under_the_mask_and_end_where_it_cannot_be(poison, dtype):
    results = []
    for value in (0.0, poison):
        scores = torch.where(MASK, SCORES, value).to(dtype).requires_grad_()
        # of the third row's one candidate, one has to be picked, and then END is forced
        end = torch.where(torch.tensor([1, 1, 0, 0]).bool(), END, value).to(dtype)
        end = end.requires_grad_()
        d = PointerPicks(scores, MASK, picks=3, end_scores=end, min_picks=1)
        q = PointerPicks(scores * 0.5, MASK, picks=3, end_scores=end.detach(), min_picks=1)
        draws = d.sample((20,), generator=torch.Generator().manual_seed(3))
        total = d.log_prob(draws).sum() + d.entropy().sum() + kl_divergence(d, q).sum()
        total = total + d.probs.square().sum() + d.entropy_normalized().sum()
        total.backward()
        results.append((draws, d.mode, total.detach(), scores.grad, end.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert (results[1][3][~MASK] == 0).all()
    assert results[1][4][2:].tolist() == [0.0, 0.0]


def test_what_was_picked_drops_out_exactly():
    scores = SCORES[0].clone().requires_grad_()
    d = PointerPicks(scores, picks=3)
    scored = d.log_prob(torch.tensor([4, 1, 0]), reduce="none")
    (gradient,) = torch.autograd.grad(scored[2], scores)
    assert gradient[[1, 4]].tolist() == [0.0, 0.0]
    assert (gradient[[0, 2, 3]] != 0).all()
    rest = torch.tensor([0, 2, 3])
    torch.testing.assert_close(scored[2], torch.log_softmax(scores[rest], -1)[0])


@pytest.mark.parametrize("kind", ["no end", "end"])
def test_x8_permuting_candidates_permutes_picks(kind):
    order = torch.tensor([3, 0, 4, 1, 2])
    end = None if kind == "no end" else END
    d = make(kind, 3, empty="idle")
    permuted = PointerPicks(SCORES[:, order], MASK[:, order], picks=3, end_scores=end, empty="idle")
    actions = d.sample((50,), generator=torch.Generator().manual_seed(4))
    place = torch.cat([order.argsort(), torch.tensor([E])])
    torch.testing.assert_close(permuted.log_prob(place[actions]), d.log_prob(actions))
    torch.testing.assert_close(permuted.entropy(), d.entropy())
    assert torch.equal(place[d.mode], permuted.mode)


@pytest.mark.parametrize("kind", ["no end", "end"])
def test_x8_padding_changes_nothing(kind):
    end = None if kind == "no end" else END
    d = make(kind, 3, empty="idle")
    wide = PointerPicks(
        torch.cat([SCORES, torch.full((4, 30), math.nan)], -1),
        torch.cat([MASK, torch.zeros(4, 30, dtype=torch.bool)], -1),
        picks=3,
        end_scores=end,
        empty="idle",
        max_enumeration=100,  # the padding is not among the sets
    )
    actions = d.sample((50,), generator=torch.Generator().manual_seed(5))
    moved = torch.where(actions == E, E + 30, actions)
    torch.testing.assert_close(wide.log_prob(moved), d.log_prob(actions))
    torch.testing.assert_close(wide.entropy(), d.entropy())
    torch.testing.assert_close(wide.entropy_normalized(), d.entropy_normalized())
    assert torch.equal(wide.mode, torch.where(d.mode == E, E + 30, d.mode))


@pytest.mark.parametrize("kind", ["no end", "end"])
def test_ragged_sets_are_the_same_as_one_by_one(kind):
    sizes = [3, 1, 4]
    offsets = torch.tensor([0, *sizes]).cumsum(0)
    scores = SCORES.flatten()[:8].clone().requires_grad_()
    end = None if kind == "no end" else END[:3]
    flat = torch.tensor([1, 1, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    d = PointerPicks(scores, flat, picks=3, end_scores=end, offsets=offsets)
    actions = d.sample((40,), generator=torch.Generator().manual_seed(6))
    assert d.support.check(actions).all()
    log_prob, entropy = d.log_prob(actions), d.entropy()
    (gradient,) = torch.autograd.grad((log_prob.sum() + entropy.sum()), scores)
    assert d.logits.shape == d.entity_mask.shape == (8,)
    alone = torch.zeros_like(gradient)
    for b in range(3):
        own = slice(int(offsets[b]), int(offsets[b + 1]))
        one = PointerPicks(
            scores[own], flat[own], picks=3, end_scores=None if end is None else end[b]
        )
        # END of a ragged row is the size of its own set, as if it were alone
        torch.testing.assert_close(one.log_prob(actions[:, b]), log_prob[:, b])
        torch.testing.assert_close(one.entropy(), entropy[b])
        assert torch.equal(one.mode, d.mode[b])
        total = one.log_prob(actions[:, b]).sum() + one.entropy()
        alone += torch.autograd.grad(total, scores)[0]
    torch.testing.assert_close(gradient, alone)


def test_gradients():
    scores, end = SCORES.clone().requires_grad_(), END.clone().requires_grad_()
    actions = make("end", 3).sample()

    def statistics(scores, end):
        d = PointerPicks(scores, MASK, picks=3, end_scores=end)
        q = PointerPicks(SCORES.flip(-1), MASK, picks=3, end_scores=END.flip(-1))
        return d.log_prob(actions).sum() + d.entropy().sum() + kl_divergence(d, q).sum()

    assert torch.autograd.gradcheck(statistics, (scores, end))
    assert torch.autograd.gradgradcheck(statistics, (scores, end))


def test_gradients_reach_the_network_that_sees_the_set():
    weight = FIRST.clone().requires_grad_()

    def statistics(weight):
        def scored(picked):
            return torch.tanh(picked.double() @ weight + 0.5) @ SECOND

        d = PointerPicks(
            lambda picked: scored(picked)[..., :E],
            MASK,
            picks=3,
            end_scores=lambda picked: scored(picked)[..., E],
        )
        actions = torch.tensor([[0, 3, 1], [3, 2, 5], [3, 5, 5], [5, 5, 5]])
        return d.entropy().sum() + d.log_prob(actions).sum()

    assert torch.autograd.gradcheck(statistics, weight)


def test_without_candidates_end_is_sure_or_the_row_is_idle():
    d = make("end", 2, min_picks=2)
    assert d.mode[3].tolist() == [E, E]
    assert d.entropy()[3] == d.entropy_normalized()[3] == d.log_prob(d.mode)[3] == 0
    assert not d.idle.any()
    with pytest.raises(NoAllowedActionError, match=r"entity_mask allows nothing in row \(3,\)"):
        make("no end", 2)
    with pytest.raises(NoAllowedActionError, match=r"gives row \(1,\) no candidate"):
        PointerPicks(torch.zeros(2), picks=1, offsets=torch.tensor([0, 2, 2]))
    for idle_action, sent in ((None, E), (0, 0), (2, 2)):
        d = make("no end", 2, empty="idle", idle_action=idle_action)
        assert d.idle.tolist() == [False, False, False, True]
        assert d.mode[3].tolist() == d.sample()[3].tolist() == [sent, sent]
        assert d.log_prob(d.mode)[3] == d.entropy()[3] == 0
        assert kl_divergence(d, d)[3] == 0
        other = make("no end", 2, mask=torch.ones_like(MASK))
        assert kl_divergence(d, other)[3] == kl_divergence(other, d)[3] == math.inf
        wrong = d.mode
        wrong[3, 1] = 3
        with pytest.raises(DisallowedActionError, match=r"pick 1 in row \(3,\) is 3, disallowed"):
            d.log_prob(wrong)
        unchecked = make("no end", 2, empty="idle", idle_action=idle_action, validate_args=False)
        assert unchecked.log_prob(wrong)[3] == -math.inf


def test_one_candidate_leaves_no_choice():
    d = PointerPicks(torch.tensor([0.3]), picks=3)
    assert d.mode.tolist() == [0, 1, 1]
    assert d.entropy() == d.entropy_normalized() == 0
    assert d.log_prob(d.mode, reduce="none").tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 1, 1], r"pick 2 in row \(0,\) is 1, picked before, as pick 1"),
        ([5, 5, 5], r"pick 0 in row \(0,\) is 5, END; 1 picks are due before it"),
        ([2, 5, 3], r"pick 2 in row \(0,\) is 3, after END"),
        ([2, 6, 3], r"pick 1 in row \(0,\) is 6, outside 0\.\.5"),
    ],
)
def test_x6_illegal_sequences_are_named(action, message):
    actions = torch.tensor([action, [0, 5, 5], [3, 5, 5], [5, 5, 5]])
    with pytest.raises(DisallowedActionError, match=message):
        make("end", 3, min_picks=1).log_prob(actions)
    if max(action) <= E:
        scores = SCORES.clone().requires_grad_()
        d = PointerPicks(scores, MASK, picks=3, end_scores=END, min_picks=1, validate_args=False)
        log_prob = d.log_prob(actions)
        assert log_prob[0] == -math.inf
        assert log_prob[1:].isfinite().all()
        log_prob.sum().backward()
        assert scores.grad.isfinite().all()


def test_x13_scores_that_cannot_be_used():
    scores = SCORES.clone()
    scores[1, 2] = math.nan
    with pytest.raises(NonFiniteLogitsError, match=r"scores is nan at row \(1,\), pick 0, cand"):
        PointerPicks(scores, MASK, picks=2, end_scores=END)
    d = PointerPicks(scores, MASK, picks=2, end_scores=END, validate_args=False)
    assert d.entropy().isnan().tolist() == [False, True, False, False]
    assert kl_divergence(d, d).isnan().tolist() == [False, True, False, False]
    for choose in (d.sample, lambda: d.mode, d.entropy_estimate):
        with pytest.raises(NonFiniteLogitsError, match=r"row \(1,\)"):
            choose()


def test_x13_of_functions_is_found_on_the_way():
    def stumbles(picked):
        return torch.where(picked[..., :1], math.inf, SCORES[:2].expand(picked.shape))

    d = PointerPicks(stumbles, MASK[:2], picks=2)
    assert d.log_prob(torch.tensor([[1, 0], [2, 3]])).isfinite().all()
    for meet in (
        lambda: d.log_prob(torch.tensor([[1, 0], [0, 3]])),
        lambda: d.sample((100,)),
        d.entropy,
        lambda: d.mode,
    ):
        with pytest.raises(NonFiniteLogitsError, match=r"scores is inf at row \(\d,\), pick 1"):
            meet()
    unchecked = PointerPicks(stumbles, MASK[:2], picks=2, validate_args=False)
    assert unchecked.entropy().isnan().all()


def test_minus_infinity_is_a_probability_of_zero():
    scores = torch.tensor([0.0, -math.inf, 0.0], requires_grad=True)
    d = PointerPicks(scores, picks=2)
    assert (d.sample((100,)) != 1).all()
    assert d.entropy().item() == pytest.approx(math.log(2))
    assert d.log_prob(torch.tensor([1, 0])).item() == -math.inf
    d.entropy().backward()
    assert scores.grad.isfinite().all()
    with pytest.raises(NonFiniteLogitsError, match=r"every allowed logit is -inf in row \(\), pic"):
        PointerPicks(scores, picks=3)
    assert PointerPicks(scores, picks=3, end_scores=torch.tensor(0.0)).sample((50,)).max() == 3


def test_beyond_the_limit_entropy_says_what_to_do_and_the_estimate_is_unbiased():
    d = make("end", 3, max_enumeration=10)
    with pytest.raises(ConfigError, match=r"26 sets of up to 3 of 5.*use entropy_estimate\(\)"):
        d.entropy()
    with pytest.raises(MaskShapeError, match=r"kl_divergence: p has the batch \(2,\), q \(3,\)"):
        kl_divergence(
            PointerPicks(torch.zeros(2, 4), picks=2), PointerPicks(torch.zeros(3, 4), picks=2)
        )
    with pytest.raises(ConfigError, match="kl_divergence: there are 26 sets"):
        kl_divergence(d, d)
    with pytest.raises(ConfigError, match="samples is 0"):
        d.entropy_estimate(0)
    exact = make("end", 3).entropy()
    generator = torch.Generator().manual_seed(7)
    estimates = torch.stack([d.entropy_estimate(8, generator=generator) for _ in range(500)])
    # Five standard errors are exceeded once in a million; the seed is fixed.
    error = estimates.std(0) / math.sqrt(500)
    assert ((estimates.mean(0) - exact).abs() <= 5 * error + 1e-12).all()


def test_the_gradient_of_the_estimate_is_unbiased():
    scores = SCORES[0].clone().requires_grad_()
    (exact,) = torch.autograd.grad(PointerPicks(scores, picks=3).entropy(), scores)
    generator = torch.Generator().manual_seed(8)
    estimates = []
    for _ in range(300):
        estimate = PointerPicks(scores, picks=3).entropy_estimate(64, generator=generator)
        estimates.append(torch.autograd.grad(estimate, scores)[0])
    estimates = torch.stack(estimates)
    error = estimates.std(0) / math.sqrt(300)
    assert ((estimates.mean(0) - exact).abs() <= 5 * error).all()


def test_the_mode_of_functions_beyond_the_limit_is_greedy():
    exact = make("functions", 3)
    greedy = make("functions", 3, max_enumeration=3)
    assert (exact.log_prob(exact.mode) >= exact.log_prob(greedy.mode)).all()
    first = of_set(torch.zeros(4, E, dtype=torch.bool))
    open_end = torch.ones(4, 1, dtype=torch.bool)
    allowed = torch.cat([MASK, open_end], -1)
    assert torch.equal(greedy.mode[:, 0], torch.where(allowed, first, -math.inf).argmax(-1))


def test_many_candidates_are_scored_in_order_of_the_mode():
    # The most probable sequence of 60 out of 100, far beyond enumeration, is by falling score.
    scores = torch.randn(100, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    d = PointerPicks(scores, picks=60)
    assert torch.equal(d.mode, scores.argsort(descending=True)[:60])
    assert d.entropy_estimate(4).isfinite()


def test_expanding():
    d = make("end", 2)
    wide = d.expand((3, 4))
    assert torch.equal(wide.entropy(), d.entropy().expand(3, 4))
    assert wide.sample((2,)).shape == (2, 3, 4, 2)
    functions = make("functions", 2)
    assert functions.expand((3, 4)).sample().shape == (3, 4, 2)
    torch.testing.assert_close(
        functions.expand((3, 4)).log_prob(functions.mode),
        functions.log_prob(functions.mode).expand(3, 4),
    )
    with pytest.raises(MaskShapeError, match="the batch that the function of the set knows"):
        make("functions", 2, rows=slice(1)).expand((4,))
    ragged = PointerPicks(torch.zeros(3), picks=1, offsets=torch.tensor([0, 1, 3]))
    assert ragged.expand((4, 2)).sample().shape == (4, 2, 1)
    assert ragged.expand((4, 2)).probs.shape == (4, 3)
    with pytest.raises(MaskShapeError, match="expected it to end with 2"):
        ragged.expand((3,))


def test_pickling_keeps_no_graph():
    scores = (SCORES * 1.0).requires_grad_() * 2
    d = PointerPicks(scores, MASK, picks=2, end_scores=END)
    other = pickle.loads(pickle.dumps(d))
    assert torch.equal(other.entropy(), d.entropy())
    assert not other.entropy().requires_grad


def test_an_empty_batch():
    d = PointerPicks(torch.zeros(0, 3), picks=2)
    assert d.sample((4,)).shape == (4, 0, 2)
    assert d.mode.shape == (0, 2)
    assert d.entropy().shape == d.log_prob(d.sample()).shape == d.legal_actions().shape == (0,)


def test_arguments_are_checked():
    with pytest.raises(ConfigError, match="picks is 0"):
        PointerPicks(SCORES, picks=0)
    with pytest.raises(ConfigError, match="min_picks is 3"):
        PointerPicks(SCORES, picks=2, min_picks=3)
    with pytest.raises(ConfigError, match="idle_action is 6"):
        PointerPicks(SCORES, picks=2, idle_action=6)
    with pytest.raises(ConfigError, match="needs entity_mask"):
        PointerPicks(of_set, picks=2)
    with pytest.raises(MaskShapeError, match=r"end_scores has shape \(3,\); expected \(4,\)"):
        PointerPicks(SCORES, picks=2, end_scores=END[:3])
    with pytest.raises(MaskDtypeError, match="scores has list"):
        PointerPicks([0.0, 1.0], picks=2)
    with pytest.raises(MaskShapeError, match="expected the last dimension to be 2"):
        PointerPicks(SCORES, picks=2).log_prob(torch.zeros(4, 3, dtype=torch.int64))
    for q in (PointerPicks(SCORES, picks=3), PointerPicks(SCORES[:, :4], picks=2)):
        with pytest.raises(MaskShapeError, match="expected the same sets and picks"):
            kl_divergence(PointerPicks(SCORES, picks=2), q)
    with pytest.raises(MaskShapeError, match="expected the same for scores that are functions"):
        kl_divergence(make("functions", 2), make("functions", 2, rows=slice(1)))


def test_kl_broadcasts_and_is_infinite_where_q_cannot_follow():
    p = PointerPicks(SCORES[:, None], picks=2)
    q = PointerPicks(SCORES[None, :3], picks=2, end_scores=END[None, :3])
    divergence = kl_divergence(p, q)
    assert divergence.shape == (4, 3)
    assert divergence.isfinite().all()  # q may end early and p does not
    assert (kl_divergence(q, p) == math.inf).all()


def test_x6_an_idle_action_beyond_a_ragged_set_is_no_reason_to_refuse_another_row():
    # the empty set's END is 0, and its idle rows send 1, which is beyond that
    settings = {"picks": 2, "empty": "idle", "idle_action": 1}
    offsets = torch.tensor([0, 0, 2])
    actions = torch.tensor([[1, 1], [0, 0]])  # 0 twice is disallowed
    free = PointerPicks(torch.zeros(2), offsets=offsets, validate_args=False, **settings)
    assert free.log_prob(actions).tolist() == [0.0, -math.inf]
    assert free.log_prob(torch.tensor([[1, 0], [0, 1]])).tolist()[0] == -math.inf
    with pytest.raises(DisallowedActionError, match=r"pick 1 in row \(1,\) is 0, picked before"):
        PointerPicks(torch.zeros(2), offsets=offsets, **settings).log_prob(actions)
    for wrong in (2, -1):
        with pytest.raises(DisallowedActionError, match=rf"pick 0 in row \(0,\) is {wrong}, "):
            free.log_prob(torch.tensor([[wrong, 1], [0, 0]]))
    with pytest.raises(DisallowedActionError, match=r"row \(1,\) is 3, outside 0..2, where 2"):
        free.log_prob(torch.tensor([[1, 1], [0, 3]]))

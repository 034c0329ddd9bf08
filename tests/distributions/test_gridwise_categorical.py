"""`GridwiseCategorical` equals separate categoricals over the cells where agents are."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from maskrl.distributions import GridwiseCategorical, MaskedCategorical
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.masks import pack_mask

B, A, H, W = 4, 5, 3, 4


def random(seed):
    return torch.Generator().manual_seed(seed)


LOGITS = torch.randn(B, A, H, W, dtype=torch.float64, generator=random(0))
ACTION_MASK = torch.rand(B, A, H, W, generator=random(1)) > 0.3
ACTION_MASK[:, 2] = True
# nobody, everybody, one agent, a few
AGENT_MASK = torch.zeros(B, H, W, dtype=torch.bool)
AGENT_MASK[1] = True
AGENT_MASK[2, 1, 3] = True
AGENT_MASK[3] = torch.rand(H, W, generator=random(2)) > 0.5
COUNTS = [0, 12, 1, int(AGENT_MASK[3].sum())]
AGENTS = [tuple(at) for at in AGENT_MASK.nonzero().tolist()]

GOLDEN = torch.tensor(
    [
        [
            [[1.0608, 0.4416], [1.2075, 0.0888]],
            [[0.1279, 0.0160], [-1.0273, 0.5896]],
            [[-0.0016, 0.6164], [0.1350, 0.5542]],
        ]
    ]
)


def agent_by_agent():
    """Torch's distribution over what each agent may do, and what that is."""
    for b, y, x in AGENTS:
        allowed = ACTION_MASK[b, :, y, x]
        yield (b, y, x), Categorical(logits=LOGITS[b, allowed, y, x]), allowed.nonzero().flatten()


def everything(d, actions):
    """All statistics that carry a gradient, in one number."""
    return (
        d.log_prob(actions).sum()
        + d.entropy().square().sum()
        + d.entropy(reduce="mean").sum()
        + d.entropy_normalized().sum()
        + d.probs.square().sum()
    )


@pytest.mark.parametrize(
    ("agent_mask", "log_prob", "mean_entropy"),
    [
        (torch.ones(2, 2, dtype=torch.bool), -4.0220, 0.9776),
        (torch.eye(2, dtype=torch.bool), -1.5331, 1.0256),
    ],
    ids=["agents everywhere", "agents on the diagonal"],
)
def test_golden_numbers(agent_mask, log_prob, mean_entropy):
    d = GridwiseCategorical(GOLDEN, agent_mask)
    actions = torch.tensor([[[0, 0], [2, 2]]])
    assert d.log_prob(actions).item() == pytest.approx(log_prob, abs=1e-4)
    assert d.entropy(reduce="mean").item() == pytest.approx(mean_entropy, abs=1e-4)
    assert d.entropy().item() == pytest.approx(mean_entropy * int(agent_mask.sum()), abs=4e-4)


def test_it_equals_separate_categoricals_agent_by_agent():
    d = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    actions = d.sample((20,), generator=random(3))
    joint, summed, most = torch.zeros(20, B), torch.zeros(B), torch.zeros(B)
    joint, summed, most = joint.double(), summed.double(), most.double()
    for (b, y, x), theirs, allowed in agent_by_agent():
        place = torch.searchsorted(allowed, actions[:, b, y, x].contiguous())
        score = theirs.log_prob(place)
        torch.testing.assert_close(d.log_prob(actions, reduce="agent")[:, b, y, x], score)
        torch.testing.assert_close(d.entropy(reduce="agent")[b, y, x], theirs.entropy())
        torch.testing.assert_close(d.probs[b, allowed, y, x], theirs.probs)
        assert d.mode[b, y, x] == allowed[theirs.probs.argmax()]
        joint[:, b] += score
        summed[b] += theirs.entropy()
        most[b] += math.log(len(allowed))
    torch.testing.assert_close(d.log_prob(actions), joint)
    torch.testing.assert_close(d.entropy(), summed)
    torch.testing.assert_close(d.entropy(reduce="mean")[1:], (summed / torch.tensor(COUNTS))[1:])
    torch.testing.assert_close(d.entropy_normalized()[1:], (summed / most)[1:])
    assert d.agent_counts.tolist() == COUNTS
    for statistic in (d.log_prob(actions, reduce="none"), d.entropy(reduce="none")):
        assert (statistic[..., ~AGENT_MASK] == 0).all()


def test_the_gradient_is_that_of_separate_categoricals():
    ours, theirs = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    d = GridwiseCategorical(ours, AGENT_MASK, ACTION_MASK)
    actions = d.sample(generator=random(4))
    (d.log_prob(actions).sum() + d.entropy().sum()).backward()
    total = 0
    for b, y, x in AGENTS:
        single = MaskedCategorical(theirs[b, :, y, x], ACTION_MASK[b, :, y, x])
        total = total + single.log_prob(actions[b, y, x]) + single.entropy()
    total.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("poison", [1e30, -math.inf, math.inf, math.nan])
def test_x1_x11_empty_cells_are_never_read(poison, dtype):
    there = AGENT_MASK.unsqueeze(1).expand_as(LOGITS)
    clean = LOGITS.to(dtype)
    results = []
    for logits in (clean.clone(), torch.where(there, clean, poison)):
        logits = logits.requires_grad_()
        d = GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK)
        draws = d.sample((5,), generator=random(5))
        total = everything(d, draws)
        total.backward()
        results.append((total.detach(), logits.grad, draws, d.mode, d.logits.detach()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert (results[1][1][~there] == 0).all()
    assert (results[1][1][there & ACTION_MASK] != 0).any()


def test_x11_a_grid_without_agents_gives_zero_and_a_finite_gradient():
    logits = torch.full((2, 3, 2, 2), math.nan, dtype=torch.float64).requires_grad_()
    d = GridwiseCategorical(logits, torch.zeros(2, 2, dtype=torch.bool), idle_action=2)
    assert (d.sample((3,)) == 2).all()
    assert (d.mode == 2).all()
    actions = torch.randint(-9, 9, (3, 2, 2, 2), generator=random(6))
    for statistic in (
        d.log_prob(actions),
        d.log_prob(actions, reduce="agent"),
        d.entropy(),
        d.entropy(reduce="mean"),
        d.entropy_normalized(),
        d.probs,
        kl_divergence(d, d),
    ):
        assert (statistic == 0).all()
    everything(d, actions).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_x11_agents_elsewhere_change_nothing():
    # Row 3 alone, and among rows with other numbers of agents: the same to the bit.
    whole = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    alone = GridwiseCategorical(LOGITS[3], AGENT_MASK[3], ACTION_MASK[3])
    assert alone.batch_shape == ()
    assert alone.event_shape == (H, W)
    assert torch.equal(whole.entropy()[3], alone.entropy())
    assert torch.equal(whole.mode[3], alone.mode)
    assert torch.equal(whole.log_prob(whole.mode)[3], alone.log_prob(alone.mode))


def test_the_mean_surprise_is_the_summed_entropy():
    # 20,000 events: five standard errors are exceeded once in a million; the seed is fixed.
    d = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    surprise = -d.log_prob(d.sample((20_000,), generator=random(7)))
    error = surprise.std(0) / math.sqrt(20_000)
    assert ((surprise.mean(0) - d.entropy()).abs() <= 5 * error + 1e-12).all()
    assert d.entropy()[1] > 2 * d.entropy(reduce="mean")[1]


def test_agents_are_independent_and_follow_their_probabilities():
    # Chi-square over the 9 joint outcomes of two agents at 1e-4: with this fixed seed it
    # passes, another would fail once in ten thousand.
    d = GridwiseCategorical(GOLDEN, torch.eye(2, dtype=torch.bool))
    draws = d.sample((20_000,), generator=random(8))[:, 0]
    counts = torch.bincount(draws[:, 0, 0] * 3 + draws[:, 1, 1], minlength=9)
    p = d.probs[0]
    expected = 20_000 * (p[:, 0, 0, None] * p[None, :, 1, 1]).flatten()
    assert ((counts - expected).square() / expected).sum() < 31.83  # 8 degrees of freedom
    assert (draws[:, 0, 1] == 0).all()


def test_several_heads_in_cells():
    logits = torch.randn(2, 5, 2, 2, dtype=torch.float64, generator=random(9))
    mask = torch.ones(2, 5, 2, 2, dtype=torch.bool)
    mask[:, 1] = False
    agents = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [0, 0]]]).bool()
    d = GridwiseCategorical(logits, agents, mask, nvec=(2, 3), idle_action=1)
    assert d.event_shape == (2, 2, 2)
    actions = d.sample((7,), generator=random(10))
    assert actions.shape == (7, 2, 2, 2, 2)
    assert (actions[:, 0, :, 0, 1] == 1).all()
    scores = d.log_prob(actions, reduce="none")
    assert scores.shape == actions.shape
    for b, y, x in agents.nonzero().tolist():
        assert (actions[:, b, 0, y, x] == 0).all()
        head = Categorical(logits=logits[b, 2:, y, x])
        torch.testing.assert_close(scores[:, b, 1, y, x], head.log_prob(actions[:, b, 1, y, x]))
        torch.testing.assert_close(d.entropy(reduce="none")[b, 1, y, x], head.entropy())
    torch.testing.assert_close(d.log_prob(actions, reduce="agent"), scores.sum(-3))
    torch.testing.assert_close(d.log_prob(actions), scores.sum((-3, -2, -1)))


def test_masks_broadcast_over_the_batch():
    whole = AGENT_MASK[3].expand(B, H, W), ACTION_MASK[0].expand(B, A, H, W)
    alike = GridwiseCategorical(LOGITS, AGENT_MASK[3], ACTION_MASK[0])
    assert torch.equal(alike.probs, GridwiseCategorical(LOGITS, *whole).probs)
    assert alike.action_mask.shape == LOGITS.shape
    assert alike.agent_mask.shape == (B, H, W)
    stacked = LOGITS.reshape(2, 2, A, H, W)
    several = GridwiseCategorical(stacked, AGENT_MASK[3], ACTION_MASK[2:].unsqueeze(1))
    assert several.batch_shape == (2, 2)
    torch.testing.assert_close(
        several.entropy()[1, 1],
        GridwiseCategorical(LOGITS, AGENT_MASK[3], ACTION_MASK[3]).entropy()[3],
    )


def test_packed_masks_are_the_same_masks():
    bits = pack_mask(AGENT_MASK), pack_mask(ACTION_MASK)
    packed, plain = (
        GridwiseCategorical(LOGITS, *masks) for masks in (bits, (AGENT_MASK, ACTION_MASK))
    )
    assert torch.equal(packed.probs, plain.probs)


def test_expanding_a_batch_of_one():
    d = GridwiseCategorical(LOGITS[3:], AGENT_MASK[3:], ACTION_MASK[3:])
    wide = d.expand((2, 5))
    assert wide.sample((3,)).shape == (3, 2, 5, H, W)
    assert torch.equal(wide.entropy(), d.entropy().expand(2, 5))
    assert wide.agent_counts.tolist() == [[COUNTS[3]] * 5] * 2


def test_an_empty_batch():
    d = GridwiseCategorical(LOGITS[:0], AGENT_MASK[:0], ACTION_MASK[:0])
    assert d.sample((3,)).shape == (3, 0, H, W)
    for statistic in (d.log_prob(d.mode), d.entropy(), d.entropy(reduce="mean"), d.agent_counts):
        assert statistic.shape == (0,)
    assert d.probs.shape == (0, A, H, W)


def idle_agents():
    mask = ACTION_MASK.clone()
    mask[2, :, 1, 3] = False  # the only agent of its row
    mask[1, :, 0, 2] = False
    return mask


def test_x5_an_agent_that_may_do_nothing_is_named():
    with pytest.raises(NoAllowedActionError) as caught:
        GridwiseCategorical(LOGITS, AGENT_MASK, idle_agents())
    assert str(caught.value).startswith(
        "GridwiseCategorical: action_mask allows nothing in row (1,), cell (0, 2) (2 of "
    )
    with pytest.raises(NoAllowedActionError, match=r"row \(1,\), cell \(0, 2\)"):
        GridwiseCategorical(LOGITS, AGENT_MASK, idle_agents(), validate_args=False)
    heads = torch.ones(5, H, W, dtype=torch.bool)
    heads[2:, 1, 3] = False
    with pytest.raises(NoAllowedActionError, match=r"row \(1,\), cell \(1, 3\), head 1 "):
        GridwiseCategorical(LOGITS, AGENT_MASK, heads, nvec=(2, 3))


def test_x5_a_cell_without_an_agent_is_no_empty_row():
    mask = ACTION_MASK & AGENT_MASK.unsqueeze(1)
    d = GridwiseCategorical(LOGITS, AGENT_MASK, mask)
    assert torch.equal(d.probs, GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK).probs)


def test_x5_an_idle_agent_takes_no_decision():
    logits = LOGITS.clone()
    logits[1, :, 0, 2] = math.nan
    logits = logits.requires_grad_()
    d = GridwiseCategorical(logits, AGENT_MASK, idle_agents(), empty="idle", idle_action=3)
    actions = d.sample((20,), generator=random(11))
    assert (actions[:, 1, 0, 2] == 3).all()
    assert (d.log_prob(actions, reduce="agent")[:, 1, 0, 2] == 0).all()
    assert (d.log_prob(actions)[:, 2] == 0).all()
    assert d.entropy()[2] == d.entropy_normalized()[2] == 0
    assert (d.probs[1, :, 0, 2] == 0).all()
    assert d.agent_counts[2] == 1
    everything(d, actions).backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[1, :, 0, 2] == 0).all()
    actions[0, 1, 0, 2] = 0
    with pytest.raises(DisallowedActionError, match=r"cell \(0, 2\) .* idle_action=3"):
        d.log_prob(actions)
    assert kl_divergence(d, d).tolist() == [0] * B
    whole = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    assert (kl_divergence(d, whole) == math.inf).tolist() == [False, True, True, False]


def test_x6_a_disallowed_action_is_named_or_scores_minus_infinity():
    logits = LOGITS.clone().requires_grad_()
    d = GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK, validate_args=False)
    actions = d.mode
    b, y, x = next(at for at in AGENTS if not ACTION_MASK[at[0], :, at[1], at[2]].all())
    actions[b, y, x] = int((~ACTION_MASK[b, :, y, x]).nonzero()[0])
    scores = d.log_prob(actions)
    assert (scores == -math.inf).tolist() == [row == b for row in range(B)]
    scores.sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[b, :, y, x] == 0).all()
    validated = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    with pytest.raises(DisallowedActionError) as caught:
        validated.log_prob(actions.expand(2, B, H, W))
    assert f"GridwiseCategorical.log_prob: action {int(actions[b, y, x])} in row (0, {b}), " in str(
        caught.value
    )
    assert f"cell ({y}, {x}) is disallowed by action_mask" in str(caught.value)
    actions[b, y, x] = A
    with pytest.raises(DisallowedActionError, match=r"outside 0\.\.4"):
        validated.log_prob(actions)
    actions[b, y, x] = validated.mode[b, y, x]
    actions[0] = 99  # nobody is there
    assert validated.log_prob(actions)[0] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_x13_an_allowed_logit_that_is_no_number(value):
    logits = LOGITS.clone()
    logits[2, 2, 1, 3] = value
    with pytest.raises(NonFiniteLogitsError) as caught:
        GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK)
    assert f"logits is {value} at row (2,), cell (1, 3), action 2" in str(caught.value)
    unchecked = GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK, validate_args=False)
    assert unchecked.entropy().isnan().tolist() == [False, False, True, False]
    with pytest.raises(NonFiniteLogitsError, match=r"GridwiseCategorical: .* cell \(1, 3\)"):
        unchecked.sample()
    with pytest.raises(NonFiniteLogitsError, match=r"GridwiseCategorical: .* cell \(1, 3\)"):
        _ = unchecked.mode


def test_kl_is_the_sum_over_agents():
    other = LOGITS.flip(0)
    p, q = (GridwiseCategorical(of, AGENT_MASK, ACTION_MASK) for of in (LOGITS, other))
    expected = torch.zeros(B, dtype=torch.float64)
    for (b, y, x), theirs, allowed in agent_by_agent():
        expected[b] += kl_divergence(theirs, Categorical(logits=other[b, allowed, y, x]))
    torch.testing.assert_close(kl_divergence(p, q), expected)
    one = GridwiseCategorical(other[:1], AGENT_MASK[3], ACTION_MASK[3])
    many = GridwiseCategorical(LOGITS, AGENT_MASK[3], ACTION_MASK[3])
    assert kl_divergence(many, one).shape == (B,)


def test_kl_needs_the_same_agents():
    p = GridwiseCategorical(LOGITS, AGENT_MASK)
    moved = AGENT_MASK.clone()
    moved[2, 1, 3] = False
    with pytest.raises(MaskError, match=r"first at row \(2,\), cell \(1, 3\), where only p has"):
        kl_divergence(p, GridwiseCategorical(LOGITS, moved))
    for unlike in (
        GridwiseCategorical.from_slots(LOGITS[..., 0].mT, AGENT_MASK[..., 0]),
        GridwiseCategorical(LOGITS[..., :2], AGENT_MASK[..., :2]),
        GridwiseCategorical(LOGITS[:3], AGENT_MASK[:3]),
        GridwiseCategorical(LOGITS, AGENT_MASK, nvec=(2, 3)),
    ):
        with pytest.raises(
            MaskShapeError, match=r"expected (the same shapes|shapes that broadcast)"
        ):
            kl_divergence(p, unlike)
    with pytest.raises(MaskShapeError, match="p has 5 actions, q 4"):
        kl_divergence(p, GridwiseCategorical(LOGITS[:, :4], AGENT_MASK))


def test_first_and_second_derivatives():
    actions = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK).mode

    def scored(x, y):
        p, q = (GridwiseCategorical(of, AGENT_MASK, ACTION_MASK) for of in (x, y))
        return p.log_prob(actions), p.entropy(), p.entropy("mean"), kl_divergence(p, q)

    leaves = [LOGITS[..., :].clone().requires_grad_(), LOGITS.flip(0).clone().requires_grad_()]
    assert torch.autograd.gradcheck(scored, leaves)
    assert torch.autograd.gradgradcheck(scored, leaves)


def test_the_graph_is_recorded_inside_no_grad():
    logits = LOGITS.clone().requires_grad_()
    with torch.no_grad():
        d = GridwiseCategorical(logits, AGENT_MASK, ACTION_MASK)
        actions = d.sample()
    d.log_prob(actions).sum().backward()
    assert (logits.grad != 0).any()


def test_only_rows_of_agents_are_computed():
    d = GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK)
    assert d.of_agents.batch_shape == (sum(COUNTS),)
    assert d.of_agents.param_shape == (sum(COUNTS), A)


def test_a_mask_that_changes_afterwards_changes_nothing():
    there = AGENT_MASK.clone()
    d = GridwiseCategorical(LOGITS, there)
    before = d.entropy("mean"), d.agent_counts, d.log_prob(d.mode), d.probs
    there[:] = False
    after = d.entropy("mean"), d.agent_counts, d.log_prob(d.mode), d.probs
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_reductions_are_named():
    d = GridwiseCategorical(LOGITS, AGENT_MASK)
    with pytest.raises(ConfigError, match='reduce is "?\'sum\'; expected "joint", "agent", or'):
        d.log_prob(d.mode, reduce="sum")
    with pytest.raises(ConfigError, match='expected "sum", "mean", "agent", or "none"'):
        d.entropy(reduce="joint")


def test_repr_says_what_it_is():
    text = repr(GridwiseCategorical(LOGITS, AGENT_MASK, ACTION_MASK, empty="idle"))
    assert text == (
        "GridwiseCategorical(batch_shape=(4,), cells (3, 4), actions=5, masked, "
        'empty="idle", idle_action=0)'
    )

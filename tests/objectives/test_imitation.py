"""Imitation: cross-entropy over allowed actions against torch, and an expert that is cloned."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from maskrl.distributions import (
    ConditionalCategorical,
    GridwiseCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
    PointerCategorical,
    PointerPicks,
)
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskShapeError,
    NonFiniteLogitsError,
)
from maskrl.functional import masked_argmax
from maskrl.masks import ActionTree, Head, pack_mask
from maskrl.objectives import count_disallowed, imitation_loss, masked_cross_entropy

LOGITS = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor(
    [[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 1, 0], [0, 1, 1, 0, 1]], dtype=torch.bool
)
ACTIONS = torch.tensor([2, 4, 3, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_is_torchs_cross_entropy_on_the_gathered_allowed_logits(smoothing):
    expected = []
    for row in range(4):
        allowed = MASK[row].nonzero().flatten()
        place = (allowed == ACTIONS[row]).nonzero()[0]
        expected.append(
            F.cross_entropy(LOGITS[row, allowed][None], place, label_smoothing=smoothing)
        )
    expected = torch.stack(expected)
    ours = masked_cross_entropy(LOGITS, ACTIONS, MASK, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(ours, expected)
    mean = masked_cross_entropy(LOGITS, ACTIONS, MASK, label_smoothing=smoothing)
    torch.testing.assert_close(mean, expected.mean())
    packed = masked_cross_entropy(LOGITS, ACTIONS, pack_mask(MASK), label_smoothing=smoothing)
    assert torch.equal(packed, mean)
    everything = masked_cross_entropy(LOGITS, ACTIONS, None, label_smoothing=smoothing)
    torch.testing.assert_close(
        everything, F.cross_entropy(LOGITS, ACTIONS, label_smoothing=smoothing)
    )


@pytest.mark.parametrize("poison", [1e30, -math.inf, math.inf, math.nan])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_x1_what_is_disallowed_is_never_read(poison, smoothing):
    results = []
    for logits in (LOGITS, torch.where(MASK, LOGITS, poison)):
        logits = logits.clone().requires_grad_()
        loss = masked_cross_entropy(logits, ACTIONS, MASK, label_smoothing=smoothing)
        loss.backward()
        results.append((loss.detach(), logits.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert (results[1][1][~MASK] == 0).all()


def test_first_derivatives():
    for smoothing in (0.0, 0.3):
        assert torch.autograd.gradcheck(
            lambda x, e=smoothing: masked_cross_entropy(x, ACTIONS, MASK, label_smoothing=e),
            LOGITS.clone().requires_grad_(),
        )


def test_a_disallowed_demonstration_is_named_or_left_out():
    actions = torch.tensor([2, 4, 0, 3])
    with pytest.raises(DisallowedActionError, match=r"action 0 in row \(2,\) is disal") as caught:
        masked_cross_entropy(LOGITS, actions, MASK)
    assert "which allows [3] (2 such rows)" in str(caught.value)
    logits = LOGITS.clone().requires_grad_()
    loss = masked_cross_entropy(logits, actions, MASK, on_disallowed="skip")
    torch.testing.assert_close(loss, masked_cross_entropy(LOGITS[:2], actions[:2], MASK[:2]))
    loss.backward()
    assert (logits.grad[2:] == 0).all()
    assert count_disallowed(actions, MASK).item() == 2
    assert count_disallowed(ACTIONS, MASK).item() == 0
    each = masked_cross_entropy(
        LOGITS, actions, MASK, on_disallowed="skip", reduction="none", label_smoothing=0.5
    )
    assert each[2:].tolist() == [0.0, 0.0]


def test_actions_outside_the_range_are_disallowed():
    actions = torch.tensor([2, -100, 5, 1])
    with pytest.raises(DisallowedActionError, match=r"action -100 in row \(1,\)"):
        masked_cross_entropy(LOGITS, actions, MASK)
    assert count_disallowed(actions, MASK).item() == 2
    rows = [0, 3]
    torch.testing.assert_close(
        masked_cross_entropy(LOGITS, actions, MASK, on_disallowed="skip"),
        masked_cross_entropy(LOGITS[rows], actions[rows], MASK[rows]),
    )


def test_x5_empty_rows_add_nothing_and_are_not_counted():
    mask = MASK.clone()
    mask[1] = False
    logits = LOGITS.clone()
    logits[1] = math.nan
    logits.requires_grad_()
    loss = masked_cross_entropy(logits, ACTIONS, mask, label_smoothing=0.1)
    rows = [0, 2, 3]
    expected = masked_cross_entropy(LOGITS[rows], ACTIONS[rows], MASK[rows], label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert (logits.grad[1] == 0).all()
    assert count_disallowed(ACTIONS, mask).item() == 0
    nothing = masked_cross_entropy(LOGITS, ACTIONS, torch.zeros_like(MASK))
    assert nothing.item() == 0


def test_rows_that_are_not_kept_are_never_read():
    logits, actions = LOGITS.clone(), ACTIONS.clone()
    logits[3], actions[3] = math.nan, 99
    keep = torch.tensor([True, True, True, False])
    logits.requires_grad_()
    loss = masked_cross_entropy(logits, actions, MASK, keep=keep)
    torch.testing.assert_close(loss, masked_cross_entropy(LOGITS[:3], ACTIONS[:3], MASK[:3]))
    loss.backward()
    assert (logits.grad[3] == 0).all()
    assert count_disallowed(actions, MASK, keep=keep).item() == 0
    assert count_disallowed(actions, MASK).item() == 1


def test_several_heads():
    # two heads of 2 and 3 choices; the second row's first head is empty
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 1, 1, 0]], dtype=torch.bool)
    logits = torch.zeros(2, 5)
    actions = torch.tensor([[1, 2], [7, 0]])
    each = masked_cross_entropy(logits, actions, mask, nvec=[2, 3], reduction="none")
    # log 2 + log 2, and log 2 alone
    torch.testing.assert_close(each, torch.tensor([2 * math.log(2), math.log(2)]))
    torch.testing.assert_close(
        masked_cross_entropy(logits, actions, mask, nvec=[2, 3], label_smoothing=0.4), each.mean()
    )
    wrong = torch.tensor([[1, 0], [7, 0]])
    with pytest.raises(DisallowedActionError, match=r"action 0 in row \(0,\), head 1, is disal"):
        masked_cross_entropy(logits, wrong, mask, nvec=[2, 3])
    skipped = masked_cross_entropy(logits, wrong, mask, nvec=[2, 3], on_disallowed="skip")
    torch.testing.assert_close(skipped, each[1])
    assert count_disallowed(wrong, mask, nvec=[2, 3]).item() == 1


def test_a_demonstration_of_probability_zero_costs_infinitely_much_and_has_no_gradient():
    logits = torch.tensor([[0.0, -math.inf, 1.0]], requires_grad=True)
    loss = masked_cross_entropy(logits, torch.tensor([1]), None)
    loss.backward()
    assert loss.item() == math.inf
    assert (logits.grad == 0).all()


def test_arguments_are_checked():
    with pytest.raises(ConfigError, match="label_smoothing is 1.0"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, label_smoothing=1.0)
    with pytest.raises(ConfigError, match="on_disallowed is 'ignore'"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, on_disallowed="ignore")
    with pytest.raises(ConfigError, match='reduction is \'sum\'; expected "mean" or "none"'):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, reduction="sum")
    with pytest.raises(MaskDtypeError, match="as_mask"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK.float())
    with pytest.raises(MaskDtypeError, match="actions has torch.float32"):
        masked_cross_entropy(LOGITS, ACTIONS.float(), MASK)
    with pytest.raises(MaskShapeError, match=r"actions has shape \(3,\); expected \(4,\)"):
        masked_cross_entropy(LOGITS, ACTIONS[:3], MASK)
    with pytest.raises(MaskShapeError, match=r"expected \(4, 2\), one number for each row and h"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, nvec=[2, 3])
    with pytest.raises(MaskDtypeError, match="keep has torch.int64"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, keep=ACTIONS)
    with pytest.raises(MaskShapeError, match=r"keep has shape \(3,\)"):
        masked_cross_entropy(LOGITS, ACTIONS, MASK, keep=MASK[0, :3])
    logits = LOGITS.clone()
    logits[0, 0] = math.nan
    named = r"masked_cross_entropy: logits is nan at row \(0,\), action 0"
    with pytest.raises(NonFiniteLogitsError, match=named):
        masked_cross_entropy(logits, ACTIONS, MASK)
    with pytest.raises(NonFiniteLogitsError, match=r"y: logits is nan at row \(0,\), head 0, ac"):
        masked_cross_entropy(logits, ACTIONS.reshape(2, 2).repeat(2, 1) % 2, None, nvec=[2, 3])
    with pytest.raises(MaskDtypeError, match="count_disallowed: actions has list"):
        count_disallowed([2, 4, 3, 1], MASK)
    with pytest.raises(MaskDtypeError, match="count_disallowed: action_mask has type list"):
        count_disallowed(ACTIONS, MASK.tolist())


def test_half_precision_is_computed_in_float32():
    loss = masked_cross_entropy(LOGITS.to(torch.bfloat16), ACTIONS, MASK)
    assert loss.dtype == torch.float32


def test_compiled():
    torch.compiler.reset()

    def loss(logits, actions, m):
        return masked_cross_entropy(logits, actions, m, on_disallowed="skip", label_smoothing=0.1)

    actions = torch.tensor([2, 4, 0, 1])
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(LOGITS, actions, MASK), loss(LOGITS, actions, MASK))
    with pytest.raises(Exception, match="has to look at the actions"):
        torch.compile(masked_cross_entropy, backend="aot_eager")(LOGITS, actions, MASK)


def test_imitation_loss_equals_the_cross_entropy():
    d = MaskedCategorical(LOGITS, MASK)
    torch.testing.assert_close(
        imitation_loss(d, ACTIONS), masked_cross_entropy(LOGITS, ACTIONS, MASK)
    )
    keep = torch.tensor([True, False, True, True])
    garbage = torch.tensor([2, 99, 3, 1])
    torch.testing.assert_close(
        imitation_loss(d, garbage, keep), masked_cross_entropy(LOGITS, garbage, MASK, keep=keep)
    )
    with pytest.raises(DisallowedActionError, match="action 99"):
        imitation_loss(d, garbage)
    with pytest.raises(MaskShapeError, match="keep has shape"):
        imitation_loss(d, ACTIONS, keep[:2])


def test_imitation_loss_leaves_out_idle_rows_of_every_distribution():
    idle = torch.tensor([[True, True], [False, False]])
    zeros = torch.zeros(2, 2)
    both = torch.tensor([[True], [False]])
    tree = ActionTree(Head("type", 2))
    cases = [
        # one free decision between two in the first row, none in the second: log 2 for each
        (MaskedCategorical(zeros, idle, empty="idle"), torch.tensor([1, 1])),
        (MaskedMultiCategorical(zeros, [2], idle, empty="idle"), torch.tensor([[1], [1]])),
        (
            MaskedBernoulli(zeros[:, :1], idle.unsqueeze(-2), empty="idle"),
            torch.tensor([[1], [1]]),
        ),
        (PointerCategorical(zeros, idle, empty="idle"), torch.tensor([1, 1])),
        (PointerPicks(zeros, idle, picks=1, empty="idle"), torch.tensor([[1], [1]])),
        (GridwiseCategorical.from_slots(zeros.unsqueeze(1), both), torch.tensor([[1], [7]])),
    ]
    for d, actions in cases:
        assert imitation_loss(d, actions).item() == pytest.approx(math.log(2)), d
    d = ConditionalCategorical(tree, zeros, idle, empty="idle")
    keep = torch.tensor([True, False])
    assert imitation_loss(d, torch.tensor([[1], [1]]), keep).item() == pytest.approx(math.log(2))


def test_cloning_an_expert_reaches_it():
    """A random valid agent returns 5.35 in this world and its expert 10.79 (both exact).

    60 states of 6 actions, of which about half are allowed; the clone sees 3,000 decisions
    of the expert, 5 % of them replaced by an action that is impossible, and skips these.
    """
    generator = torch.Generator().manual_seed(1)
    S, A, discount = 60, 6, 0.95
    mask = torch.rand(S, A, generator=generator) < 0.5
    mask[:, 0] = True
    rewards = torch.rand(S, A, generator=generator, dtype=torch.float64).pow(3)
    steps = torch.rand(S, A, S, generator=generator, dtype=torch.float64).pow(8)
    steps = steps / steps.sum(-1, keepdim=True)

    def returns(policy):
        """Discounted return of a policy `[S, A]` from a random state, solved exactly."""
        step = torch.einsum("sa,sat->st", policy, steps)
        gain = (policy * rewards).sum(-1)
        return torch.linalg.solve(torch.eye(S) - discount * step, gain).mean().item()

    values = torch.zeros(S, dtype=torch.float64)
    for _ in range(400):
        q = rewards + discount * steps @ values
        values = torch.where(mask, q, -math.inf).amax(-1)
    expert = masked_argmax(rewards + discount * steps @ values, mask)
    best = returns(F.one_hot(expert, A).double())
    random = returns(mask.double() / mask.sum(-1, keepdim=True))

    states = torch.randint(S, (3000,), generator=generator)
    actions = expert[states]
    spoiled = torch.rand(3000, generator=generator) < 0.05
    impossible = (~mask).to(torch.uint8).argmax(-1)[states]
    spoiled &= ~mask[states].all(-1)
    actions = torch.where(spoiled, impossible, actions)
    assert count_disallowed(actions, mask[states]) == spoiled.sum()

    table = torch.zeros(S, A, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=0.1)
    for _ in range(60):
        loss = masked_cross_entropy(table[states], actions, mask[states], on_disallowed="skip")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clone = MaskedCategorical(table, mask)
    assert torch.equal(clone.mode, expert)
    cloned = returns(F.one_hot(clone.mode, A).double())
    assert cloned == pytest.approx(best)
    assert random < 0.6 * best
    assert returns(clone.probs.detach().double()) > 0.95 * best


def test_imitation_loss_of_packed_agents_reads_the_rows_of_each_entry():
    # no agent, one, two; as many entries as agents, which must not be taken for each other
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    d = GridwiseCategorical.from_packed(logits, torch.tensor([0, 0, 1, 3]))
    actions = torch.tensor([1, 0, 3])
    each = -logits.log_softmax(-1)[[0, 1, 2], actions]
    torch.testing.assert_close(imitation_loss(d, actions), each.sum() / 2)
    keep = torch.tensor([True, False, True])
    torch.testing.assert_close(imitation_loss(d, torch.tensor([99, 0, 3]), keep), each[1:].sum())
    nobody = torch.tensor([True, False, False])
    assert imitation_loss(d, torch.tensor([99, 99, 99]), nobody) == 0
    wider = d.expand((2, 3))
    torch.testing.assert_close(
        imitation_loss(wider, torch.stack([torch.tensor([99, 0, 3]), actions]), keep.expand(2, 3)),
        each[1:].sum(),
    )
    heads = GridwiseCategorical.from_packed(logits, torch.tensor([0, 0, 1, 3]), nvec=[2, 2])
    demonstrated = torch.tensor([[9, 9], [0, 1], [1, 1]])
    expected = -heads.log_prob(torch.tensor([[0, 0], [0, 1], [1, 1]]))[2]
    torch.testing.assert_close(imitation_loss(heads, demonstrated, keep), expected)


def test_imitation_loss_leaves_out_entries_all_of_whose_agents_are_idle():
    nobody_may = torch.ones(2, 3, 2, 2, dtype=torch.bool)
    nobody_may[0] = False
    here = torch.tensor([[[True, False], [False, True]]]).expand(2, 2, 2)
    d = GridwiseCategorical(torch.zeros(2, 3, 2, 2), here, nobody_may, empty="idle")
    actions = torch.tensor([[[7, 7], [7, 7]], [[1, 7], [7, 2]]])
    assert imitation_loss(d, actions).item() == pytest.approx(2 * math.log(3))
    mask = nobody_may[:, :1].expand(2, 4, 2, 2)
    heads = GridwiseCategorical(torch.zeros(2, 4, 2, 2), here, mask, nvec=[2, 2], empty="idle")
    demonstrated = torch.where(torch.tensor([False, True]).reshape(2, 1, 1, 1), 1, 7)
    assert imitation_loss(heads, demonstrated.expand(2, 2, 2, 2)).item() == pytest.approx(
        4 * math.log(2)
    )


def test_imitation_loss_takes_actions_in_the_shape_of_a_sample_only():
    d = MaskedCategorical(LOGITS, MASK)
    with pytest.raises(MaskShapeError, match=r"actions has shape \(4, 1\); expected \(4,\)"):
        imitation_loss(d, ACTIONS.unsqueeze(-1))
    with pytest.raises(MaskDtypeError, match="imitation_loss: actions has list"):
        imitation_loss(d, [2, 4, 3, 1])
    packed = GridwiseCategorical.from_packed(LOGITS, torch.tensor([0, 3, 4]))
    with pytest.raises(MaskShapeError, match=r"actions has shape \(2,\); expected \(4,\)"):
        imitation_loss(packed, ACTIONS[:2])

"""Soft actor-critic's losses: of allowed actions alone, and quiet where there is no choice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import maskrl
from maskrl import MaskedCategorical, as_mask
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.objectives.soft_q_learning import (
    soft_next_values,
    soft_policy_loss,
    soft_values,
    target_entropies,
    temperature_loss,
)

NAN, INF = math.nan, math.inf
GOES_ON = torch.tensor([False])
HOSTILE = (NAN, INF, -INF, 1e30, -1e30)


def by_hand(q: list[float], logits: list[float], allowed: list[bool], temperature: float) -> float:
    """The sum over the allowed actions, in Python's floats."""
    kept = [i for i, ok in enumerate(allowed) if ok and logits[i] > -INF]
    top = max(logits[i] for i in kept)
    total = sum(math.exp(logits[i] - top) for i in kept)
    log_probs = {i: logits[i] - top - math.log(total) for i in kept}
    return sum(math.exp(p) * (q[i] - temperature * p) for i, p in log_probs.items())


def test_the_value_of_a_state_is_a_sum_over_what_it_allows():
    # p = [1/4, 3/4] over actions 0 and 2; q = 2/4 + 9/4 = 2.75; H = .25 log 4 + .75 log(4/3)
    policy = MaskedCategorical(
        torch.tensor([0.0, NAN, math.log(3.0)], dtype=torch.float64), as_mask([1, 0, 1])
    )
    q = torch.tensor([2.0, INF, 3.0], dtype=torch.float64)
    entropy = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    assert soft_values(q, policy, temperature=0.5).item() == pytest.approx(2.75 + 0.5 * entropy)


@pytest.mark.parametrize("hidden", HOSTILE)
def test_what_is_not_allowed_has_no_value_and_no_gradient(hidden):
    mask = as_mask([[0, 1, 1], [1, 0, 1]])
    clean = torch.tensor([[0.0, 2.0, -1.0], [0.5, 0.0, 1.0]], dtype=torch.float64)
    results = []
    for fill in (0.0, hidden):
        logits = torch.where(mask, clean, fill).requires_grad_()
        q = torch.where(mask, 3.0 * clean.flip(0).flip(1), fill).requires_grad_()
        value = soft_values(q, MaskedCategorical(logits, mask), temperature=0.7)
        value.sum().backward()
        assert (logits.grad[~mask] == 0).all() and (q.grad[~mask] == 0).all()
        assert logits.grad.isfinite().all() and (logits.grad[mask] != 0).all()
        results.append((value.detach(), logits.grad, q.grad))
    for got, expected in zip(*results, strict=True):
        assert torch.equal(got, expected)


def test_gradients_are_those_of_numbers_moved_a_little():
    torch.manual_seed(0)
    mask = torch.rand(7, 5) < 0.5
    mask[:, 2] |= ~mask.any(-1)
    logits, q = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True).unbind(0)
    log_t = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)

    def of(logits, q, log_t):
        return soft_values(q, MaskedCategorical(logits, mask), temperature=log_t.exp())

    leaves = (logits.detach().requires_grad_(), q.detach().requires_grad_(), log_t)
    assert torch.autograd.gradcheck(of, leaves)


def test_an_allowed_action_of_probability_0_is_not_read():
    policy = MaskedCategorical(torch.tensor([0.0, -INF, 1.0], requires_grad=True))
    q = torch.tensor([1.0, INF, 2.0])
    value = soft_values(q, policy, temperature=1.0)
    assert value.item() == pytest.approx(by_hand(q.tolist(), [0.0, -INF, 1.0], [True] * 3, 1.0))


def test_rows_equal_a_loop():
    torch.manual_seed(0)
    logits, q = 3.0 * torch.randn(2, 60, 9, dtype=torch.float64)
    mask = torch.rand(60, 9) < 0.3
    mask[:, 4] |= ~mask.any(-1)
    ends = torch.rand(60) < 0.3
    got = soft_next_values(q, logits, maskrl.pack_mask(mask), ends, temperature=0.2)
    expected = [
        0.0 if end else by_hand(*row, 0.2)
        for end, *row in zip(*(x.tolist() for x in (ends, q, logits, mask)), strict=True)
    ]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_target_never_counts_what_the_successor_disallows():
    # Without the mask 0 would have nearly all probability, and the value would be near 100.
    q, logits = torch.tensor([[100.0, 1.0, 2.0]]), torch.tensor([[50.0, 0.0, 0.0]])
    mask = as_mask([[0, 1, 1]])
    assert soft_next_values(q, logits, None, GOES_ON, temperature=0.0).item() == 100.0
    assert soft_next_values(q, logits, mask, GOES_ON, temperature=0.0).item() == 1.5
    # and the entropy is that of two actions, not of three
    even = torch.zeros(1, 3)
    soft = soft_next_values(q, even, mask, GOES_ON, temperature=1.0).item()
    assert soft == pytest.approx(1.5 + math.log(2))


def test_the_end_is_worth_nothing_whatever_stands_there():
    q = torch.tensor([[NAN, INF], [3.0, 4.0]], requires_grad=True)
    logits = torch.tensor([[NAN, NAN], [0.0, 0.0]], requires_grad=True)
    ends = torch.tensor([True, False])
    values = soft_next_values(q, logits, as_mask([[0, 0], [1, 0]]), ends, temperature=1.0)
    assert values.tolist() == [0.0, 3.0]
    assert not values.requires_grad
    bare = soft_next_values(q[:1], logits[:1], None, ends[:1], temperature=1.0)
    assert bare.tolist() == [0.0]


def test_a_successor_that_allows_nothing_raises_or_has_the_value_of_idling():
    q, logits, nothing = torch.tensor([[1.0, 2.0]]), torch.tensor([[NAN, 0.0]]), as_mask([[0, 0]])
    with pytest.raises(NoAllowedActionError):
        soft_next_values(q, logits, nothing, GOES_ON, temperature=1.0)
    given = {"temperature": 1.0, "empty": "idle", "idle_action": 1}
    assert soft_next_values(q, logits, nothing, GOES_ON, **given).item() == 2.0
    assert soft_next_values(q, logits, nothing, ~GOES_ON, temperature=1.0).item() == 0.0


def test_what_does_not_fit_is_named():
    q, mask = torch.zeros(1, 2), as_mask([[1, 1]])
    given = {"temperature": 1.0}
    with pytest.raises(MaskShapeError, match="next_logits"):
        soft_next_values(q, torch.zeros(1, 3), mask, GOES_ON, **given)
    with pytest.raises(MaskShapeError, match="terminated"):
        soft_next_values(torch.zeros(3, 2), torch.zeros(3, 2), mask, GOES_ON, **given)
    with pytest.raises(MaskDtypeError, match="terminated"):
        soft_next_values(q, q, mask, torch.zeros(1), **given)
    with pytest.raises(MaskDtypeError, match="next_action_mask"):
        soft_next_values(q, q, torch.ones(1, 2), GOES_ON, **given)
    with pytest.raises(NonFiniteLogitsError):
        soft_next_values(q, torch.full((1, 2), NAN), mask, GOES_ON, **given)
    policy = MaskedCategorical(q, mask)
    with pytest.raises(MaskShapeError, match="values"):
        soft_values(torch.zeros(2), policy, temperature=1.0)
    with pytest.raises(MaskShapeError, match="temperature"):
        soft_values(q, policy, temperature=torch.zeros(2))
    with pytest.raises(ConfigError, match="share"):
        target_entropies(mask, share=1.5)
    with pytest.raises(MaskDtypeError, match="action_mask"):
        target_entropies(torch.ones(1, 2), share=0.5)
    with pytest.raises(MaskShapeError, match="entropies"):
        temperature_loss(torch.zeros(()), torch.zeros(3), mask, share=0.5)
    with pytest.raises(MaskShapeError, match="log_temperature"):
        temperature_loss(torch.zeros(1), torch.zeros(1), mask, share=0.5)


def test_the_policy_learns_from_the_rows_in_which_it_decides():
    mask = as_mask([[1, 1, 0], [0, 0, 0], [0, 1, 0]])
    logits = torch.tensor([[0.0, 0.0, NAN], [NAN, NAN, NAN], [9.0, 1.0, 9.0]], requires_grad=True)
    q = torch.tensor([[1.0, 3.0, INF], [5.0, 5.0, 5.0], [INF, 7.0, NAN]], requires_grad=True)
    policy = MaskedCategorical(logits, mask, empty="idle")
    loss = soft_policy_loss(policy, q, temperature=0.5)
    # two of three rows decide: (2 + .5 log 2, and 7 of the only choice)
    assert loss.item() == pytest.approx(-(2 + 0.5 * math.log(2) + 7) / 2)
    loss.backward()
    assert q.grad is None
    # of row 0, over two rows: d/dl of -(p q) = -p (q - 2) = [.5, -.5]
    assert logits.grad[0].tolist() == pytest.approx([0.25, -0.25, 0.0])
    assert (logits.grad[1:] == 0).all()


def test_nothing_to_decide_is_no_loss():
    logits = torch.randn(4, 3, requires_grad=True)
    idle = MaskedCategorical(logits, torch.zeros(4, 3, dtype=torch.bool), empty="idle")
    loss = soft_policy_loss(idle, torch.full((4, 3), NAN), temperature=1.0)
    loss.backward()
    assert loss.item() == 0.0 and (logits.grad == 0).all()


def test_the_best_policy_under_the_loss_is_boltzmann_over_the_allowed():
    torch.manual_seed(0)
    mask, q = as_mask([[1, 0, 1, 1]]), torch.tensor([[1.0, 50.0, 2.0, 1.5]])
    logits = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        soft_policy_loss(MaskedCategorical(logits, mask), q, temperature=0.5).backward()
        optimizer.step()
    expected = MaskedCategorical(q / 0.5, mask)
    learned = MaskedCategorical(logits.detach(), mask)
    torch.testing.assert_close(learned.probs, expected.probs, atol=1e-3, rtol=0)
    # whose soft value is the log-sum-exp
    value = soft_values(q, learned, temperature=0.5)
    torch.testing.assert_close(
        value, 0.5 * (q[mask] / 0.5).logsumexp(-1, keepdim=True), atol=1e-4, rtol=0
    )


def test_each_state_has_a_target_of_its_own():
    mask = as_mask([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    got = target_entropies(mask, share=0.5)
    # half of log 4, log 2, log 1; and none where nothing is allowed
    assert got.tolist() == pytest.approx([math.log(4) / 2, math.log(2) / 2, 0.0, 0.0])
    assert got[2:].tolist() == [0.0, 0.0]
    assert torch.equal(target_entropies(maskrl.pack_mask(mask), share=0.5), got)
    assert target_entropies(mask, share=0.0).tolist() == [0.0] * 4


def test_the_temperature_follows_states_that_leave_a_choice():
    mask = as_mask([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    entropies = torch.tensor([1.0, 0.2, 0.0, 0.0])
    log_t = torch.tensor(0.5, requires_grad=True)
    loss = temperature_loss(log_t, entropies, mask, share=0.5)
    # (1 - log(4)/2) and (.2 - log(2)/2), the mean over two states
    excess = (1.0 - math.log(4) / 2 + 0.2 - math.log(2) / 2) / 2
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * excess)
    assert log_t.grad.item() == pytest.approx(excess)


def test_forced_moves_move_no_temperature():
    mask = torch.eye(5, dtype=torch.bool)
    log_t = torch.tensor(0.0, requires_grad=True)
    policy = MaskedCategorical(torch.randn(5, 5) * 30, mask)
    temperature_loss(log_t, policy.entropy(), mask, share=0.9).backward()
    assert log_t.grad.item() == 0.0
    # with one target for all states each of them would ask for more randomness, for ever
    assert (policy.entropy() - 0.9 * math.log(5) < 0).all()
    # and a thousand of them beside one state with a choice change nothing of what that one says
    both = as_mask([[1, 1, 0, 0, 0]])
    alone = torch.tensor(0.0, requires_grad=True)
    temperature_loss(alone, torch.tensor([0.1]), both, share=0.9).backward()
    many = torch.tensor(0.0, requires_grad=True)
    crowd, quiet = torch.cat([both, mask.repeat(200, 1)]), torch.zeros(1000)
    temperature_loss(many, torch.cat([torch.tensor([0.1]), quiet]), crowd, share=0.9).backward()
    assert many.grad.item() == alone.grad.item() < 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_mask_gives_anything_but_numbers(data):
    """Any mask, whatever stands under it, with and without rows that allow nothing."""
    rows, actions = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    idle = data.draw(st.booleans())
    cells = st.lists(st.booleans(), min_size=actions, max_size=actions)
    if not idle:
        cells = cells.filter(any)
    mask = torch.tensor(data.draw(st.lists(cells, min_size=rows, max_size=rows)))
    numbers = st.floats(-1e4, 1e4, width=32)
    wild = st.sampled_from(HOSTILE)

    def tensor():
        flat = mask.flatten().tolist()
        found = [data.draw(numbers) if ok else data.draw(wild) for ok in flat]
        return torch.tensor(found).reshape(mask.shape)

    logits, q = tensor().requires_grad_(), tensor()
    ends = torch.tensor(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    idle_action = data.draw(st.integers(0, actions - 1))
    choice = {"empty": "idle" if idle else "raise", "idle_action": idle_action}
    policy = MaskedCategorical(logits, mask, **choice)
    log_t = torch.zeros((), requires_grad=True)
    # What an idle successor is worth is said by the value of idling, which is then a number.
    given_values = torch.where(mask.any(-1, keepdim=True), q, 2.5)
    target = soft_next_values(given_values, logits, mask, ends, temperature=0.3, **choice)
    loss = soft_policy_loss(policy, q, temperature=0.3)
    temper = temperature_loss(log_t, policy.entropy(), mask, share=0.98)
    (loss + temper).backward()
    for found in (target, loss, temper, logits.grad, log_t.grad):
        assert found.isfinite().all()
    assert (logits.grad[~mask] == 0).all()
    forced = mask.sum(-1) <= 1
    assert (logits.grad[forced] == 0).all() and (policy.entropy()[forced] == 0).all()
    if forced.all():
        assert log_t.grad.item() == 0.0
    for row in (forced & mask.any(-1) & ~ends).nonzero().flatten().tolist():
        assert target[row].item() == q[row][mask[row]].item()

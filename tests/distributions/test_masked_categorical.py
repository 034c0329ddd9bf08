"""`MaskedCategorical`: its settings, its scores and its messages, one by one.

What it shares with every distribution is in test_init_every_distribution.py;
equivalence with torch, sampling, idle rows and tracing have files of their own.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Distribution

from maskrl.distributions import MaskedCategorical
from maskrl.errors import (
    DisallowedActionError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)


def mask_of(*rows):
    return torch.tensor(rows, dtype=torch.bool)


LOGITS = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]])
MASK = mask_of([1, 0, 1], [1, 1, 0])


def words_of(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_golden_numbers_of_two_rows():
    logits = torch.tensor([[-1.8222, 1.0769, -0.6567], [-0.6729, 0.1665, -1.7856]])
    free = MaskedCategorical(logits)
    masked = MaskedCategorical(logits, mask_of([0, 0, 1], [1, 1, 0]))
    close = {"rtol": 0, "atol": 1e-4}
    expected = torch.tensor([[0.0447, 0.8119, 0.1434], [0.2745, 0.6353, 0.0902]])
    torch.testing.assert_close(free.probs, expected, **close)
    torch.testing.assert_close(free.entropy(), torch.tensor([0.5867, 0.8601]), **close)
    expected = torch.tensor([[0.0, 0.0, 1.0], [0.3017, 0.6983, 0.0]])
    torch.testing.assert_close(masked.probs, expected, **close)
    torch.testing.assert_close(masked.entropy(), torch.tensor([0.0, 0.6123]), **close)
    assert masked.entropy()[0] == 0


def test_golden_numbers_of_an_action_map():
    # [A, H, W] = [3, 2, 2]; the score sums over cells, or over those with an agent.
    channels = torch.tensor(
        [
            [[1.0608, 0.4416], [1.2075, 0.0888]],
            [[0.1279, 0.0160], [-1.0273, 0.5896]],
            [[-0.0016, 0.6164], [0.1350, 0.5542]],
        ]
    )
    d = MaskedCategorical(channels.permute(1, 2, 0))
    score = d.log_prob(torch.tensor([[0, 0], [2, 2]]))
    agents = mask_of([1, 0], [0, 1])
    assert score.sum().item() == pytest.approx(-4.0220, abs=1e-4)
    assert score[agents].sum().item() == pytest.approx(-1.5331, abs=1e-4)
    assert d.entropy().mean().item() == pytest.approx(0.9776, abs=1e-4)
    assert d.entropy()[agents].mean().item() == pytest.approx(1.0256, abs=1e-4)


@pytest.mark.parametrize(
    ("allowed", "gradient"),
    [([1, 1, 1, 1], [0.75, -0.25, -0.25, -0.25]), ([1, 1, 0, 1], [2 / 3, -1 / 3, 0.0, -1 / 3])],
)
def test_gradient_example_of_huang_and_ontanon(allowed, gradient):
    logits = torch.ones(4, requires_grad=True)
    MaskedCategorical(logits, mask_of(allowed)[0]).log_prob(torch.tensor(0)).backward()
    torch.testing.assert_close(logits.grad, torch.tensor(gradient))


def test_it_says_what_it_is():
    d = MaskedCategorical(LOGITS, MASK, empty="idle", idle_action=2)
    expected = 'batch_shape=(2,), actions=3, masked, empty="idle", idle_action=2'
    assert repr(d) == f"MaskedCategorical({expected})"
    assert "no mask" in repr(MaskedCategorical(LOGITS))
    assert repr(d.support).startswith("AllowedActions(by action_mask")
    assert d.param_shape == (2, 3)


def test_x6_scoring_a_disallowed_action_raises():
    d = MaskedCategorical(LOGITS, MASK)
    message = words_of(DisallowedActionError, lambda: d.log_prob(torch.tensor([0, 2])))
    for word in ["log_prob: action 2 in row (1,)", "allows [0, 1]", "validate_args=False"]:
        assert word in message
    message = words_of(DisallowedActionError, lambda: d.log_prob(torch.tensor([[0, 0], [1, 0]])))
    assert "action 1 in row (1, 0)" in message


def test_x6_unvalidated_it_is_minus_infinity_with_gradient_zero():
    logits = LOGITS.clone().requires_grad_()
    score = MaskedCategorical(logits, MASK, validate_args=False).log_prob(torch.tensor([1, 1]))
    assert score[0].item() == -math.inf
    score.sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[0] == 0).all()
    assert (logits.grad[1, :2] != 0).all()


@pytest.mark.parametrize("action", [-1, 3, 10**9])
@pytest.mark.parametrize("validate_args", [True, False])
def test_actions_out_of_range_are_refused(action, validate_args):
    d = MaskedCategorical(LOGITS, MASK, validate_args=validate_args)
    message = words_of(DisallowedActionError, lambda: d.log_prob(torch.tensor([0, action])))
    assert f"action {action} in row (1,) is outside 0..2" in message


def test_a_long_row_is_shown_in_part():
    d = MaskedCategorical(torch.zeros(100), torch.arange(100) > 0)
    message = words_of(DisallowedActionError, lambda: d.log_prob(torch.tensor(0)))
    assert "allows [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...]" in message


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32, torch.float64])
def test_actions_of_any_integral_dtype_are_scored(dtype):
    d = MaskedCategorical(LOGITS, MASK)
    actions = torch.tensor([2, 1])
    assert torch.equal(d.log_prob(actions.to(dtype)), d.log_prob(actions))


@pytest.mark.parametrize("value", [torch.tensor([0.5, 1.0]), torch.tensor([math.nan, 0.0]), 1, [1]])
def test_other_values_are_no_actions(value):
    message = words_of(MaskDtypeError, lambda: MaskedCategorical(LOGITS, MASK).log_prob(value))
    assert "value has" in message


def test_values_broadcast_with_the_batch():
    d = MaskedCategorical(LOGITS, MASK)
    scores = d.log_prob(torch.zeros(4, 1, dtype=torch.int64))
    assert scores.shape == (4, 2)
    # Scores of many actions a row are read from a table of all, which is rounded once more.
    torch.testing.assert_close(scores[3], d.log_prob(torch.tensor([0, 0])), rtol=4e-7, atol=0.0)
    message = words_of(MaskShapeError, lambda: d.log_prob(torch.zeros(3, dtype=torch.int64)))
    assert "value has shape (3,), the batch (2,)" in message


@pytest.mark.parametrize("validate_args", [True, False, None])
def test_x5_an_empty_row_is_refused_at_construction(validate_args):
    m = mask_of([1, 1, 0], [0, 0, 0])
    message = words_of(
        NoAllowedActionError, lambda: MaskedCategorical(LOGITS, m, validate_args=validate_args)
    )
    assert "MaskedCategorical: action_mask allows nothing in row (1,)" in message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.0, math.nan, math.nan], ["nan at row (1,), action 1"]),
        ([math.inf, 0.0, 0.0], ["inf at row (1,), action 0"]),
        ([-math.inf, -math.inf, 0.0], ["every allowed logit is -inf in row (1,)"]),
    ],
)
def test_x13_unsound_logits_raise_when_validated(row, words):
    logits = torch.stack([LOGITS[0], torch.tensor(row)])
    message = words_of(NonFiniteLogitsError, lambda: MaskedCategorical(logits, MASK))
    for word in ["MaskedCategorical", *words]:
        assert word in message
    for other in ({"validate_args": True}, {"empty": "idle"}):
        words_of(NonFiniteLogitsError, lambda o=other: MaskedCategorical(logits, MASK, **o))


@pytest.mark.parametrize("row", [[0.0, math.nan], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_x13_unvalidated_statistics_are_nan_and_choices_raise(row):
    logits = torch.tensor([[0.0, 1.0], row])
    d = MaskedCategorical(logits, validate_args=False)
    score = d.log_prob(torch.tensor([0, 0]))
    for statistic in (score, d.entropy(), d.probs.sum(-1), d.logits[:, 0], d.entropy_normalized()):
        assert statistic.isnan().tolist() == [False, True]
    for choose in (d.sample, lambda: d.mode, lambda: d.sample((2,)), d.expand((3, 2)).sample):
        message = words_of(NonFiniteLogitsError, choose)
        assert "row (" in message


def test_x13_unsound_logits_under_the_mask_are_fine():
    logits = torch.tensor([[math.nan, 1.0], [0.0, math.inf]])
    assert MaskedCategorical(logits, mask_of([0, 1], [1, 0])).mode.tolist() == [1, 0]


def test_x13_minus_infinity_on_some_allowed_logits_is_legal():
    logits = torch.tensor([0.0, -math.inf, 0.0], requires_grad=True)
    d = MaskedCategorical(logits)
    assert d.probs.tolist() == [0.5, 0.0, 0.5]
    assert 1 not in d.sample((500,))
    score = d.log_prob(torch.tensor([1, 0]))  # allowed, though impossible
    assert score[0].item() == -math.inf
    (score.sum() + d.entropy()).backward()
    torch.testing.assert_close(logits.grad, torch.tensor([0.5, 0.0, -0.5]))


def test_validation_outlives_torchs_global_switch():
    # torch.compile calls this for the whole process the first time that it runs.
    nan = torch.tensor([0.0, math.nan])
    before = Distribution._validate_args
    try:
        Distribution.set_default_validate_args(False)
        words_of(NonFiniteLogitsError, lambda: MaskedCategorical(nan))
        words_of(
            DisallowedActionError,
            lambda: MaskedCategorical(LOGITS, MASK).log_prob(torch.tensor([1, 1])),
        )
    finally:
        Distribution.set_default_validate_args(before)
    assert MaskedCategorical(nan, validate_args=False).entropy().isnan()


def test_entropy_normalized():
    d = MaskedCategorical(torch.zeros(3, 4), mask_of([1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 0]))
    assert d.entropy_normalized().tolist() == pytest.approx([1.0, 1.0, 0.0])
    assert (d.entropy_normalized() <= 1).all()
    skewed = MaskedCategorical(torch.tensor([0.0, 9.0, math.log(3.0)]), mask_of([1, 0, 1])[0])
    expected = (math.log(4) - 0.75 * math.log(3)) / math.log(2)
    assert skewed.entropy_normalized().item() == pytest.approx(expected)


def test_enumerate_support():
    d = MaskedCategorical(LOGITS, MASK)
    assert d.has_enumerate_support
    assert d.enumerate_support().tolist() == [[0, 0], [2, 1]]
    torch.testing.assert_close(
        d.log_prob(d.enumerate_support()).exp().sum(0), torch.ones(2), rtol=0, atol=1e-6
    )
    same = MaskedCategorical(LOGITS, MASK[0])
    assert same.enumerate_support(expand=False).tolist() == [[0], [2]]
    assert same.enumerate_support().tolist() == [[0, 0], [2, 2]]
    assert d.enumerate_support(expand=False).shape == (2, 2)
    assert MaskedCategorical(LOGITS[0]).enumerate_support().tolist() == [0, 1, 2]
    ragged = MaskedCategorical(LOGITS, mask_of([1, 1, 1], [1, 0, 0]))
    message = words_of(MaskError, ragged.enumerate_support)
    assert "between 1 and 3 actions" in message


def test_the_graph_survives_a_first_use_without_gradients():
    logits = LOGITS.clone().requires_grad_()
    d = MaskedCategorical(logits, MASK, validate_args=False)
    with torch.no_grad():
        actions = d.sample()
        assert not d.log_prob(actions).requires_grad
    d.log_prob(actions).sum().backward()
    assert logits.grad.abs().sum() > 0
    with torch.inference_mode():
        assert MaskedCategorical(LOGITS, MASK).log_prob(actions).shape == (2,)


def test_edges_of_shape():
    nobody = MaskedCategorical(torch.zeros(0, 3), torch.ones(0, 3, dtype=torch.bool))
    assert nobody.sample((4,)).shape == (4, 0)
    assert nobody.log_prob(nobody.sample()).shape == nobody.entropy().shape == (0,)
    assert nobody.enumerate_support().shape == (0, 0)
    single = MaskedCategorical(torch.tensor([7.0]))
    assert (single.sample().item(), single.entropy().item(), single.mode.item()) == (0, 0.0, 0)
    strided = torch.randn(3, 8)[:, ::2]
    assert MaskedCategorical(strided).sample((5,)).shape == (5, 3)
    wide = MaskedCategorical(LOGITS[:1].expand(4, 3), MASK[:1].expand(4, 3))
    assert torch.equal(wide.probs[3], wide.probs[0])


def test_the_mode_compares_logits_and_not_rounded_log_probabilities():
    logits = torch.tensor([1000.0, 999.99994, 1000.00006])
    assert MaskedCategorical(logits).mode.item() == 2

"""What the next pick may be: small tables that can be checked by eye."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.distributions.pointer.offers import Offers, check_picks, mask_of_function
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NonFiniteLogitsError

MASK = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0]], dtype=torch.bool)
SCORES = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
NOT_ENDED = torch.tensor([False, False])


def offers(scores=SCORES, end=None, picks=3, min_picks=0, mask=MASK):
    return Offers(
        "test", scores, mask, end, picks=picks, min_picks=min_picks, mask_name="entity_mask"
    )


def picked(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_without_an_end_choice_it_comes_when_nobody_is_left():
    logits, allowed = offers().at(picked([0, 1, 0, 0], [0, 1, 0, 0]), NOT_ENDED, 1)
    assert allowed.tolist() == [
        [True, False, False, True, False],
        [False, False, False, False, True],
    ]
    assert logits[1, -1] == 0


def test_with_an_end_choice_it_waits_for_min_picks():
    end = torch.tensor([-1.0, -2.0])
    which = offers(end=end, min_picks=1)
    none = picked([0, 0, 0, 0], [0, 0, 0, 0])
    assert which.at(none, NOT_ENDED, 0)[1][:, -1].tolist() == [False, False]
    logits, allowed = which.at(picked([1, 0, 0, 0], [0, 1, 0, 0]), NOT_ENDED, 1)
    assert allowed[:, -1].tolist() == [True, True]
    # forced in the second row, where its score is not read
    assert logits[:, -1].tolist() == [-1.0, 0.0]


def test_after_end_only_end():
    which = offers(end=torch.tensor(9.0))
    logits, allowed = which.at(picked([0] * 4, [0] * 4), torch.tensor([True, False]), 1)
    assert allowed[0].tolist() == [False] * 4 + [True]
    assert logits[:, -1].tolist() == [0.0, 9.0]


def test_among_sets_it_is_the_same():
    end = torch.tensor([-1.0, -2.0])
    order = torch.tensor([[0, 1, 3], [1, 0, 2]])
    members = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)

    def scores_of(taken):
        return SCORES + taken.sum(-1, keepdim=True) * 10.0 + taken[..., :1] * 100.0

    def end_of(taken):
        return end - taken[..., 1] * 5.0

    for which in (offers(end=end), offers(scores_of, end_of)):
        possible = torch.ones(2, 3, dtype=torch.bool)
        logits, allowed = which.among(order, members, possible, 1)
        assert logits.shape == allowed.shape == (2, 3, 4)
        for c in range(3):
            taken = torch.zeros(2, 4, dtype=torch.bool).scatter(-1, order[:, c : c + 1], True)
            one, one_allowed = which.at(taken, NOT_ENDED, 1)
            columns = torch.cat([order, torch.tensor([[4], [4]])], -1)
            assert torch.equal(allowed[:, c], one_allowed.gather(-1, columns))
            there = allowed[:, c]
            assert torch.equal(logits[:, c][there], one.gather(-1, columns)[there])


def test_what_a_function_gives_at_impossible_sets_is_not_looked_at():
    def scores_of(taken):
        return torch.where(taken[..., 2:3], math.nan, SCORES)

    which = offers(scores_of)
    order = torch.arange(4).expand(2, 4)
    members = torch.eye(4, dtype=torch.bool)
    possible = torch.tensor([[True, True, False, True]]).expand(2, 4)
    assert not which.among(order, members, possible, 1)[0].isnan().any()
    assert which.among(order, members, torch.ones_like(possible), 1)[0].isnan().any()


def test_functions_are_held_to_shapes():
    none = picked([0] * 4, [0] * 4)
    with pytest.raises(MaskShapeError, match=r"scores\(picked\) has shape \(2, 3\) for picked of"):
        offers(lambda taken: SCORES[:, :3]).at(none, NOT_ENDED, 0)
    with pytest.raises(MaskShapeError, match=r"end_scores\(picked\) has shape \(2, 4\)"):
        offers(end=lambda taken: SCORES).at(none, NOT_ENDED, 0)
    with pytest.raises(MaskDtypeError, match=r"scores\(picked\) gave torch.int64"):
        offers(lambda taken: SCORES.long()).at(none, NOT_ENDED, 0)


@pytest.mark.parametrize(
    ("scores", "end", "rules", "message"),
    [
        ([math.nan, 0, 0, 0], None, {}, r"scores is nan at row \(0,\), pick 0, candidate 0"),
        ([0, 0, math.inf, 0], None, {}, None),  # masked
        ([0, 0, 0, math.inf], None, {}, r"scores is inf at row \(0,\), pick 0, candidate 3"),
        ([0, -math.inf, 0, 0], None, {"picks": 2}, None),
        ([0, -math.inf, 0, 0], None, {}, r"every allowed logit is -inf in row \(0,\), pick 2"),
        ([0, -math.inf, 0, 0], 0.0, {}, None),  # the end is open
        ([0, -math.inf, 0, 0], 0.0, {"min_picks": 3}, r"-inf in row \(0,\), pick 2"),
        ([0, -math.inf, 0, 0], -math.inf, {}, r"-inf in row \(0,\), pick 2"),
        ([0, 0, 0, 0], -math.inf, {}, None),
        ([0, 0, 0, 0], math.nan, {}, r"end_scores is nan at row \(0,\), pick 0"),
        ([0, 0, 0, 0], math.inf, {"min_picks": 2}, r"end_scores is inf at row \(0,\), pick 2"),
        ([0, 0, 0, 0], math.nan, {"min_picks": 3}, None),  # never read
    ],
)
def test_scores_that_cannot_be_used(scores, end, rules, message):
    end = None if end is None else torch.tensor([end, 0.0])
    which = offers(torch.tensor([scores, [0.0] * 4]), end, **rules)
    unsound = which.unsound()
    assert unsound.tolist() == [message is not None, False]
    if message is not None:
        with pytest.raises(NonFiniteLogitsError, match=message):
            which.raise_unsound(unsound)


def test_expanding_and_detaching():
    end = torch.tensor([0.0, 1.0], requires_grad=True)
    wide = offers(SCORES, end).expanded((3, 2))
    assert wide.batch == (3, 2)
    logits, _ = wide.at(picked([0] * 4, [0] * 4).expand(3, 2, 4), NOT_ENDED.expand(3, 2), 0)
    assert logits[2, 1].tolist() == [5.0, 6.0, 7.0, 8.0, 1.0]
    assert logits.requires_grad
    logits, _ = offers(SCORES, end).detached().at(picked([0] * 4, [0] * 4), NOT_ENDED, 0)
    assert not logits.requires_grad
    with pytest.raises(MaskShapeError, match=r"expected it to end with \(2,\)"):
        offers(lambda taken: SCORES).expanded((3,))


def test_arguments_are_checked():
    with pytest.raises(MaskShapeError, match=r"end_scores has shape \(3,\); expected \(2,\)"):
        offers(end=torch.zeros(3))
    with pytest.raises(MaskDtypeError, match="end_scores is float"):
        offers(end=1.0)
    check_picks("test", 3, 3)
    for picks, min_picks, message in [(0, 0, "picks is 0"), (2, 3, "from 0 to picks, which is 2")]:
        with pytest.raises(ConfigError, match=message):
            check_picks("test", picks, min_picks)
    assert mask_of_function("test", MASK, None) is MASK
    with pytest.raises(ConfigError, match="scores is a function, which needs entity_mask"):
        mask_of_function("test", None, None)
    with pytest.raises(MaskDtypeError, match="as_mask"):
        mask_of_function("test", MASK.float(), None)
    with pytest.raises(MaskShapeError, match="at least one candidate"):
        mask_of_function("test", MASK[:, :0], None)

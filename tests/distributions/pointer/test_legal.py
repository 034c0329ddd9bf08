"""Which sequences are legal: against rules in plain Python, and counted by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from maskrl.distributions.pointer.legal import LegalPicks
from maskrl.errors import MaskShapeError

MASK = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)


def rule(picks, *, min_picks=0, can_end=False, idle=None, idle_action=0, mask=MASK):
    rows = len(mask)
    return LegalPicks(
        mask,
        torch.full((rows,), mask.shape[-1]),
        picks=picks,
        min_picks=min_picks,
        can_end=can_end,
        idle=torch.zeros(rows, dtype=torch.bool) if idle is None else idle,
        idle_action=torch.full((rows,), idle_action),
        mask_name="entity_mask",
    )


def is_legal(sequence, candidates, end, picks, min_picks, can_end):
    """The rules once more, said as one would tell them."""
    picked = [pick for pick in sequence if pick != end]
    if any(pick not in candidates for pick in picked) or len(set(picked)) < len(picked):
        return False
    if list(sequence) != picked + [end] * (picks - len(picked)):
        return False
    nothing_left = len(picked) in (len(candidates), picks)
    return nothing_left or (can_end and len(picked) >= min_picks)


@pytest.mark.parametrize("picks", [1, 2, 3, 4])
@pytest.mark.parametrize(("min_picks", "can_end"), [(0, False), (0, True), (1, True), (2, True)])
def test_against_plain_rules(picks, min_picks, can_end):
    if min_picks > picks:
        return
    constraint = rule(picks, min_picks=min_picks, can_end=can_end)
    sequences = list(itertools.product(range(-1, 6), repeat=picks))
    ours = constraint.check(torch.tensor(sequences).unsqueeze(1).expand(-1, 3, -1))
    for row in range(3):
        candidates = MASK[row].nonzero().flatten().tolist()
        theirs = [is_legal(s, candidates, 4, picks, min_picks, can_end) for s in sequences]
        assert ours[:, row].tolist() == theirs
        assert constraint.log_count()[row].exp().item() == pytest.approx(sum(theirs))


def test_one_legal_sequence_has_a_log_count_of_exactly_zero():
    assert rule(3).log_count()[1:].tolist() == [0.0, 0.0]


def test_counts_beyond_all_floats():
    # 400! sequences
    log_count = rule(400, mask=torch.ones(1, 400, dtype=torch.bool)).log_count()
    torch.testing.assert_close(log_count, torch.tensor([math.lgamma(401)], dtype=torch.float64))


def test_idle_rows_send_one_action():
    idle = torch.tensor([False, True, False])
    constraint = rule(2, idle=idle, idle_action=1)
    value = torch.tensor([[2, 0], [1, 1], [1, 4]])
    assert constraint.check(value).all()
    value[1] = 4
    assert constraint.check(value).tolist() == [True, False, True]
    assert constraint.explain(value, (1,)) == (
        0,
        "disallowed by entity_mask, which leaves the row idle (1)",
    )


@pytest.mark.parametrize(
    ("sequence", "pick", "why"),
    [
        ([0, 1, 2], 1, "disallowed by entity_mask"),
        ([0, 2, 0], 2, "picked before, as pick 0"),
        ([4, 4, 4], 0, "END; 1 picks are due before it"),
        ([0, 4, 2], 2, r"after END (4), which only END may follow"),
        ([0, 5, 2], 1, "outside 0..4, where 4 is END"),
        ([-1, 5, 2], 0, "outside 0..4, where 4 is END"),
    ],
)
def test_what_is_wrong(sequence, pick, why):
    constraint = rule(3, min_picks=1, can_end=True)
    value = torch.tensor([sequence] * 3)
    assert not constraint.check(value)[0]
    assert constraint.explain(value, (0,)) == (pick, why)


def test_fractions_are_not_legal():
    assert not rule(1).check(torch.tensor([[0.5], [4.0], [1.0]]))[0]
    assert rule(1).check(torch.tensor([[0.0], [4.0], [1.0]])).all()


def test_it_names_its_rule():
    assert repr(rule(2)) == "LegalPicks(2 of 4, no END choice)"
    assert "END after 1 or more" in repr(rule(2, min_picks=1, can_end=True))


def test_sequences_of_another_length_are_refused():
    # with END, two candidates would pass for a whole sequence of three picks
    with pytest.raises(MaskShapeError, match=r"shape \(2,\); expected the last dimension to be 3"):
        rule(3, can_end=True).check(torch.tensor([0, 2]))

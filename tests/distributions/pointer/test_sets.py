"""Ragged sets: laid out by hand, there and back, and offsets that cannot be."""

from __future__ import annotations

import pytest
import torch

from maskrl.distributions.pointer.sets import (
    AllowedCandidates,
    CandidateSets,
    check_ragged_expansion,
    lay_out,
    raise_empty_set,
    read_sets,
)
from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError, NoAllowedActionError

CPU = torch.device("cpu")


def sets_of(*offsets, entries):
    return CandidateSets("test", torch.tensor(offsets), entries, CPU)


def test_by_hand():
    sets = sets_of(0, 2, 2, 5, entries=5)
    assert len(sets) == 3
    assert sets.longest == 3
    assert sets.counts.tolist() == [2, 0, 3]
    assert sets.present.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    table = sets.padded(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert table.tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    assert sets.joined(table).tolist() == [1, 2, 3, 4, 5]
    assert sets.joined(table.expand(2, 3, 3)).shape == (2, 5)


def test_both_ways_are_differentiable_selections():
    sets = sets_of(0, 1, 4, 4, entries=4)
    flat = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sets.padded, flat)
    assert torch.autograd.gradcheck(
        sets.joined, torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    )
    assert torch.equal(sets.joined(sets.padded(flat)), flat)


def test_no_sets_and_nothing_in_them():
    assert sets_of(0, entries=0).padded(torch.zeros(0)).shape == (0, 1)
    empty = sets_of(0, 0, 0, entries=0)
    assert empty.padded(torch.zeros(0)).tolist() == [[0.0], [0.0]]
    assert not empty.present.any()
    assert empty.joined(torch.zeros(2, 1)).shape == (0,)


def test_sameness():
    sets = sets_of(0, 1, 3, entries=3)
    assert sets.same_as(sets_of(0, 1, 3, entries=3))
    assert not sets.same_as(sets_of(0, 2, 3, entries=3))
    assert not sets.same_as(None)


@pytest.mark.parametrize(
    ("offsets", "error", "message"),
    [
        ([0, 3], MaskDtypeError, "offsets has list; expected an int64 tensor"),
        (torch.tensor([0.0, 3.0]), MaskDtypeError, "offsets has dtype torch.float32"),
        (torch.tensor([0, 3], dtype=torch.int32), MaskDtypeError, "dtype torch.int32"),
        (torch.tensor(3), MaskShapeError, r"offsets has shape \(\)"),
        (torch.tensor([], dtype=torch.int64), MaskShapeError, r"which is \[0\] for none"),
        (torch.tensor([1, 3]), MaskError, "runs from 1 to 3; expected from 0 to 3"),
        (torch.tensor([0, 2]), MaskError, "runs from 0 to 2; expected from 0 to 3"),
        (
            torch.tensor([0, 2, 1, 3]),
            MaskError,
            r"offsets\[2\] is 1, less than offsets\[1\], which is 2",
        ),
    ],
)
def test_offsets_that_cannot_be(offsets, error, message):
    with pytest.raises(error, match=message):
        CandidateSets("test", offsets, 3, CPU)


def test_laying_out():
    offsets = torch.tensor([0, 1, 3])
    sets, table, mask = lay_out("test", torch.arange(3.0), None, offsets)
    assert sets is not None
    assert table.tolist() == [[0, 0], [1, 2]]
    assert mask.tolist() == [[True, False], [True, True]]
    flat = torch.tensor([True, False, True])
    assert lay_out("test", torch.arange(3.0), flat, offsets)[2].tolist() == [
        [True, False],
        [False, True],
    ]
    scores = torch.zeros(2, 3)
    assert lay_out("test", scores, None, None) == (None, scores, None)
    with pytest.raises(MaskShapeError, match=r"scores has shape \(2, 3\) and dtype"):
        lay_out("test", scores, None, offsets)
    with pytest.raises(MaskShapeError, match=r"entity_mask has shape \(2,\), scores \(3,\)"):
        lay_out("test", torch.arange(3.0), flat[:2], offsets)
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.int8"):
        lay_out("test", scores, scores.to(torch.int8), None)


def test_messages():
    with pytest.raises(NoAllowedActionError, match=r"gives row \(1,\) no candidate, offsets\[1\]"):
        raise_empty_set("test", torch.tensor([False, True, True]))
    sets = sets_of(0, 1, 3, entries=3)
    check_ragged_expansion("test", sets, (4, 2))
    check_ragged_expansion("test", None, (7,))
    for shape in ((), (2, 4)):
        with pytest.raises(MaskShapeError, match="expected it to end with 2"):
            check_ragged_expansion("test", sets, shape)


def test_offsets_in_the_place_of_the_mask_are_recognised():
    with pytest.raises(MaskDtypeError, match="offsets of ragged sets pass them by name: offsets="):
        lay_out("test", torch.zeros(3), torch.tensor([0, 3]), None)
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.int64"):
        lay_out("test", torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.int64), None)


def test_offsets_that_are_written_into_afterwards_change_nothing():
    offsets = torch.tensor([0, 2, 3])
    sets = CandidateSets("test", offsets, 3, CPU)
    offsets[1] = 1000
    assert sets.offsets.tolist() == sets.on_host.tolist() == [0, 2, 3]


def test_what_a_set_holds():
    sets = sets_of(0, 2, 2, 5, entries=5)
    flat = torch.tensor([True, False, True, True, False])
    assert sets.own(flat, 2).tolist() == [True, True, False]
    actions = torch.tensor([[1, 0, 2], [2, 0, -1], [0, 0, 1]])
    assert sets.holds(None, actions).tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, True],
    ]
    assert sets.holds(flat, actions).tolist() == [
        [False, False, False],
        [False, False, False],
        [True, False, True],
    ]


def test_the_support_of_ragged_sets():
    sets = sets_of(0, 2, 2, 5, entries=5)
    flat = torch.tensor([True, False, True, True, False])
    value = torch.tensor([[1, 4, 2], [0, 0, 0]])
    assert AllowedCandidates(sets, None).check(value).tolist() == [
        [True, False, True],
        [True, False, True],
    ]
    masked = AllowedCandidates(sets, flat, idle_action=4)
    assert masked.check(value).tolist() == [[False, True, False], [True, False, True]]
    assert masked.check(torch.tensor([0.5, 4.0, 1.0])).tolist() == [False, True, True]
    assert "3 sets, idle_action=4" in repr(masked)


def test_ragged_sets_are_read_as_they_are():
    scores, flat = torch.randn(5), torch.tensor([True, False, True, True, False])
    sets, read, mask = read_sets("test", scores, flat, torch.tensor([0, 2, 2, 5]))
    assert len(sets) == 3
    assert read is scores
    assert mask is flat
    assert read_sets("test", scores, None, None) == (None, scores, None)

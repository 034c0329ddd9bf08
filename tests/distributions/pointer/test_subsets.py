"""The tables of sets against sets of Python."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from maskrl.distributions.pointer.subsets import count_sets, set_levels

CPU = torch.device("cpu")


@pytest.mark.parametrize(("n", "largest"), [(1, 1), (4, 4), (5, 3), (3, 7), (2, 0)])
def test_every_set_once_and_every_step_between_them(n, largest):
    levels = set_levels(n, largest, CPU)
    assert len(levels) == min(n, largest) + 1
    named = [[frozenset(row.nonzero().flatten().tolist()) for row in lv.members] for lv in levels]
    for k, (level, sets) in enumerate(zip(levels, named, strict=True)):
        assert level.size == k
        assert set(sets) == set(map(frozenset, itertools.combinations(range(n), k)))
        assert len(sets) == math.comb(n, k)
        if k == 0:
            continue
        for s, arrivals in zip(sets, level.arrivals.tolist(), strict=True):
            before = [(named[k - 1][a // n], a % n) for a in arrivals]
            assert {member for _, member in before} == s
            assert all(old | {member} == s and member not in old for old, member in before)
        for s, departures in zip(named[k - 1], levels[k - 1].departures.tolist(), strict=True):
            for i in set(range(n)) - s:
                assert sets[departures[i]] == s | {i}


def test_counting():
    # 1 + 16 + 120 + 560 + 1820 + 4368
    assert count_sets(16, 5) == 6885
    assert count_sets(3, 9) == 8
    assert count_sets(4, 0) == 1


def test_tables_are_not_kept_from_a_tracing():
    with torch._subclasses.FakeTensorMode():
        set_levels(6, 2, CPU)
    assert type(set_levels(6, 2, CPU)[1].members) is torch.Tensor

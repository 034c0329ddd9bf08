"""Plans: the numbers that kernels read, and parts that cover all of a plan once."""

from __future__ import annotations

import ctypes

import pytest

from maskrl.kernels.fused.plan import BYTES, Plan


def numbers(plan):
    return list((ctypes.c_int64 * 8).from_address(plan.address))


def test_numbers_of_rows():
    plan = Plan(10, [0, 6, 10], 12, BYTES, 16)
    *read, place = numbers(plan)
    assert read == [10, 2, 0, 10, 12, 16, BYTES]
    assert list((ctypes.c_int64 * 3).from_address(place)) == [0, 6, 10]
    assert (plan.rows, plan.heads, plan.entries) == (10, 2, 10)


def test_a_single_row_is_cut_by_its_heads():
    assert numbers(Plan(1, [0, 3, 3, 9], 9, BYTES, 0))[2:4] == [0, 3]


@pytest.mark.parametrize(("rows", "sets"), [(1, 50), (2, 3), (7, 1), (100, 2), (0, 1)])
@pytest.mark.parametrize("count", [1, 2, 8, 13])
def test_parts_cover_everything_once(rows, sets, count):
    plan = Plan(rows, range(sets + 1), sets, BYTES, 0)
    parts = plan.parts(count)
    assert len(parts) <= count
    covered = [i for part in parts for i in range(*numbers(part)[2:4])]
    assert covered == list(range(rows if rows != 1 else sets))
    for part in parts:
        assert numbers(part)[:2] == [rows, sets]
    assert plan.parts(count) is parts

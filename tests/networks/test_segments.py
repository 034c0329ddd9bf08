"""Sequences in segments, beside a loop that walks through them one by one."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.networks.segments import segments_of


def walk(episode_start, valid):
    """Segments of each sequence as lists of row numbers, with their sequence and beginning."""
    length, batch = episode_start.shape
    number = np.cumsum(valid.reshape(-1)) - 1
    found = []
    for b in range(batch):
        for step in range(length):
            if not valid[step, b]:
                continue
            row = int(number[step * batch + b])
            goes_on = found and found[-1][0] == b and not episode_start[step, b]
            if goes_on:
                found[-1][2].append(row)
            else:
                found.append((b, bool(episode_start[step, b]), [row]))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_every_row_runs_once_after_those_before_it(seed):
    rng = np.random.default_rng(seed)
    length, batch = rng.integers(1, 9, 2)
    starts = rng.random((length, batch)) < 0.3
    valid = rng.random((length, batch)) < 0.8
    plan = segments_of(starts, valid)
    rows, back = plan.rows.numpy(), plan.back.numpy()
    assert plan.count == valid.sum() == len(rows)
    assert (rows[back] == np.arange(len(rows))).all()
    assert list(plan.sizes) == sorted(plan.sizes, reverse=True)
    got = [[] for _ in plan.column]
    position = 0
    for size in plan.sizes:
        for s in range(size):
            got[s].append(int(rows[position]))
            position += 1
    fresh = np.zeros(len(got), bool) if plan.fresh is None else plan.fresh.numpy()
    made = sorted((int(b), bool(f), r) for b, f, r in zip(plan.column, fresh, got, strict=True))
    assert made == sorted(walk(starts, valid))
    for b in range(batch):
        last = int(plan.last[b])
        if not valid[:, b].any():
            assert last == len(got) + b
        else:
            mine = [r for column, _, r in made if column == b]
            assert got[last] == max(mine, key=max)


def test_sequences_without_a_beginning_inside_need_no_order():
    starts = np.zeros((4, 3), bool)
    starts[0, 1] = True
    plan = segments_of(starts)
    assert plan.rows is None
    assert plan.sizes == (3, 3, 3, 3)
    assert plan.fresh.tolist() == [False, True, False]


def test_nothing_at_all():
    assert segments_of(np.zeros((0, 2), bool)).count == 0
    assert segments_of(np.zeros((3, 0), bool)).count == 0
    assert segments_of(np.ones((3, 2), bool), np.zeros((3, 2), bool)).count == 0

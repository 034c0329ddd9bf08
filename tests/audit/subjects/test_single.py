"""One agent: one row, its mask beside its features."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.audit.subjects.single import SingleSubject, as_action
from maskrl.audit.targets import find_target


def test_the_mask_is_no_feature(line):
    for where in ("info", "observation"):
        subject = SingleSubject(line(where=where), "line")
        (row,) = subject.reset(0).rows
        assert row.begins and row.acting and row.features.shape == (2,)
        moment = subject.step([np.array([int(row.reading.masks["action_mask"].argmax())])])
        assert not moment.rows[0].begins and moment.results[0].features is not None


def test_ends_are_told(line):
    subject = SingleSubject(line(limit=1), "line")
    subject.reset(0)
    moment = subject.step([np.array([0])])
    assert moment.over and moment.rows[0].ended == "truncated" and not moment.rows[0].acting
    assert moment.results[0].truncated and not moment.results[0].terminated


def test_a_tree_s_tables_are_read():
    target = find_target("outpost")
    subject = SingleSubject(target.make_raw(), "outpost")
    (row,) = subject.reset(0).rows
    assert {k: v.shape for k, v in row.reading.masks.items()} == {
        "action_mask": (15,),
        "action_mask:direction": (5, 4),
    }


def test_actions_are_those_of_the_space():
    assert as_action(np.array([1]), spaces.Discrete(3, start=5)) == 6
    given = as_action(np.array([1, 0]), spaces.MultiDiscrete([2, 2]))
    assert given.tolist() == [1, 0]
    with pytest.raises(ValueError, match="never waits"):
        as_action(None, spaces.Discrete(2))

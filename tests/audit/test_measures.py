"""Measures: shares by hand, and time where functions speak of masks."""

from __future__ import annotations

import sys
import time

import pytest

from maskrl.audit.measures import mask_time_share, measure
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.trials import Tried
from maskrl.audit.walk import walk


def test_shares_are_those_of_the_masks(line):
    subject = SingleSubject(line(), "line")
    walked = walk(subject, steps=50, seed=0)
    told = measure(subject, walked, Tried())
    masks = [
        row.reading.masks["action_mask"]
        for stage in walked.stages
        for row in stage.moment.rows
        if row.acting
    ]
    assert told["masks_read"] == len(masks) and told["actions"] == 4
    assert told["allowed_share"] == pytest.approx(
        sum(m.mean() for m in masks) / len(masks), abs=1e-4
    )
    assert (told["allowed_least"], told["allowed_most"]) == (2, 3)  # at a wall, and elsewhere
    assert told["forced_share"] == 0.0 and told["steps"] == 50
    assert "disallowed_actions" not in told and "mask_time_share" not in told


def test_time_of_masks_is_told_where_a_function_speaks_of_them(line):
    class Slow(line):
        def legal_moves_of(self):
            time.sleep(2e-3)

        def out(self, over=""):
            self.legal_moves_of()
            return super().out(over)

    share = mask_time_share(SingleSubject(Slow(), "line"), 0)
    assert share > 0.5  # two milliseconds, beside some microseconds
    assert mask_time_share(SingleSubject(line(), "line"), 0) is None
    assert sys.getprofile() is None


def test_another_profiler_is_left_alone(line):
    def profiler(*_):
        return None

    sys.setprofile(profiler)
    try:
        assert mask_time_share(SingleSubject(line(), "line"), 0) is None
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)

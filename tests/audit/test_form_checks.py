"""Form: each complaint once, where it was first seen, and only where it counts."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.audit.form_checks import check_form
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.walk import walk


@pytest.fixture
def found(line):
    def look(fault="", *, empty="raise", kind=line, **settings):
        subject = SingleSubject(kind(fault, **settings), "line")
        return check_form(subject, walk(subject, steps=60, seed=0), empty=empty)

    return look


def test_right_masks_have_nothing_to_be_said_of(found):
    assert found() == [] and found(goal=4) == [] and found(where="observation") == []


def test_the_first_place_and_the_count(found):
    (finding,) = found("sometimes")
    assert finding.where == "episode 0, step 4"
    assert finding.message == "a step gives no mask (5 of 55)" and finding.count == 5


def test_rows_that_allow_nothing_are_told_unless_meant(found):
    assert [f.code for f in found("nothing")] == ["nothing-allowed"]
    assert found("nothing")[0].where == "episode 0, step 3"
    assert found("nothing", empty="idle") == []


def test_an_empty_mask_at_the_end_is_no_fault(found, line):
    class Ends(line):
        def told(self, over=""):
            return np.zeros(4, np.int8) if over else super().told(over)

    assert found(kind=Ends, goal=4) == []


def test_a_mask_outside_its_declared_space(found, line):
    class Outside(line):
        def told(self, over=""):
            return super().told(over).astype(np.float64)

    codes = [f.code for f in found(kind=Outside, where="observation")]
    assert codes == ["float-flags", "outside-its-space"]


def test_a_mask_that_tells_nothing(found):
    assert [f.code for f in found("everything")] == ["forbids-nothing"]
    assert [f.code for f in found("always")] == ["never-changes"]


def test_an_entity_mask_alone_is_no_missing_action_mask(found, line):
    class Scene(line):
        def __init__(self, *settings, **more):
            super().__init__(*settings, **more)
            here = self.observation_space
            there = spaces.Box(0, 1, (2,), dtype=np.bool_)
            self.observation_space = spaces.Dict({"entities": here, "entity_mask": there})

        def out(self, over=""):
            observation, _ = super().out(over)
            return {"entities": observation, "entity_mask": np.ones(2, bool)}, {}

    assert [f.code for f in found(kind=Scene)] == ["no-action-mask"]
    assert [f.code for f in found("nowhere")] == ["no-mask"]

"""The walk: episodes from their seeds, copies where they are wanted, crashes kept."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.audit.subjects.moments import Moment, Reading, Row
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.walk import FIRST_STEPS, as_shown, draw, same_raw, usable_masks, walk


@pytest.fixture
def walked(line):
    def walk_it(fault="", repeatable=False, steps=60, **settings):
        return walk(
            SingleSubject(line(fault, **settings), "line"),
            steps=steps,
            seed=3,
            repeatable=repeatable,
        )

    return walk_it


def test_allowed_actions_are_played_and_every_moment_is_kept(walked):
    result = walked()
    assert len(result.step_seconds) == 60 and result.seeds == [3, 4, 5, 6, 7]
    for stage in result.stages:
        assert (stage.choices is None) == (stage.moment.over or stage.step == 12)
        if stage.choices is not None:
            keep = stage.moment.rows[0].reading.masks["action_mask"]
            assert keep[stage.choices[0][0]]
    assert [stage.step for stage in result.episode(1)] == list(range(13))


def test_beginnings_are_copied_unless_they_can_be_repeated(walked):
    copied = [s for s in walked().stages if s.copy is not None]
    assert any(s.step < FIRST_STEPS for s in copied)
    copied = [s for s in walked(repeatable=True).stages if s.copy is not None]
    assert copied and all(s.step >= FIRST_STEPS and s.late for s in copied)


def test_crashes_are_kept_and_the_walk_goes_on(walked):
    result = walked("allows idling", answer="raises")
    assert result.failures and len(result.seeds) > 1
    first = result.failures[0]
    assert first.code == "allowed-raises" and "ValueError" in first.got
    assert first.action in (0, 1) and "step" in first.where


def test_buffers_that_change_are_noticed(walked):
    assert not walked().changed
    stage, row, step = walked("in place").changed[0]
    assert step > stage.step and row.reading.kept is not None


def test_unusable_masks_allow_everything():
    flat = np.zeros(3, bool)
    assert usable_masks(Reading("", masks={"action_mask": flat})) == {}
    assert usable_masks(Reading("")) == {}
    flat[1] = True
    assert usable_masks(Reading("", masks={"action_mask": flat}))["action_mask"] is flat


def test_rows_that_wait_choose_nothing(line):
    subject = SingleSubject(line(), "line")
    row = Row("", False, Reading(""), np.zeros(1))
    assert draw(subject, Moment([row]), np.random.default_rng(0)) == [None]
    assert as_shown(np.array([2]), subject) == 2 and as_shown(None, subject) is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (np.array([1, 0]), [1, 0], True),
        (np.array([1, 0]), np.array([1, 0, 0]), False),
        ([1, 0], [1, 1], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": [1]}, {"b": [1]}, False),
        (np.array([np.nan]), np.array([np.nan]), True),
        (None, None, True),
    ],
)
def test_raw_masks_are_compared_by_content(first, second, same):
    assert same_raw(first, second) is same

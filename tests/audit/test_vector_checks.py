"""Copies and stacks: masks kept apart, and the same as alone in all three modes."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.audit.report import Finding, Report
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.targets import find_target, subject_of
from maskrl.audit.vector_checks import check_copies, check_modes, explained


@pytest.fixture
def checked(line):
    def check(which, kind=line, before=(), **settings):
        target = find_target(lambda: kind(**settings), {})
        subject = subject_of(target.make_raw(), "line", target.settings)
        assert isinstance(subject, SingleSubject)
        subject.reset(0)
        report = Report("line")
        report.add(Finding(code, "") for code in before)
        which(target, subject, report, 0)
        return report

    return check


@pytest.mark.parametrize("where", ["info", "observation"])
def test_right_environments_are_compared_at_every_step(checked, where):
    for which in (check_copies, check_modes):
        report = checked(which, where=where, goal=4)
        assert report.findings == [] and report.unchecked == []
    assert report.checked[0].detail == "540 masks in the three modes of autoreset"


def test_a_method_is_asked_through_the_stack(checked, with_method):
    report = checked(check_modes, kind=with_method)
    assert report.findings == [] and "540 masks" in report.checked[0].detail


def test_a_mask_of_the_class_is_found(checked):
    finding = checked(check_copies, fault="copies").find("copies-interfere")
    assert finding.where.startswith("step ") and finding.expected != finding.got


def test_a_stack_that_hands_out_another_mask_is_found(checked, line):
    class OnlyWithASeed(line):
        """Forgets its mask when it is reset without a seed, as autoreset does."""

        def reset(self, *, seed=None, options=None):
            observation, info = super().reset(seed=seed)
            self.limit = int(self.np_random.integers(3, 9))  # so that rows end apart
            return observation, info if seed is not None else {"action_mask": np.ones(3, np.int8)}

    report = checked(check_modes, kind=OnlyWithASeed)
    assert report.codes == ("vector-fails",)
    assert "NEXT_STEP" in report.findings[0].message


def test_what_is_explained_already_is_left_out_and_said(checked):
    report = checked(check_modes, before=("wrong-length",))
    assert report.unchecked[0].detail == "left out because of wrong-length"
    assert explained(report) == "wrong-length" and explained(Report("")) == ""
    report = checked(check_copies, before=("no-mask",))
    assert report.unchecked[0].detail == "left out because of no-mask"

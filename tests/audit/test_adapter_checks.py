"""What trainers get: the same masks as the raw environment, or a finding."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.audit.adapter_checks import check_adapted, quietly
from maskrl.audit.report import Report
from maskrl.audit.targets import Target, find_target, subject_of


def adapted(target):
    subject = subject_of(target.make_raw(), target.name, target.settings)
    report = Report(target.name)
    check_adapted(target, subject, report, 0)
    return report


def test_an_adapted_environment_says_the_same(line):
    report = adapted(find_target(line))
    assert report.findings == []
    assert int(report.checked[0].detail.removesuffix(" masks as the raw ones")) > 40
    assert report.unchecked[0].name == "make_vec"


def test_a_refusal_is_quoted(line):
    report = adapted(find_target(line, {"fault": "short"}))
    finding = report.find("adapter-fails")
    assert "shape (3,)" in finding.got or "3" in finding.got


def test_an_adapter_that_says_something_else_is_found(line):
    class Wrong(line):
        def told(self, over=""):
            return 1 - super().told(over)

    right = find_target(line)
    wrong = Target("line", right.settings, right.make_raw, True, find_target(Wrong).make_adapted)
    finding = adapted(wrong).find("adapter-differs")
    mine, theirs = (np.array(eval(text)) for text in (finding.got, finding.expected))
    np.testing.assert_array_equal(mine, 1 - theirs)


@pytest.mark.parametrize("env_id", ["panda-open", "pettingzoo:tictactoe_v3"])
def test_the_vector_environment_of_an_id_is_tried_too(env_id):
    report = adapted(find_target(env_id))
    assert report.findings == []
    assert [check.name for check in report.checked] == ["adapter", "make_vec"]


def test_rows_of_teams_are_told_to_be_left_out():
    report = adapted(find_target("pandas?pandas=2"))
    assert (
        report.findings == [] and report.unchecked[0].detail == "rows of teams are not told apart"
    )


def test_no_line_is_announced(line, capsys):
    class Unheard(line):
        pass

    quietly(find_target(Unheard).make_adapted)
    assert capsys.readouterr().err == ""

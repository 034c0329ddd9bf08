"""What trainers get: the same masks as the raw environment, or a finding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskrl import audit
from maskrl.audit import adapter_checks
from maskrl.audit.adapter_checks import check_adapted, quietly
from maskrl.audit.report import Finding, Report
from maskrl.audit.targets import Target, find_target, subject_of
from maskrl.envs.vectorize import GymnasiumVectorEnv


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


@pytest.mark.parametrize(
    ("env_id", "told"), [("panda-open", ("allowed-no-op",)), ("pettingzoo:tictactoe_v3", ())]
)
def test_a_move_is_not_called_idle_where_an_opponent_has_answered_it(env_id, told, monkeypatch):
    idle = Finding("allowed-no-op", "action 3: it is allowed and does nothing")
    monkeypatch.setattr(adapter_checks, "check_rules", lambda subject, spots: [idle])
    assert adapted(find_target(env_id)).codes == told


def test_rules_that_raise_in_a_row_are_no_fault_of_the_others(line):
    """An environment may refuse what its mask disallows as loudly as it likes."""
    strict = find_target(line, {"answer": "raises"})
    rows = lambda count: GymnasiumVectorEnv([strict.make_adapted] * count)  # noqa: E731
    report = adapted(replace(strict, make_many=rows))
    assert report.findings == []
    assert [check.name for check in report.checked] == ["adapter", "make_vec"]


def test_a_reward_that_is_no_number_is_laid_to_nobody_else(line):
    class Listing(line):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, [reward], *rest

    report = audit.env(Listing, steps=40, trials=60)
    assert "step gave the reward [0.0]; expected one number" in report.find("adapter-fails").got
    assert set(report.codes) <= {"adapter-fails", "vector-fails"}


def test_a_reset_of_an_older_interface_is_named(line):
    class Older(line):
        def reset(self, **settings):
            return super().reset(**settings)[0]

    finding = audit.env(Older, steps=40, trials=60).find("fails")
    assert "its reset() gave ndarray; expected (observation, info)" in finding.message


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

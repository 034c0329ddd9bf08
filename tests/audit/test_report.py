"""Reports: what passes, what fails, and everything as data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskrl.audit.report import AuditError, Check, Finding, Report
from maskrl.errors import ConfigError, MaskrlError


def report(*codes, strict=False, ignored=()):
    made = Report("world", strict=strict, ignored=ignored)
    made.add(Finding(code, f"it is {code}") for code in codes)
    return made


def test_errors_fail_and_doubts_fail_strictly():
    assert report("waits", "allowed-no-op").passed
    assert not report("waits", "inverted").passed
    assert not report("allowed-no-op", strict=True).passed
    assert report("waits", strict=True).passed
    assert [f.code for f in report("allowed-no-op", "inverted", strict=True).failures] == [
        "inverted",
        "allowed-no-op",
    ]


def test_errors_come_first_and_ignored_codes_not_at_all():
    made = report("waits", "allowed-no-op", "inverted", ignored=("allowed-no-op",))
    assert made.codes == ("inverted", "waits")
    assert made.find("waits").severity == "note" and made.find("stale-reset") is None
    assert [f.code for f in made.of("error")] == ["inverted"]


def test_a_finding_tells_place_both_sides_and_how_often():
    finding = Finding("wrong-length", "too short", "episode 1, step 3", 2, "6 flags", "5", 4)
    assert str(finding) == (
        "error wrong-length: episode 1, step 3: too short Expected 6 flags, got 5. (4 times)"
    )
    with pytest.raises(ConfigError, match="no code 'bad'"):
        Finding("bad", "")


def test_a_failure_raises_the_whole_report():
    made = report("inverted", "waits")
    made.unchecked.append(Check("copies", "none can be made"))
    with pytest.raises(AuditError) as caught:
        made.raise_on_failure()
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value, MaskrlError)
    text = str(caught.value)
    assert "FAILED: 1 error, 1 note" in text and "mask_allowed=0" in text
    assert "not checked: copies: none can be made" in text
    report("waits").raise_on_failure()


def test_the_verdict_counts():
    assert report().verdict() == "passed: nothing found"
    assert report("allowed-no-op", strict=True).verdict() == (
        "FAILED: 1 doubt (strict: doubts count)"
    )


def test_everything_is_plain_data():
    made = report("waits")
    made.measures = {"share": np.float32(0.5), "counts": np.arange(2)}
    data = json.loads(json.dumps(made.to_json()))
    assert data["passed"] and data["findings"][0]["advice"]
    assert data["measures"] == {"share": 0.5, "counts": [0, 1]}

"""The assertion for the tests of environments' authors: strict, and told in full."""

from __future__ import annotations

import pytest

from maskrl.audit import AuditError, assert_env_masks


def test_right_masks_are_asserted(line):
    assert assert_env_masks(line, steps=40, trials=60).passed


def test_wrong_ones_fail_with_the_report(line):
    with pytest.raises(AssertionError, match="inverted.*mask marks|mask_allowed=0"):
        assert_env_masks(line, fault="inverted", steps=40, trials=60)


def test_doubts_fail_unless_told_otherwise(line):
    with pytest.raises(AuditError, match="changed-in-place"):
        assert_env_masks(line, fault="in place", steps=40, trials=0)
    report = assert_env_masks(line, fault="in place", steps=40, trials=0, strict=False)
    assert report.codes == ("changed-in-place",)

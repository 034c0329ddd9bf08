"""Codes: each with a severity that means something and advice; all of them documented."""

from __future__ import annotations

import re
from pathlib import Path

from maskrl.audit.codes import CODES, SEVERITIES

REPOSITORY = Path(__file__).parents[2]


def test_every_code_says_what_it_is_and_what_to_do():
    assert len(CODES) >= 30
    for name, code in CODES.items():
        assert name == code.name and re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert code.severity in SEVERITIES
        assert code.summary and code.advice.endswith((".", '"'))


def test_every_code_is_documented_with_its_severity():
    page = (REPOSITORY / "docs" / "audit.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", page, re.MULTILINE))
    assert rows == {name: code.severity for name, code in CODES.items()}

"""Numbers in words: honest at the ends, with a real minus sign."""

from __future__ import annotations

import math

import pytest

from maskrl.reports import wording


def plain(text: str) -> str:
    return text.replace(wording.SPACE, " ")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.875, 2, "0.88"), (-0.5, 1, "−0.5"), (-0.001, 2, "0.00"), (1234.5, 0, "1,234")],
)
def test_number(value, digits, text):
    assert wording.number(value, digits) == text


def test_large_counts():
    assert wording.large(1234) == "1,234"
    assert wording.large(996_957) == "997,000"
    assert plain(wording.large(1_200_000)) == "1.2 million"
    assert plain(wording.large(3e9)) == "3 billion"


def test_zero_and_all_are_said_only_where_they_are_exact():
    said = [plain(wording.percent(share)) for share in (0, 1e-9, 0.5, 1 - 1e-9, 1)]
    assert said == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert plain(wording.percent(0.0004, 1)) == "under 0.1 %"
    assert plain(wording.percent(0.0234, 1)) == "2.3 %"


def test_durations():
    said = [plain(wording.duration(seconds)) for seconds in (42, 59.7, 291, 3600, 7500)]
    assert said == ["42 s", "1 min 00 s", "4 min 51 s", "1 h 00 min", "2 h 05 min"]


def test_what_was_not_measured_says_so():
    for say in (wording.number, wording.count, wording.large, wording.percent, wording.duration):
        assert say(math.nan) == "not measured"


def test_words():
    assert wording.listing([]) == ""
    assert wording.listing(["a"]) == "a"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.plural(1, "step") == "1 step"
    assert wording.plural(1200, "entity", "entities") == "1,200 entities"
    assert wording.readable("use_item") == "use item"
    assert wording.readable("3") == "action 3"

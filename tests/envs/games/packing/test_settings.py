"""Settings refuse what cannot be, by name."""

from __future__ import annotations

import pytest

from maskrl.envs.games.packing.settings import PackingSettings
from maskrl.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"padding": "noise"}, "padding must be one of items, zeros; got 'noise'"),
        ({"split": "exam"}, "split must be one of train, validation, test; got 'exam'"),
        ({"tell_mask": 1}, "tell_mask must be one of False, True; got 1"),
        ({"slots": 61}, "slots must be a whole number from 1 to 60; got 61"),
        ({"slots": 8}, "max_items must be a whole number from 1 to 8; got 12"),
        ({"slots": 40, "max_items": 17}, "max_items must be a whole number from 1 to 16; got 17"),
        ({"min_items": 13}, "min_items must be a whole number from 1 to 12; got 13"),
        ({"step_limit": 11}, "step_limit must be a whole number from 12 to 10000; got 11"),
        ({"slots": 12.0}, "slots must be a whole number; got 12.0"),
        ({"min_items": True}, "min_items must be a whole number; got True"),
    ],
)
def test_wrong_settings_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PackingSettings(**wrong)


def test_rows_grow_by_what_the_mask_tells() -> None:
    names = PackingSettings(tell_mask=True).candidate_features
    assert names[-3:] == ("offered", "taken", "fits")
    assert names[:-3] == PackingSettings().candidate_features

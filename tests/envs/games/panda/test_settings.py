"""Settings refuse what cannot be, by name."""

from __future__ import annotations

import pytest

from maskrl.envs.games.panda.settings import PandaSettings
from maskrl.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sight": "fog"}, "sight must be one of trees, full; got 'fog'"),
        ({"preset": "forest"}, "preset must be one of random, open, trees; got 'forest'"),
        ({"width": 0}, "width must be a whole number from 5 to 32; got 0"),
        ({"step_limit": 0}, "step_limit must be a whole number from 1 to 10000; got 0"),
        ({"max_bananas": 17}, "max_bananas must be a whole number from 0 to 16; got 17"),
        ({"min_trees": 7}, "min_trees must be a whole number from 0 to 6; got 7"),
        ({"max_trees": True}, "max_trees must be a whole number; got True"),
        ({"width": "abc"}, "width must be a whole number; got 'abc'"),
        ({"preset": "open", "width": 8}, "the scene 'open' is 7 x 7; got width=8"),
    ],
)
def test_wrong_settings_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PandaSettings(**wrong)


def test_default_scenes_have_twelve_slots_and_the_articles_have_four() -> None:
    assert PandaSettings().entity_slots == 12
    assert PandaSettings(preset="trees").entity_slots == 12
    assert PandaSettings(preset="trees", features="xyt").entity_slots == 4
    assert PandaSettings(preset="trees", max_trees=2, min_trees=0).entity_slots == 9
    assert PandaSettings(features="xyt").banana_slots == 0

"""Settings refuse what cannot be, by name."""

from __future__ import annotations

import pytest

from maskrl.envs.games.panda.settings import DEFAULT_FEATURES, PandaSettings
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
        ({"max_scorpions": 9}, "max_scorpions must be a whole number from 0 to 8; got 9"),
        ({"min_dragons": 2}, "min_dragons must be .* from 0 to 1; got 2 while max_dragons is 1"),
        ({"max_trees": 25}, "max_trees must be a whole number from 0 to 24; got 25"),
        ({"panda_view_radius": 0}, "panda_view_radius must be a whole number from 1 on, or None"),
        ({"dragon_view_radius": 2.5}, "dragon_view_radius must be .* got 2.5"),
        ({"scorpion_view_radius": True}, "scorpion_view_radius must be .* got True"),
        ({"panda_field_of_view": 361}, "panda_field_of_view must be .* from 1 to 360; got 361"),
        ({"dragon_field_of_view": 0}, "dragon_field_of_view must be .* from 1 to 360; got 0"),
        ({"scorpion_field_of_view": None}, "scorpion_field_of_view must be a whole number"),
        ({"preset": "trees", "max_dragons": 2}, "'trees' has one scorpion and one dragon; got max"),
        ({"preset": "open", "min_scorpions": 0}, "one scorpion .* got min_scorpions=0"),
        ({"tells_time": 1}, "tells_time must be true or false; got 1"),
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


def test_slots_and_columns_grow_with_what_a_world_may_hold() -> None:
    crowd = PandaSettings(max_scorpions=3, max_dragons=2, max_bananas=5, max_trees=9)
    assert crowd.entity_slots == 2 + 3 + 2 + 5 + 9
    assert PandaSettings(features="xyt", max_dragons=3).entity_slots == 2 + 1 + 3
    assert PandaSettings(min_dragons=0, max_dragons=0).entity_slots == 11
    assert PandaSettings().feature_count == len(DEFAULT_FEATURES) == 31
    narrow = PandaSettings(dragon_field_of_view=300)
    assert narrow.facing_matters and not PandaSettings(panda_view_radius=1).facing_matters
    assert narrow.feature_names[31:] == ("faces_up", "faces_down", "faces_left", "faces_right")

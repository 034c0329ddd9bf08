"""Settings of the pandas' world: sizes that follow, and messages that name what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.pandas.settings import PandasSettings
from maskrl.envs.setting_list import setting_list
from maskrl.errors import ConfigError


@pytest.mark.parametrize(
    ("pandas", "side", "melons", "scorpions", "trees", "steps"),
    [(2, 5, 3, 1, 3, 15), (4, 7, 6, 1, 5, 21), (8, 10, 12, 2, 10, 30), (64, 28, 96, 16, 78, 84)],
)
def test_sizes_follow_from_the_number_of_pandas(
    pandas: int, side: int, melons: int, scorpions: int, trees: int, steps: int
) -> None:
    settings = PandasSettings(pandas=pandas)
    assert (settings.width, settings.height) == (side, side)
    assert (settings.watermelons, settings.scorpions) == (melons, scorpions)
    assert (settings.min_trees, settings.max_trees) == (trees // 2, trees)
    assert settings.step_limit == steps
    assert settings.entity_slots == pandas + melons + scorpions + trees


def test_what_is_given_is_kept_and_the_rest_follows() -> None:
    settings = PandasSettings(pandas=10, width=16)
    assert (settings.width, settings.height, settings.watermelons) == (16, 16, 15)
    assert PandasSettings(height=12).width == 12
    assert PandasSettings(width=9, height=12).step_limit == 36
    assert PandasSettings(min_trees=20).max_trees == 20
    assert PandasSettings(max_trees=0).min_trees == 0
    assert type(PandasSettings(pandas=np.int64(3)).pandas) is int


def test_every_panda_may_have_a_radius_of_its_own() -> None:
    assert PandasSettings(pandas=2, view_radius=3).radii == (3, 3)
    assert PandasSettings(pandas=2, view_radius=[1, None]).radii == (1, 25)  # type: ignore[list-item]
    assert PandasSettings(pandas=2, view_radius=None).radii == (25, 25)


def test_the_grid_hides_nothing_and_a_scene_does() -> None:
    assert (PandasSettings().sight, PandasSettings().view_radius) == ("trees", 4)
    assert PandasSettings(form="grid").sight == "full"
    assert PandasSettings(form="grid", sight="full", view_radius=None).sight == "full"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pandas": 1}, "pandas must be a whole number from 2 to 64; got 1"),
        ({"pandas": 65}, "from 2 to 64; got 65"),
        ({"pandas": True}, "got True"),
        ({"pandas": 8.0}, "got 8.0"),
        ({"width": 3}, "width must be a whole number from 4 to 32; got 3"),
        ({"height": 33}, "height must be"),
        ({"watermelons": 0}, "watermelons must be a whole number from 1 to 50; got 0"),
        ({"scorpions": -1}, "scorpions must be a whole number from 0 to 12; got -1"),
        ({"max_trees": 34}, r"max_trees must be .* 33 \(a third of 100 cells\); got 34"),
        ({"min_trees": 5, "max_trees": 4}, r"min_trees .* 4 \(max_trees is 4\); got 5"),
        ({"min_trees": "5"}, "min_trees must be a whole number"),
        ({"step_limit": 0}, "step_limit must be"),
        ({"chew_steps": -1}, "chew_steps must be a whole number from 0"),
        ({"respawn_steps": 0}, "respawn_steps must be a whole number from 1"),
        ({"reward": "both"}, "reward must be one of team, individual; got 'both'"),
        ({"form": "image"}, "form must be one of scene, grid"),
        ({"sight": "none"}, "sight must be one of trees, full"),
        ({"split": "dev"}, "split must be one of"),
        ({"view_radius": 0}, "view_radius must be a whole number from 1 on"),
        ({"view_radius": (3, 3)}, "view_radius has 2 entries, expected one for each of the 8"),
        ({"view_radius": (3,) * 7 + (0.5,)}, "view_radius must be"),
        ({"tells_time": 1}, "tells_time must be true or false; got 1"),
        (
            {"pandas": 64, "width": 10},
            "64 pandas, 50 watermelons|watermelons must be a whole number from 1 to 50; got 96",
        ),
        ({"form": "grid", "sight": "trees"}, "sight='trees' would hide things, and the planes of"),
        ({"form": "grid", "view_radius": 2}, "view_radius=2 would hide things.*use form='scene'"),
        ({"form": "grid", "view_radius": (3,) * 8}, r"view_radius=\(3, 3, .* would hide things"),
        ({"pandas": 30, "width": 8, "watermelons": 20}, "fill more than three quarters of the 8 x"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PandasSettings(**settings)


def test_every_setting_says_what_it_is() -> None:
    listed = setting_list(PandasSettings)
    assert len(listed) == len(PandasSettings.__dataclass_fields__)
    assert all(setting.text for setting in listed)

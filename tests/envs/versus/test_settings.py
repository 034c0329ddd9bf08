"""Who sits where: settings and what is refused of them."""

from __future__ import annotations

import pytest

from maskrl.envs.versus.settings import GAME_OPTIONS, VersusSettings, opening_range
from maskrl.errors import ConfigError


def test_settings_are_taken_out_of_an_environments_arguments():
    kwargs = {"seat": 1, "opponent": "depth:2", "board_size": 9}
    assert VersusSettings.split(kwargs) == VersusSettings(opponent="depth:2", seat=1)
    assert kwargs == {"board_size": 9}
    assert set(VersusSettings.names()) <= set(GAME_OPTIONS)  # every one is explained in lists


def test_only_self_learns_from_itself():
    assert VersusSettings(opponent="self").learns_from_itself
    assert not VersusSettings().learns_from_itself
    assert not VersusSettings(opponent=object()).learns_from_itself


@pytest.mark.parametrize(("told", "found"), [(0, (0, 0)), ("3", (3, 3)), ("2-12", (2, 12))])
def test_openings(told, found):
    assert opening_range(told) == found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seat": "left"}, "seat: expected random or a number from 0"),
        ({"seat": -1}, "seat: expected random or a number"),
        ({"seat": True}, "seat: expected random or a number"),
        ({"opening_moves": "8-2"}, "opening_moves: .* a range as in 0-8, got '8-2'"),
        ({"opening_moves": -1}, "opening_moves: expected a whole number from 0"),
        ({"opening_moves": True}, "opening_moves: expected a whole number"),
        ({"pool_size": 0}, "pool_size: expected a whole number from 1"),
        ({"pool_every": 2.5}, "pool_every: expected a whole number from 1, got 2.5"),
        ({"pool_current": 1.2}, "pool_current: expected a share from 0 to 1"),
        ({"opponent_samples": 1}, "opponent_samples: expected a bool"),
    ],
)
def test_what_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        VersusSettings(**setting)

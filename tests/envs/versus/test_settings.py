"""Who sits where: settings and what is refused of them."""

from __future__ import annotations

import pytest

from maskrl.envs.versus.settings import (
    GAME_OPTIONS,
    VersusSettings,
    opening_range,
    other_shares,
)
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


def test_shares_of_others():
    assert other_shares("") == ()
    told = "win_or_block@.25+depth:2@0.5+runs/me@home@0.25"
    expected = (("win_or_block", 0.25), ("depth:2", 0.5), ("runs/me@home", 0.25))
    assert other_shares(told) == expected


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
        (
            {"pool_others": "depth:2"},
            "pool_others: expected an opponent.*as in depth:2@0.2; got 'd",
        ),
        ({"pool_others": "self@0.5"}, "pool_others: expected an opponent other than self"),
        ({"pool_others": "random@1.5"}, "got 'random@1.5'"),
        ({"pool_others": "random@0.5+@0.1"}, "got '@0.1'"),
        ({"pool_others": "random@0.6+depth:2@0.6"}, "shares of 1 at most in all, got 1.2"),
        ({"pool_others": 0.5}, "pool_others: expected text as in depth:2@0.2, got 0.5"),
    ],
)
def test_what_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        VersusSettings(**setting)

"""Every place where a mask may be, in one order, and settings that make no sense."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.mask_sources import (
    MaskSettings,
    Place,
    doubtful_names,
    find_attribute,
    places,
)
from maskrl.errors import ConfigError

FLAGS = spaces.MultiBinary(3)


class Everywhere(gymnasium.Env):
    """Three actions, and masks under several names; each place gives another row."""

    action_space = spaces.Discrete(3)
    valid_actions = ("stay", "left", "right")
    observation_space = spaces.Dict(
        {
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
            "legal_actions": FLAGS,
            "valid_moves": spaces.Box(-9, 9, (3,)),
            "available_actions": spaces.Box(0, 1, (4,)),
            "mine": FLAGS,
        }
    )

    def __init__(self):
        self.legal_moves = [2]
        self.available_moves = None

    @property
    def avail_actions(self):
        return [1]

    def action_masks(self):
        return [True, False, True]

    def get_legal_actions(self, player):
        raise AssertionError("called without a player")

    def get_valid_actions(self):
        raise RuntimeError("no board")

    def reset(self, *, seed=None, options=None):
        keys = self.observation_space.spaces
        return {key: [1, 0, 0] for key in keys}, {"action_mask": [0, 1, 0], "mine": [0, 0, 1]}

    invalid_actions = ()


def found(env=None, **said):
    env = env or Everywhere()
    return list(places(env, *env.reset(), MaskSettings(**said)))


def test_all_places_in_order():
    assert [place.where for place in found()] == [
        "observation['action_mask']",
        "observation['legal_actions']",
        "info['action_mask']",
        "action_masks()",
        "get_legal_actions()",
        "get_valid_actions()",
        "avail_actions",
        "legal_moves",
    ]


def test_entries_that_are_no_flags_for_the_actions_are_features():
    taken = {place.name for place in found() if place.source == "observation"}
    assert "valid_moves" not in taken and "available_actions" not in taken


def test_what_stands_in_a_class_is_no_state_unless_named():
    assert find_attribute(Everywhere(), "valid_actions", constants=False) == (
        False,
        Everywhere.valid_actions,
    )
    assert find_attribute(Everywhere(), "valid_actions")[0]
    assert find_attribute(Everywhere(), "avail_actions", constants=False) == (True, [1])
    assert found(key="valid_actions")[0].source == "attribute"
    assert find_attribute(Everywhere(), "nowhere") == (False, None)


def test_attributes_are_found_through_wrappers():
    env = gymnasium.wrappers.TimeLimit(Everywhere(), 3)
    assert find_attribute(env, "legal_moves") == (True, [2])


def test_what_cannot_be_called_says_why():
    failures = {place.name: place.failure for place in found() if place.failure}
    assert "'player'" in failures["get_legal_actions"]
    assert failures["get_valid_actions"] == "it raises RuntimeError: no board"


def test_a_name_leaves_the_places_of_that_name():
    assert [place.where for place in found(key="mine")] == ["observation['mine']", "info['mine']"]
    assert [place.where for place in found(key="mine", source="info")] == ["info['mine']"]
    assert [place.where for place in found(source="method")][0] == "action_masks()"
    assert found(key="nowhere") == []


def test_a_function_leaves_no_other_place():
    def legal(env, info):
        return info["mine"]

    (place,) = found(fn=legal)
    assert place == Place("callable", "legal", [0, 0, 1], ("env", "info"))
    assert place.where == "legal(env, info)"
    (place,) = found(fn=lambda env: env.legal_moves)
    assert place.raw == [2]
    with pytest.raises(ConfigError, match="'player'"):
        found(fn=lambda player, turn: None)


def test_names_used_in_both_senses_are_pointed_out():
    env = Everywhere()
    assert doubtful_names(env, {}) == ["invalid_actions"]
    assert doubtful_names(env, {"blocked_actions": []}) == ["invalid_actions", "blocked_actions"]


def test_promised_names():
    promised = {place.where for place in found() if place.is_promised}
    assert promised == {"observation['action_mask']", "info['action_mask']", "action_masks()"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"key": 3}, "mask_key: expected a name, got 3"),
        ({"key": ""}, "mask_key: expected a name"),
        ({"source": "callable"}, "mask_source: expected one of observation, info, method, attr"),
        ({"form": "flags"}, "mask_form: expected one of mask, ids, dict, got 'flags'"),
        ({"missing": "none"}, "mask_missing: expected one of error, all"),
        ({"allowed": 2}, "mask_allowed: expected 1 .*got 2"),
        ({"fn": 3}, "mask_fn: expected a callable or the name"),
        ({"fn": len, "key": "x"}, "mask_fn and mask_key were given"),
        ({"fn": len, "source": "info"}, "mask_fn and mask_source were given"),
    ],
)
def test_settings_that_are_none(said, message):
    with pytest.raises(ConfigError, match=message):
        MaskSettings(**said)

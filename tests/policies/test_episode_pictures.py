"""What environments tell a recorder, and what they leave out."""

from __future__ import annotations

import gymnasium
import numpy as np

from maskrl.policies.episode_pictures import (
    action_names,
    entity_names,
    entity_places,
    env_attribute,
    picture,
)


class Silent(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def render(self):
        return np.arange(12).reshape(2, 2, 3)


class Telling(Silent):
    entity_names = ("panda", None)
    entity_places = ((0.5, 0.25), None)
    action_names = ("left", "right")


def test_attributes_are_found_through_wrappers():
    env = gymnasium.wrappers.TimeLimit(Telling(), 5)
    obs = {"entity_mask": np.array([True, False])}
    assert entity_names(env, obs) == ("panda", None)
    assert entity_places(env, obs) == ((0.5, 0.25), None)
    assert action_names(env, ("a", "b")) == ["left", "right"]
    assert env_attribute(env, "action_names") == ("left", "right")


def test_what_is_not_told():
    env = Silent()
    obs = {"entity_mask": np.array([True, False])}
    assert entity_names(env, obs) == ("entity 0", None)
    assert entity_places(env, obs) is None and env_attribute(env, "agent_names") is None
    assert entity_names(env, {}) is None and entity_places(env, {}) is None
    assert action_names(env, ("a", "b")) == ("a", "b") and action_names(env, ()) is None


def test_a_frame_is_a_copy_of_bytes():
    frame, text = picture(Silent(), "rgb_array")
    assert frame.dtype == np.uint8 and text is None
    assert picture(Silent(), None) == (None, None)

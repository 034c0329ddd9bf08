"""What one agent observes, as entries with a row per agent."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.agent_entries import agent_entries, first_difference
from maskrl.errors import ConfigError


def only(space):
    (entry,) = agent_entries(space, "toy")
    return entry


def test_numbers_keep_their_shape_and_floats_become_float32():
    entry = only(spaces.Box(-2.0, 5.0, (3, 2), np.float64))
    assert (entry.name, entry.shape, entry.dtype) == ("observation", (3, 2), np.float32)
    row = entry.row(np.arange(6.0).reshape(3, 2))
    assert row.dtype == np.float32 and row[2, 1] == 5
    assert entry.stacked_space(4) == spaces.Box(-2.0, 5.0, (4, 3, 2), np.float32)


def test_pictures_keep_their_bytes():
    entry = only(spaces.Box(0, 255, (4, 4, 3), np.uint8))
    assert entry.stacked_space(2) == spaces.Box(0, 255, (2, 4, 4, 3), np.uint8)


def test_bounds_include_the_zeros_of_those_who_are_not_there():
    stacked = only(spaces.Box(3.0, 5.0, (1,))).stacked_space(2)
    assert stacked == spaces.Box(0.0, 5.0, (2, 1), np.float32)
    stacked = only(spaces.Box(np.float32([-np.inf, -3]), np.float32([-1, np.inf]))).stacked_space(1)
    assert stacked.low.tolist() == [[-np.inf, -3]] and stacked.high.tolist() == [[0, np.inf]]


@pytest.mark.parametrize(
    ("space", "value", "row"),
    [
        (spaces.Discrete(4), 2, [0, 0, 1, 0]),
        (spaces.Discrete(4), np.int64(0), [1, 0, 0, 0]),
        (spaces.Discrete(3, start=-1), -1, [1, 0, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), [0, 1, 0, 0, 1]),
        (spaces.MultiDiscrete([[2], [2]]), np.array([[1], [0]]), [0, 1, 1, 0]),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    ],
)
def test_choices_become_one_hot(space, value, row):
    entry = only(space)
    assert entry.row(value).tolist() == row and entry.row(value).dtype == np.float32
    stacked = entry.stacked_space(3)
    assert stacked == spaces.Box(0.0, 1.0, (3, len(row)), np.float32)


@pytest.mark.parametrize("value", [4, -1, 1.5, "2", [1]])
def test_choices_that_are_none(value):
    with pytest.raises(ConfigError, match=r"observation is .*, its space Discrete\(4\)"):
        only(spaces.Discrete(4)).row(value)


def test_nested_parts_are_named_after_their_path():
    space = spaces.Dict(
        {
            "sensors": spaces.Dict({"lidar": spaces.Box(0, 1, (4,)), "bump": spaces.Discrete(2)}),
            "pair": spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (1,))]),
            "action_mask": spaces.Box(0, 1, (5,), np.int8),
        }
    )
    entries = {e.name: e for e in agent_entries(space, "toy", ["action_mask"])}
    assert set(entries) == {"sensors.lidar", "sensors.bump", "pair.0", "pair.1"}
    observation = {"sensors": {"lidar": [1, 2, 3, 4], "bump": 1}, "pair": (1, [0.5])}
    assert entries["sensors.bump"].row(observation).tolist() == [0, 1]
    assert entries["pair.1"].row(observation).tolist() == [0.5]
    with pytest.raises(ConfigError, match=r"no entry observation\['sensors'\]\['lidar'\]"):
        entries["sensors.lidar"].row({"sensors": {}})


def test_names_with_another_meaning_are_changed():
    space = spaces.Dict({k: spaces.Box(0, 1, (2,)) for k in ("alive", "entities", "speed")})
    assert {e.name for e in agent_entries(space, "toy")} == {"own_alive", "own_entities", "speed"}


def test_what_cannot_be_stacked_is_refused():
    for odd in (spaces.Text(3), spaces.Sequence(spaces.Discrete(2))):
        with pytest.raises(ConfigError, match="'toy': x of an agent is .*need one shape"):
            agent_entries(spaces.Dict({"x": odd}), "toy")
    twice = spaces.Dict({"a.b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(ConfigError, match="both be called 'a.b'"):
        agent_entries(twice, "toy")


def test_differences_are_told_in_words():
    box = spaces.Box(0, 1, (2,))
    assert first_difference(box, spaces.Box(0, 1, (2,))) is None
    assert first_difference(spaces.Discrete(2), spaces.Discrete(3)) == "Discrete(2) and Discrete(3)"
    deep = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})})
    other = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(3)})})
    assert first_difference(deep, other) == "['a']['b'] is Discrete(2) and Discrete(3)"

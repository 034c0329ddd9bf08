"""Spaces survive the way through JSON text, and nothing else comes out of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.space_json import space_from_json, space_to_json
from maskrl.errors import ConfigError

SPACES = [
    spaces.Discrete(6),
    spaces.Discrete(3, start=-2),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 0]]),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
    spaces.Box(-1.5, 0.1, (3,), np.float32),
    spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    spaces.Box(np.array([-np.inf, 0.3], np.float32), np.array([1.0, np.inf], np.float32)),
    spaces.Box(0, 255, (8, 8, 3), np.uint8),
    spaces.Box(0, 1, (), np.float32),
    spaces.Box(-(2**62), 2**62, (2,), np.int64),
    mask_space(6),
    mask_space(3, 3),
    spaces.Tuple([spaces.Discrete(2), mask_space(2)]),
    spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Dict({"k": mask_space(2)})}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_survives_json(space):
    text = json.dumps(space_to_json(space), allow_nan=False)
    again = space_from_json(json.loads(text))
    assert again == space
    assert again.dtype == space.dtype
    assert space_to_json(again) == space_to_json(space)


def test_the_order_of_a_dict_stays():
    space = spaces.Dict([("b", spaces.Discrete(2)), ("a", spaces.Discrete(3))])
    again = space_from_json(json.loads(json.dumps(space_to_json(space))))
    assert list(again.spaces) == list(space.spaces) == ["b", "a"]


def test_equal_bounds_are_written_once():
    assert len(json.dumps(space_to_json(spaces.Box(0, 255, (210, 160, 3), np.uint8)))) < 120


def test_other_spaces_are_refused():
    with pytest.raises(ConfigError, match="Text cannot be written"):
        space_to_json(spaces.Text(4))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "Graph"},
        {"type": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
        {"type": "Box", "low": 0, "high": 1, "shape": [2], "dtype": "object"},
        {"type": "Box", "low": [0], "high": 1, "shape": [2], "dtype": "float32"},
        {"type": "Box", "low": 0, "high": 300, "shape": [2], "dtype": "uint8"},
        {"type": "Box", "low": 0, "high": 1, "shape": [10**13], "dtype": "uint8"},
        {"type": "MultiBinary", "shape": [], "scalar": True},
        {"type": "Discrete", "n": 10**30, "start": 0, "dtype": "int64"},
        "Discrete",
    ],
    ids=str,
)
def test_damage_is_named(data):
    with pytest.raises(ConfigError, match="damaged"):
        space_from_json(data)

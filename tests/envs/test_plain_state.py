"""Plain data to JSON and back: types, sameness of objects, and what is refused."""

from __future__ import annotations

import json
import random
from collections import deque
from enum import Enum

import numpy as np
import pytest

from maskrl.envs.plain_state import StateDecoder, StateEncoder
from maskrl.errors import ConfigError


def there_and_back(value):
    return StateDecoder().decode(json.loads(json.dumps(StateEncoder().encode(value, "x"))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**80,
        0.1,
        float("-inf"),
        "text",
        b"\x00\xff",
        (1, (2, "a"), [3.5, None]),
        {1: {"a": [()]}, (1, 2): {3, 4}, None: frozenset({"x"})},
        deque([1, 2], maxlen=3),
    ],
    ids=repr,
)
def test_plain_values_return(value):
    again = there_and_back(value)
    assert again == value and type(again) is type(value)


def test_numpy_values_return():
    arrays = [
        np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::2],
        np.array(3.5, np.float32),
        np.array([[b"R", b"G"]]),
        np.zeros((0, 4), bool),
    ]
    for array in arrays:
        again = there_and_back(array)
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype and again.flags.writeable
    scalar = there_and_back(np.int8(3))
    assert scalar == 3 and type(scalar) is np.int8
    assert np.isnan(there_and_back(float("nan")))


def test_generators_continue():
    for name in ("PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"):
        generator = np.random.Generator(getattr(np.random, name)(7))
        generator.integers(3, size=5, dtype=np.int32)
        again = there_and_back(generator)
        np.testing.assert_array_equal(generator.random(9), again.random(9))
    legacy, plain = np.random.RandomState(3), random.Random(3)
    legacy_again, plain_again = there_and_back(legacy), there_and_back(plain)
    assert legacy.normal() == legacy_again.normal()
    assert plain.random() == plain_again.random()


def test_one_object_stays_one_object():
    shared, generator = [1], np.random.default_rng(0)
    array = np.zeros(2)
    loop = {"a": shared, "b": shared, "g": generator, "h": generator, "x": array, "y": array}
    loop["self"] = loop
    again = there_and_back(loop)
    assert again["a"] is again["b"] and again["g"] is again["h"] and again["x"] is again["y"]
    assert again["self"] is again


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [object(), Colour.RED, np.array([None]), lambda: 0, [iter(())], 1j, np.ma.zeros(2)],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_refused(value):
    with pytest.raises(ConfigError, match="here.x is or holds a"):
        StateEncoder().encode(value, "here.x")


def test_views_of_one_array_are_refused():
    board = np.zeros((3, 3))
    with pytest.raises(ConfigError, match="a view of another"):
        StateEncoder().encode([board, board[0]], "here.x")
    there_and_back([board.copy()[:2], board[0]])


@pytest.mark.parametrize(
    "data",
    [
        {"~": "function", "n": 0},
        {"~": "generator", "name": "seed", "n": 0},
        {"~": "array", "dtype": "O", "shape": [1], "v": "", "n": 0},
    ],
    ids=str,
)
def test_nothing_else_comes_out(data):
    with pytest.raises(ConfigError, match="damaged"):
        StateDecoder().decode(data)


def test_generators_spawn_the_same_children():
    generator = np.random.default_rng([1, 2])
    generator.spawn(2)
    again = there_and_back(generator)
    for one, other in zip(generator.spawn(2), again.spawn(2), strict=True):
        assert one.random() == other.random()
    assert generator.random() == again.random()

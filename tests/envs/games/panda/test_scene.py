"""A scene is plain, immutable and checked: wrong ones are refused with a reason."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from maskrl.envs.games.panda.scene import Scene
from maskrl.errors import ConfigError

SCENE = Scene(
    width=7, height=7, panda=(3, 0), watermelon=(2, 6), scorpion=(6, 4), dragon=(6, 0), step=3
)


def test_a_scene_does_not_change():
    with pytest.raises(FrozenInstanceError):
        SCENE.step = 4  # type: ignore[misc]
    assert hash(SCENE) == hash(replace(SCENE))


def test_numpy_values_become_plain_ones():
    cells = np.array([[3, 0], [2, 6]], dtype=np.int32)
    scene = Scene(
        width=np.int64(7),
        height=7,
        panda=cells[0],
        watermelon=cells[1],
        trees=[[1, 1]],
        carrying=np.bool_(True),
        step=np.int32(2),
        hidden=["watermelon"],
    )
    assert scene.panda == (3, 0) and type(scene.panda[0]) is int
    assert scene.trees == ((1, 1),)
    assert scene.carrying is True
    assert scene.hidden == frozenset({"watermelon"})
    assert type(scene.step) is int


def test_as_dict_is_json():
    scene = replace(SCENE, hidden=frozenset({"scorpion", "dragon"}))
    values = json.loads(json.dumps(scene.as_dict()))
    assert values["hidden"] == ["dragon", "scorpion"]
    assert values["panda"] == [3, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"panda": (7, 0)}, r"panda is \(7, 0\), outside the 7 x 7 grid"),
        ({"dragon": (0, -1)}, r"dragon is \(0, -1\), outside"),
        ({"panda": 3}, "panda must be a cell"),
        ({"trees": ((1, 1), (2, 9))}, r"trees\[1\] is \(2, 9\)"),
        ({"trees": ((1, 1), (1, 1))}, r"trees names the cell \(1, 1\) more than once"),
        ({"hidden": frozenset({"snake"})}, "hidden names \\['snake'\\], expected any of"),
        ({"hidden": frozenset({"banana 1"})}, "hidden names \\['banana 1'\\]"),
        ({"last_action": "jump"}, "last_action is 'jump'"),
        ({"outcome": "lost"}, "outcome is 'lost'"),
        ({"step": -1}, "step must be at least 0"),
        ({"step_limit": 0}, "step_limit must be at least 1"),
        ({"thrown_at": (9, 9)}, "thrown_at is"),
        ({"more_dragons": ((7, 7),)}, r"more_dragons\[0\] is \(7, 7\), outside"),
        ({"more_stunned": frozenset({"dragon 2"})}, "more_stunned names \\['dragon 2'\\]"),
        ({"facing": (("dragon 2", "up"),)}, r"facing says \('dragon 2', 'up'\)"),
        ({"facing": (("panda", "north"),)}, r"facing says \('panda', 'north'\)"),
    ],
)
def test_wrong_scenes_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(SCENE, **change)


def test_creatures_are_named_scorpions_first_and_each_may_be_stunned():
    scene = replace(
        SCENE,
        more_scorpions=[(1, 1), (2, 2)],
        more_dragons=((3, 3),),
        dragon_stunned=True,
        more_stunned=["scorpion 3"],
        hidden=["dragon 2", "scorpion"],
        facing=[["dragon 2", "left"]],
    )
    assert list(scene.creatures.items()) == [
        ("scorpion", (6, 4)),
        ("scorpion 2", (1, 1)),
        ("scorpion 3", (2, 2)),
        ("dragon", (6, 0)),
        ("dragon 2", (3, 3)),
    ]
    assert [name for name in scene.creatures if scene.is_stunned(name)] == ["scorpion 3", "dragon"]
    assert not scene.is_stunned("panda")
    values = json.loads(json.dumps(scene.as_dict()))
    assert values["more_stunned"] == ["scorpion 3"] and values["facing"] == [["dragon 2", "left"]]
    assert hash(scene) == hash(replace(scene))

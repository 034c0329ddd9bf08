"""Scenes are plain data: made by hand, compared by value, unchangeable."""

from __future__ import annotations

import dataclasses

import pytest

from maskrl.envs.games.packing.scene import Item, Scene


def test_a_scene_is_a_value() -> None:
    item = Item(weight=4, points=50, worth=40, loss=10, status="free")
    scenes = [Scene((item,), 6, 12, 30, 1, 16) for _ in range(2)]
    assert scenes[0] == scenes[1] and hash(scenes[0]) == hash(scenes[1])
    assert scenes[0].outcome is None and scenes[0].last_slot is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenes[0].room = 3  # type: ignore[misc]

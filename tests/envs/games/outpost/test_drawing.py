"""Pictures of one outpost: everything that matters can be told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskrl.envs.games.outpost.drawing import Scene, draw_scene, scene_text

# The miner with ore on the mine (0, 0), a rock beside it, the forester in the base, the grove
# (4, 4) under wolf 3; wolf 1 was shot, there is no wolf 2.
STATE = (0, 12, 1, 0, 2, 1, 1, 0b100, 7, 0, 24, 0b10, 6, -1, 24)
SCENE = Scene(STATE, step_limit=16, points=9, command=(3, 2, 1, 1))


def _with(column: int, value: int) -> Scene:
    return replace(SCENE, state=(*STATE[:column], value, *STATE[column + 1 :]))


def test_the_text_of_one_scene_by_hand() -> None:
    assert scene_text(SCENE).splitlines()[:9] == [
        "+--------------------+",
        "| oM  ### .   .   .  |",
        "| .   .   .   .   .  |",
        "| .   .   Hf  .   .  |",
        "| .   .   .   .   .  |",
        "| .   .   .   .   tw3|",
        "+--------------------+",
        "command 7/16 | points 9 | last: builder tower",
        "store: 2 ore, 1 wood | tower: yes",
    ]


def test_commands_are_told_in_the_parts_that_count() -> None:
    commands = [(0, 2, 1, 1), (1, 0, 0, 0), (2, 0, 2, 0), (3, 0, 0, 2), (4, 3, 2, 1)]
    words = [replace(SCENE, command=command).last_command for command in commands]
    assert words == ["miner left", "forester up", "archer wolf 3", "builder hall", "wait"]
    assert replace(SCENE, refused=True).last_command == "builder tower (not allowed)"
    assert replace(SCENE, command=None).last_command == ""


def test_rows_keep_their_width() -> None:
    for miner in range(24):  # on cell 24 lies a wolf
        lines = scene_text(_with(0, miner)).splitlines()[:7]
        assert {len(line) for line in lines} == {22}


def test_the_picture_shows_what_changes() -> None:
    picture = draw_scene(SCENE)
    assert picture.dtype == np.uint8 and picture.shape == (5 * 48 + 54, 5 * 48, 3)
    np.testing.assert_array_equal(picture, draw_scene(SCENE))
    for changed in (_with(0, 5), _with(2, 0), _with(4, 0), _with(6, 0), _with(7, 0), _with(11, 0)):
        assert (draw_scene(changed) != picture).any()
    rock = draw_scene(SCENE, cell=20)[:20, 20:40]
    plain = draw_scene(_with(11, 0), cell=20)[:20, 20:40]
    assert (rock != plain).mean() > 0.3

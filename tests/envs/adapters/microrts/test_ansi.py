"""A moment as text shows every unit, its side and what it does."""

from __future__ import annotations

import re

import numpy as np

from maskrl.envs.adapters.microrts.ansi import scene_text
from maskrl.envs.adapters.microrts.scene import Scene, Unit

WALLS = np.array([[0, 0, 0, 1], [0, 0, 0, 0]], np.bool_)
UNITS = (
    Unit("resource", -1, 0, 0, 1, 7),
    Unit("worker", 0, 0, 1, 1, 1, "move", (1, 0)),
    Unit("base", 1, 1, 3, 10, 0, "produce", (0, -1), "worker"),
    Unit("heavy", 1, 1, 0, 4, 0, "attack", (1, -1)),
)
SCENE = Scene(WALLS, UNITS, stocks=(3, 0), time=9, max_steps=50)


def test_plain_text_lines_up():
    lines = scene_text(SCENE, colour=False).splitlines()
    assert lines[:5] == [
        "+------------+",
        "| 7 oW> . ###|",
        "| h* .  .  b+|",
        "+------------+",
        "step 9/50   stock 3 : 0",
    ]
    assert "B base" in lines[5]


def test_colours_add_codes_and_nothing_else():
    coloured = scene_text(SCENE)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == scene_text(SCENE, colour=False)
    assert "\x1b[1;38;5;75moW>" in coloured and "\x1b[1;38;5;203m b+" in coloured

"""Scenes as text: a table by hand, aligned, and colours that only add codes."""

from __future__ import annotations

import re

from maskrl.envs.games.packing.ansi import scene_text
from maskrl.envs.games.packing.scene import Item, Scene

ITEMS = (
    Item(4, 50, 40, 10, "free"),
    Item(12, 100, 100, 0, "heavy"),
    Item(3, 20, 15, 5, "taken"),
    Item(5, 10, 0, 5, "spoiled"),
    Item(0, 0, 0, 0, "empty"),
)
SCENE = Scene(ITEMS, room=6, capacity=9, earned=15, step=2, step_limit=16, last_slot=2)


def test_a_table_by_hand() -> None:
    assert scene_text(SCENE, colour=False).splitlines() == [
        "item weight          worth                     loss",
        "   1 ####          4 ########..            40   -10 may be taken",
        "   2 ############ 12 #################### 100       too heavy",
        ">  3 ###           3 ###.                  15    -5 in the rucksack",
        "   4 #####         5 ..                     0    -5 spoiled",
        "   5 -",
        "rucksack [########................] 3 of 9, room for 6",
        "step 2/16 | packed 15 points",
    ]


def test_colours_add_nothing_but_codes() -> None:
    plain = scene_text(SCENE, colour=False)
    assert re.sub(r"\x1b\[[0-9;]*m", "", scene_text(SCENE)) == plain
    assert plain.isascii()


def test_the_end_is_told() -> None:
    for outcome, words in (("packed", "packed"), ("timeout", "time is up")):
        last = Scene(ITEMS, 6, 9, 15, 2, 16, None, outcome)  # type: ignore[arg-type]
        assert scene_text(last, colour=False).endswith(f"| {words}")

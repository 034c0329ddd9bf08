"""Text of scenes: every row equally wide, every sign explained."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from maskrl.envs.games.panda.ansi import scene_text
from maskrl.envs.games.panda.scene import Scene

SCENE = Scene(
    width=5,
    height=4,
    panda=(1, 0),
    watermelon=(0, 3),
    scorpion=(4, 2),
    dragon=(3, 0),
    bananas=((2, 2),),
    trees=((4, 1), (3, 2)),
    hidden=frozenset({"scorpion"}),
    carrying=True,
    dragon_stunned=True,
    last_action="use_item",
    step=7,
    step_limit=40,
)
CODES = re.compile(r"\x1b\[[0-9;]*m")


def test_the_whole_text():
    assert scene_text(SCENE, colour=False).split("\n") == [
        "+---------------+",
        "| .  Pb .  D* . |",
        "| .  .  .  . ###|",
        "| .  .  b ###(S)|",
        "| W  .  .  .  . |",
        "+---------------+",
        "step 7/40 | carries a banana | last: use item",
        "P panda  W watermelon  S scorpion  D dragon",
        "b banana  ### tree  ( ) out of sight  * stunned",
    ]


def test_colour_changes_codes_and_grass_alone():
    plain, coloured = scene_text(SCENE, colour=False), scene_text(SCENE)
    assert "\x1b" not in plain and "\x1b[" in coloured
    assert CODES.sub("", coloured) == plain.replace(" . ", "   ")
    for line in coloured.split("\n"):
        assert line.count("\x1b[0m") * 2 == line.count("\x1b[")  # every colour ends on its line


@pytest.mark.parametrize(
    ("change", "row", "text"),
    [
        ({"scorpion_stunned": True}, 3, "| .  .  b ###(S*|"),
        ({"panda": (3, 0)}, 1, "| .  .  .  PD . |"),
        ({"panda": (3, 0), "scorpion": (3, 0)}, 1, "| .  .  . PDS . |"),
        ({"panda": (2, 2), "bananas": ((2, 2),), "carrying": False}, 3, "| .  .  Pb###(S)|"),
        ({"thrown_at": (3, 0), "carrying": False}, 1, "| .  P  ~  D* . |"),
        ({"scorpion": None, "hidden": frozenset()}, 3, "| .  .  b ### . |"),
        ({"more_scorpions": ((2, 1),)}, 2, "| .  .  S  . ###|"),
        ({"more_dragons": ((2, 1),), "more_stunned": {"dragon 2"}}, 2, "| .  .  D* . ###|"),
        ({"more_dragons": ((2, 1),), "hidden": {"dragon 2"}}, 2, "| .  . (D) . ###|"),
        ({"more_dragons": ((2, 1),), "more_scorpions": ((2, 1),)}, 2, "| .  .  DS . ###|"),
        ({"facing": (("panda", "left"), ("dragon", "up"))}, 1, "| . <Pb . ^D* . |"),
    ],
)
def test_single_cells(change, row, text):
    assert scene_text(replace(SCENE, **change), colour=False).split("\n")[row] == text


@pytest.mark.parametrize(
    ("outcome", "word"), [("won", "won!"), ("caught", "caught"), ("timeout", "time is up")]
)
def test_endings(outcome, word):
    assert f"| {word}" in scene_text(replace(SCENE, outcome=outcome), colour=False)


def test_emoji_are_two_columns_and_a_mark():
    lines = scene_text(SCENE, colour=False, emoji=True).split("\n")
    wide = [len(line) + sum(ord(sign) > 0xFFFF for sign in line) for line in lines[:6]]
    assert set(wide) == {17}
    assert "\U0001f43cb" in lines[1] and "\U0001f982?" in lines[3]


def test_the_legend_explains_only_what_is_there():
    small = Scene(width=2, height=1, panda=(0, 0), watermelon=(1, 0))
    assert scene_text(small, colour=False).split("\n")[-2:] == [
        "step 0 | carries nothing",
        "P panda  W watermelon",
    ]


def test_the_legend_wraps():
    for emoji in (False, True):
        lines = scene_text(SCENE, colour=False, emoji=emoji).split("\n")
        assert all(len(line) <= 48 for line in lines[7:]) and len(lines) == 9


def test_gazes_are_explained_where_they_are_shown():
    assert "looks there" not in scene_text(SCENE, colour=False)
    assert "^v<> looks there" in scene_text(replace(SCENE, facing=(("panda", "up"),)), colour=False)


def test_a_dragon_that_is_only_a_further_one_is_in_the_legend():
    scene = replace(SCENE, dragon=None, dragon_stunned=False, more_dragons=((0, 0),))
    assert "D dragon" in scene_text(scene, colour=False)

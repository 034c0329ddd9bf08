"""Many pandas in a terminal: everything lines up, and every sign is in the legend."""

from __future__ import annotations

import re
from dataclasses import replace

from maskrl.envs.games.pandas.ansi import team_text
from maskrl.envs.games.pandas.scene import TeamScene

SCENE = TeamScene(
    width=5,
    height=3,
    pandas=((0, 0), (4, 2), None, *(((1, 1),) * 1)),
    chewing=(0, 2, 0, 0),
    watermelons=((2, 0),),
    scorpions=((3, 1),),
    trees=((1, 0),),
    fallen=((0, 2),),
    watermelons_at_first=3,
    reward=1.0,
    step=7,
    step_limit=15,
)


def test_signs_stand_where_things_are() -> None:
    assert team_text(SCENE, colour=False).splitlines() == [
        "+---------------+",
        "| 1 ### W  .  . |",
        "| .  4  .  S  . |",
        "| x  .  .  .  2~|",
        "+---------------+",
        "step 7/15 | eaten 2 of 3 | alive 3 of 4 | got +1",
        "1 panda  ~ chews  W watermelon  S scorpion  ### tree  x caught",
    ]


def test_colours_change_nothing_but_colours() -> None:
    text = team_text(replace(SCENE, ending="died out"))
    plain = re.sub("\x1b\\[[0-9;]*m", "", text)
    expected = team_text(replace(SCENE, ending="died out"), colour=False)
    assert plain == expected.replace(".", " ")
    assert "died out" in plain and text != plain


def test_a_scorpion_stands_where_it_caught_somebody() -> None:
    text = team_text(replace(SCENE, fallen=((3, 1),)), colour=False)
    assert text.splitlines()[2] == "| .  4  .  Sx . |"
    assert "caught" in text

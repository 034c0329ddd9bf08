"""The battlefield as text, compared with one written by hand."""

from __future__ import annotations

import numpy as np

from maskrl.envs.adapters.smax_picture import COLUMNS, ROWS, ally_mark, battle_text, enemy_mark


def picture(**changed):
    given = {
        "positions": np.array([[0.0, 0.0], [16.0, 31.9], [99.0, 16.0]]),
        "alive": np.array([True, True, True]),
        "health": np.array([1.0, 0.5, 0.0]),
        "letters": ["m", "z", "m"],
        "allies": 2,
        "size": (32.0, 32.0),
        "step": 7,
    }
    return battle_text(**{**given, **changed}).splitlines()


def test_units_stand_where_they_are_north_above():
    lines = picture()
    assert lines[0] == "+" + "-" * COLUMNS + "+" and len(lines) == ROWS + 5
    field = lines[1 : ROWS + 1]
    assert field[-1] == "|1" + " " * (COLUMNS - 1) + "|"  # (0, 0): south-west
    assert field[0].index("2") == 1 + COLUMNS // 2  # half of the width, at the northern edge
    assert field[ROWS // 2 - 1].endswith("a|")  # beyond the eastern edge: at it
    assert "step 7" in lines


def test_health_is_a_bar_and_the_dead_are_not_on_the_map():
    lines = picture(alive=np.array([True, False, True]))
    assert lines[-2] == "allies  1 m ######  2 z       "
    assert lines[-1] == "enemies a m       "
    assert not any("2" in line for line in lines[1 : ROWS + 1])


def test_every_unit_has_one_mark():
    assert [ally_mark(i) for i in (0, 8, 9, 26)] == ["1", "9", "A", "R"]
    marks = [enemy_mark(i) for i in range(30)]
    assert marks[:2] == ["a", "b"] and len(set(marks)) == 30 and max(map(len, marks)) == 1

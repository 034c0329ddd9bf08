"""Plans of views: parts share out all scenes, each once, and leave the whole as it is."""

import numpy as np
import pytest

from maskrl.kernels.scenes.view_plan import FIRST, HEADS, LAST, WIDTH, ViewPlan


def plan(first, last, pairs=60):
    numbers = np.zeros(19, np.int64)
    numbers[[FIRST, LAST, HEADS, WIDTH]] = first, last, 4, 8
    return ViewPlan(numbers, pairs), numbers


def test_what_a_plan_says_of_its_size():
    made, numbers = plan(2, 9)
    assert (made.rows, made.heads, made.entries) == (7, 4, 35)  # 60 * 4 / 7, rounded up
    assert made.address == numbers.ctypes.data
    assert plan(3, 3)[0].rows == 0


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_parts_hold_every_scene_once(count):
    made, numbers = plan(2, 9)
    parts = made.parts(count)
    scenes = [s for p in parts for s in range(p._numbers[FIRST], p._numbers[LAST])]
    assert scenes == list(range(2, 9)) and len(parts) <= count
    assert all(p.rows > 0 and p.heads == 4 and p._numbers[WIDTH] == 8 for p in parts)
    assert (numbers[FIRST], numbers[LAST]) == (2, 9)
    assert plan(3, 3)[0].parts(count) == []

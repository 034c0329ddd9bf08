"""Plans: every scene is in one part, and working memory holds what is put there."""

import pytest
import torch

from maskrl.kernels.scenes.plan import (
    FIRST,
    HEADS,
    KEYS,
    LAST,
    QUERIES,
    ROOM,
    SIZE,
    WIDTH,
    ScenePlan,
    lanes_for,
    room_for,
    up,
)


def numbers(scenes, queries, keys, width):
    made = [0] * SIZE
    made[LAST], made[QUERIES], made[KEYS] = scenes, queries, keys
    made[HEADS], made[WIDTH] = 2, width
    return made


@pytest.mark.parametrize(("scenes", "count"), [(1, 4), (3, 4), (10, 4), (64, 8)])
def test_parts_hold_every_scene_once(scenes, count):
    parts = ScenePlan.of(numbers(scenes, 5, 6, 16)).parts(count)
    assert len(parts) <= count
    found = [i for part in parts for i in range(part._numbers[FIRST], part._numbers[LAST])]
    assert found == list(range(scenes))
    places = {int(part._numbers[ROOM]) for part in parts}
    assert len(places) == len(parts), "threads do not share working memory"


@pytest.mark.parametrize("queries", [1, 8, 9, 16, 17, 33, 100])
@pytest.mark.parametrize("keys", [1, 5, 64, 131])
@pytest.mark.parametrize("width", [1, 16, 40])
def test_room_is_enough(queries, keys, width):
    lanes, rows, wide = lanes_for(queries), up(keys, 4), up(width, 8)
    needed = 4 * (4 * rows * wide + 5 * lanes * wide + 2 * rows * lanes + 2 * lanes)
    needed += 8 * (queries + keys) + up(queries, lanes) * keys + 63
    assert 4 * room_for(queries, keys, width) >= needed


def test_lanes_follow_the_queries():
    assert [lanes_for(n) for n in (1, 8, 9, 16, 17, 200)] == [8, 8, 16, 16, 32, 32]


def test_working_memory_is_float32_whatever_the_defaults_are():
    wanted = 4 * room_for(5, 5, 8)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            plan = ScenePlan.of(numbers(4, 5, 5, 8))
    finally:
        torch.set_default_dtype(torch.float32)
    for part in (plan, *plan.parts(2)):
        assert part._room.untyped_storage().nbytes() >= wanted
        assert part._numbers[ROOM] == part._room.data_ptr() != 0

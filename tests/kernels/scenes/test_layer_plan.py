"""Plans of layers: whole batches in every part, memory of its own, sums in order."""

import pytest
import torch

from maskrl.kernels.scenes import layer_plan
from maskrl.kernels.scenes.layer_plan import (
    BATCH,
    DIM,
    MORE_ROOM,
    ROWS,
    SUMS,
    UPSTREAM,
    LayerPlan,
    batch_of,
    rows_of,
)
from maskrl.kernels.scenes.plan import FIRST, HEADS, KEYS, LAST, QUERIES, ROOM, WIDTH, room_for


def plan_of(scenes, entities, *, back=True, dim=10, heads=2, width=5):
    made = [0] * (MORE_ROOM + 1)
    made[LAST], made[QUERIES], made[KEYS], made[HEADS] = scenes, entities, entities, heads
    made[WIDTH], made[DIM], made[UPSTREAM] = width, dim, int(back)
    made[BATCH], made[ROWS] = batch_of(entities), rows_of(entities)
    return LayerPlan.of(made)


@pytest.mark.parametrize(("scenes", "entities"), [(1, 5), (7, 40), (100, 12), (64, 300)])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_parts_hold_every_scene_once_in_whole_batches(scenes, entities, count):
    parts = plan_of(scenes, entities).parts(count)
    assert len(parts) <= count
    found = [i for part in parts for i in range(part._numbers[FIRST], part._numbers[LAST])]
    assert found == list(range(scenes))
    assert all(part._numbers[FIRST] % batch_of(entities) == 0 for part in parts)
    assert len({int(part._numbers[ROOM]) for part in parts}) == len(parts)
    assert len({int(part._numbers[SUMS]) for part in parts}) == len(parts)


@pytest.mark.parametrize("back", [False, True])
def test_room_is_enough(back):
    plan = plan_of(20, 7, back=back)
    rows, dim, inner = rows_of(7), 16, 2 * 8
    assert rows >= 7 * batch_of(7) + 7, "a whole vector of queries may begin at the last row"
    needed = rows * ((3 if back else 2) * dim + 4 * inner)
    end = plan._room.data_ptr() + 4 * plan._room.numel()
    assert plan._numbers[MORE_ROOM] == plan._numbers[ROOM] + 4 * room_for(7, 7, 5)
    assert (plan._numbers[MORE_ROOM] + 63) // 64 * 64 + 4 * needed <= end


def test_batches_are_scenes_of_about_so_many_rows(monkeypatch):
    monkeypatch.setattr(layer_plan, "BATCH_ROWS", 100)
    assert [batch_of(n) for n in (1, 12, 60, 100, 500)] == [100, 8, 1, 1, 1]


def test_sums_are_those_of_all_parts():
    plan = plan_of(100, 40)
    assert plan.sums().shape == (4 * 2 * 8 * 16,)
    assert not plan.sums().any()
    parts = plan.parts(3)
    for k, part in enumerate(parts):
        part._sums[5] = 10.0**k
    assert plan.sums()[5] == 111
    assert plan.sums()[5] == 111, "asking changes nothing"
    assert plan_of(100, 40, back=False).sums().numel() == 0


def test_memory_is_float32_whatever_the_defaults_are():
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            plan = plan_of(4, 5)
    finally:
        torch.set_default_dtype(torch.float32)
    for tensor in (plan._room, plan._sums):
        assert tensor.dtype == torch.float32
        assert tensor.is_cpu

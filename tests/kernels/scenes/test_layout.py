"""Who is there, masks turned keys first, rows packed and put back."""

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, as_uint8
from maskrl.kernels.scenes.layout import (
    divide_room,
    look_around,
    pack,
    turn,
    unpack,
    zero_absent,
)
from maskrl.kernels.scenes.plan import (
    KEYS,
    LOOKING,
    MASK,
    MASK_ROW,
    QUERIES,
    THERE,
    ScenePlan,
)
from maskrl.kernels.scenes.plan import (
    SIZE as NUMBERS,
)


@njit
def look(plan, looking, there, mask):
    numbers = as_int64(plan)
    room = divide_room(numbers)
    nq, nk = look_around(numbers, 0, room)
    for i in range(nq):
        as_int64(looking)[i] = room.looking[i]
    for j in range(nk):
        as_int64(there)[j] = room.there[j]
    for i in range(nk * room.lanes):
        as_uint8(mask)[i] = room.permitted[i]
    return nq, nk


def look_at(mask, looking, there):
    queries, keys = len(looking), len(there)
    numbers = [0] * NUMBERS
    numbers[1], numbers[4], numbers[5] = 1, 1, 16
    numbers[QUERIES], numbers[KEYS] = queries, keys
    numbers[MASK], numbers[MASK_ROW] = mask.ctypes.data, keys if mask.ndim == 2 else 0
    numbers[LOOKING], numbers[THERE] = looking.ctypes.data, there.ctypes.data
    plan = ScenePlan.of(numbers)
    found = np.zeros(queries, np.int64), np.zeros(keys, np.int64), np.zeros(keys * 32, np.uint8)
    nq, nk = look(plan.address, *(a.ctypes.data for a in found))
    return found[0][:nq].tolist(), found[1][:nk].tolist(), found[2]


def test_masks_are_turned_and_what_is_absent_left_out():
    random = np.random.default_rng(0)
    mask = random.random((10, 7)) < 0.5
    looking, there = random.random(10) < 0.6, random.random(7) < 0.6
    rows, columns, found = look_at(mask, looking, there)
    assert rows == np.flatnonzero(looking).tolist()
    assert columns == np.flatnonzero(there).tolist()
    turned = found[: 8 * len(columns)].reshape(len(columns), 8)
    assert (turned[:, : len(rows)] == mask[rows][:, columns].T).all()


def test_one_row_for_all_becomes_a_list():
    mask = np.array([True, False, True, True])
    rows, columns, _ = look_at(mask, np.ones(3, bool), np.array([True, True, True, False]))
    assert rows == [0, 1, 2]
    assert columns == [0, 2]


@njit
def there_and_back(source, places, packed, turned, back, untouched):
    s, p, t, b = as_float32(source), as_float32(packed), as_float32(turned), as_float32(back)
    pack(p, 16, s, 20, as_int64(places), 3, 8, np.float32(2.0), 11)
    turn(t, 8, p, 16, as_uint8(untouched))
    unpack(b, 20, as_int64(places), p, 16, 3, 11)
    zero_absent(b, 20, as_int64(places), 3, 6, 11)


def test_rows_go_there_and_back():
    source = np.random.default_rng(0).standard_normal((6, 20)).astype(np.float32)
    places = np.array([0, 2, 5])
    packed, turned = np.full((8, 16), 9, np.float32), np.full((16, 8), 9, np.float32)
    back, byte = np.full((6, 20), 9, np.float32), np.zeros(1, np.uint8)
    there_and_back(*(a.ctypes.data for a in (source, places, packed, turned, back, byte)))
    expected = np.zeros((8, 16), np.float32)
    expected[:3, :11] = 2 * source[places, :11]
    assert (packed == expected).all()
    assert (turned == expected.T).all()
    assert (back[places, :11] == expected[:3, :11]).all()
    assert (back[[1, 3, 4], :11] == 0).all()
    assert (back[:, 11:] == 9).all(), "what belongs to others is left alone"

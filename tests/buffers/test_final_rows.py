"""Room for final observations: what was kept comes back, and room is used again."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.buffers.array_room import ArrayRoom
from maskrl.buffers.final_rows import FinalRows

LIKE = {"number": np.zeros((4, 3, 2), np.float32), "bits": np.zeros((4, 3, 1), np.uint8)}


def entries(*numbers):
    return {
        "number": np.array([[n, n] for n in numbers], np.float32),
        "bits": np.array([[n] for n in numbers], np.uint8),
    }


def test_what_is_kept_comes_back_and_the_rest_is_zero():
    finals = FinalRows((4, 3), LIKE)
    finals.write(1, np.array([0, 2]), entries(5, 7))
    finals.write(3, np.array([1]), entries(9))
    rows, envs = np.array([1, 1, 1, 3]), np.array([0, 1, 2, 1])
    places = finals.places(rows, envs)
    assert finals.read("number", places)[:, 0].tolist() == [5, 0, 7, 9]
    assert finals.read("bits", places)[:, 0].tolist() == [5, 0, 7, 9]


def test_a_row_written_again_or_forgotten_gives_its_room_back():
    finals = FinalRows((4, 3), LIKE)
    for value in range(1, 100):
        row = value % 4
        finals.forget(row)
        finals.write(row, np.array([0, 1]), entries(value, value + 100))
        finals.write(row, np.array([1]), entries(value))
        here = finals.places(np.array([row, row, row]), np.arange(3))
        assert finals.read("number", here)[:, 0].tolist() == [value, value, 0]
    # at most 4 rows of 2, and a little more room than is needed
    assert finals.nbytes({"bits": None}) <= 16


def test_what_is_kept_is_taken_over_by_another():
    finals = FinalRows((4, 3), LIKE)
    for row in range(4):
        finals.write(row, np.arange(3), entries(row, row + 10, row + 20))
    finals.forget(1)
    state = {name: array.copy() for name, array in finals.get_state(4).items()}
    other = FinalRows((4, 3), LIKE)
    other.write(1, np.array([2]), entries(77))
    other.set_state(state)
    for row, seen in ((0, [0, 10, 20]), (1, [0, 0, 0]), (3, [3, 13, 23])):
        here = other.places(np.full(3, row), np.arange(3))
        assert other.read("number", here)[:, 1].tolist() == seen
    other.write(1, np.array([0]), entries(5))
    assert len(other.entries("bits")) == 13, "free room is used first"


@pytest.mark.parametrize("damage", ["twice", "beyond", "uneven", "lost"])
def test_places_that_contradict_each_other_are_refused(damage):
    finals = FinalRows((4, 3), LIKE)
    finals.write(2, np.arange(3), entries(1, 2, 3))
    state = {name: array.copy() for name, array in finals.get_state(4).items()}
    if damage == "twice":
        state["place"][0, 0] = state["place"][2, 0]
    elif damage == "beyond":
        state["place"][2, 0] = 99
    elif damage == "uneven":
        state["kept bits"] = state["kept bits"][:-1]
    else:
        state["place"][2, 0] = -1
    other = FinalRows((4, 3), LIKE)
    other.write(1, np.array([2]), entries(77))
    with pytest.raises(ValueError, match="contradict"):
        other.set_state(state)
    assert other.read("number", other.places(np.array([1]), np.array([2])))[0, 0] == 77


def test_files_grow_where_they_lie(tmp_path):
    finals = FinalRows((50, 3), LIKE, ArrayRoom(tmp_path))
    for row in range(50):
        finals.write(row, np.arange(3), entries(row, row + 50, row + 100))
    assert isinstance(finals.entries("number"), np.memmap)
    for row in (0, 7, 49):
        here = finals.places(np.full(3, row), np.arange(3))
        assert finals.read("number", here)[:, 0].tolist() == [row, row + 50, row + 100]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "final bits.bin",
        "final number.bin",
    ]

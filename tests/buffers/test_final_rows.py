"""Room for final observations: what was kept comes back, and room is used again."""

from __future__ import annotations

import numpy as np

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
    # at most 4 rows of 2, and room doubles
    assert finals.nbytes({"bits": None}) <= 16

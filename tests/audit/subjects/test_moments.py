"""Observations as one flat row of numbers, in one order."""

from __future__ import annotations

import numpy as np

from maskrl.audit.subjects.moments import Moment, Reading, Row, flatten


def test_observations_of_every_form_are_flattened():
    seen = {"b": np.array([[1, 2]]), "a": 3, "mask": [9], "c": (True, [4.5, 6]), "d": "text"}
    flat = flatten(seen, ("mask",))
    np.testing.assert_array_equal(flat[:6], [3, 1, 2, 1, 4.5, 6])
    assert len(flat) == 7 and flat.dtype == np.float64
    assert flatten({}).shape == (0,) and flatten(None).shape == (1,)


def test_texts_and_objects_differ_when_they_differ():
    assert flatten("a") != flatten("b") and flatten("a") == flatten("a")


def test_rows_are_found_by_their_names():
    row = Row("row 1", True, Reading(""), np.zeros(0))
    assert Moment([row]).row("row 1") is row and Moment([row]).row("row 2") is None
    assert Reading("").missing and not Reading("", raw={}).missing

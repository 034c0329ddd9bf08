"""Observations as one flat row of numbers, in one order; copies that are none are refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import EzPickle

from maskrl import audit
from maskrl.audit.subjects.moments import Moment, Reading, Row, as_number, flatten
from maskrl.audit.subjects.single import SingleSubject
from maskrl.errors import ConfigError


def test_observations_of_every_form_are_flattened():
    seen = {"b": np.array([[1, 2]]), "a": 3, "mask": [9], "c": (True, [4.5, 6]), "d": "text"}
    flat = flatten(seen, ("mask",))
    np.testing.assert_array_equal(flat[:6], [3, 1, 2, 1, 4.5, 6])
    assert len(flat) == 7 and flat.dtype == np.float64
    assert flatten({}).shape == (0,) and flatten(None).shape == (1,)


def test_texts_and_objects_differ_when_they_differ():
    assert flatten("a") != flatten("b") and flatten("a") == flatten("a")


def test_rewards_are_numbers_or_nothing():
    """What is none is refused by adapters, and is no fault of a mask."""
    assert as_number(np.float32(2.5)) == as_number(np.array([2.5])) == as_number([2.5]) == 2.5
    assert as_number(True) == 1.0
    assert as_number(None) == as_number(np.ones(2)) == as_number("much") == as_number(["a"]) == 0.0


def test_rows_are_found_by_their_names():
    row = Row("row 1", True, Reading(""), np.zeros(0))
    assert Moment([row]).row("row 1") is row and Moment([row]).row("row 2") is None
    assert Reading("").missing and not Reading("", raw={}).missing


def test_an_environment_that_is_made_anew_is_no_copy(line):
    class Anew(line, EzPickle):
        """Its copies are made with the same arguments and stand wherever a reset puts them."""

        def __init__(self, fault=""):
            EzPickle.__init__(self, fault)
            super().__init__(fault)

    subject = SingleSubject(Anew(), "anew")
    subject.reset(3)
    with pytest.raises(ConfigError, match="EzPickle makes it anew"):
        subject.fork()
    with pytest.raises(ConfigError, match="EzPickle makes it anew"):
        SingleSubject(gymnasium.Wrapper(Anew()), "wrapped").fork()
    # masks are tried all the same, by playing episodes again
    report = audit.env(Anew("inverted"), steps=60)
    assert "inverted" in report.codes
    assert "by replay," in next(c.detail for c in report.checked if c.name == "rules")
    assert "copies" in {check.name for check in report.checked}  # fresh ones will do there

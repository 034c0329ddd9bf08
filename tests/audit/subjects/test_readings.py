"""Reading raw masks: flags, or what was expected and what came; nothing is repaired."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.audit.subjects.readings import MaskReader, read_array, read_flags, shape_in_words, shown
from maskrl.envs.adapters.mask_sources import MaskSettings

THREE = spaces.Discrete(3)


@pytest.mark.parametrize(
    ("raw", "form", "code", "got"),
    [
        (np.array([1, 0, 1], np.int8), "mask", "", ""),
        ([True, False, True], "mask", "", ""),
        ([0, 2], "ids", "", ""),
        ({0: 1, 1: 0, 2: 1}, "dict", "", ""),
        ([1, 0], "mask", "wrong-length", "shape (2,): [1, 0]"),
        ([[1], [0, 1]], "mask", "wrong-length", "2 rows of uneven lengths: [[1], [0, 1]]"),
        ([1.0, 0.5, 0.0], "mask", "not-flags", "[1.0, 0.5, 0.0]"),
        ([1, 0, -1], "mask", "not-flags", "[1, 0, -1]"),
    ],
)
def test_flags_or_a_complaint(raw, form, code, got):
    flags, complaint = read_flags(raw, THREE, form, MaskSettings())
    if not code:
        assert complaint is None and flags.tolist() == [True, False, True]
    else:
        assert flags is None and (complaint.code, complaint.got) == (code, got)


def test_arrays_of_a_shape():
    keep, complaint = read_array([[1, 0]], (1, 2), "table", 1)
    assert keep.tolist() == [[True, False]] and complaint is None
    assert read_array([1, 0], (1, 2), "table", 1)[1].code == "wrong-length"
    assert read_array([[1, 2]], (1, 2), "table", 1)[1].code == "not-flags"


def test_a_reading_keeps_the_object_and_a_copy(line):
    env = line("in place")
    observation, info = env.reset(seed=0)
    reading = MaskReader(env, MaskSettings()).read(env, observation, info)
    assert reading.raw["action_mask"] is env.buffer
    env.buffer[:] = 7
    assert reading.kept["action_mask"].max() == 1 and reading.masks["action_mask"].any()
    assert reading.where == "info['action_mask']" and reading.kind == "int8"


def test_a_method_that_raises_is_a_complaint(with_method):
    class Broken(with_method):
        def action_masks(self):
            if self.steps:
                raise RuntimeError("not now")
            return super().action_masks()

    env = Broken()
    reader = MaskReader(env, MaskSettings())
    assert not reader.read(env, *env.reset(seed=0)).missing
    observation, *_, info = env.step(2)
    (complaint,) = reader.read(env, observation, info).complaints
    assert complaint.code == "fails" and "not now" in complaint.got


def test_long_masks_are_cut_short():
    assert len(shown(np.zeros(500, int))) == 60 and shown(np.array([1, 0])) == "[1, 0]"
    assert shape_in_words(np.zeros((2, 3))) == "shape (2, 3)"

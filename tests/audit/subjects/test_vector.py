"""Rows of a vector environment: whose mask, of which episode, in which mode."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import maskrl
from maskrl.audit.subjects.moments import flatten
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.envs.adapters.mask_sources import MaskSettings


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_masks_are_those_of_the_rows_through_autoreset(line, where, mode):
    venv = SyncVectorEnv([lambda: line(where=where, limit=4)] * 2, autoreset_mode=mode)
    subject = VectorSubject(venv, "lines")
    moment = subject.reset(0)
    assert all(row.begins for row in moment.rows)
    words = []
    for _ in range(6):
        for row, env in zip(moment.rows, venv.envs, strict=True):
            np.testing.assert_array_equal(row.reading.masks["action_mask"], env.unwrapped.rules())
        moment = subject.step([np.array([0]), np.array([1])])
        words.append(moment.rows[0].ended)
        if mode is AutoresetMode.SAME_STEP and moment.rows[0].ended:
            assert moment.rows[0].begins and not moment.rows[0].final.missing
            assert moment.results[0].features is None
    assert words == ["", "", "", "truncated", "", ""]


def test_a_method_is_called_for_all(with_method):
    subject = VectorSubject(SyncVectorEnv([with_method] * 2), "lines")
    assert not subject.reset(0).rows[1].reading.missing and subject.where == "call('action_masks')"


def test_tables_of_our_own_are_read():
    subject = VectorSubject(maskrl.make_vec("outpost", 2), "outposts")
    (row, _) = subject.reset(0).rows
    assert row.reading.masks["action_mask:direction"].shape == (5, 4)
    assert row.features.shape == (288,)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_observations_in_parts_are_taken_apart_row_by_row(line, mode):
    class InParts(line):
        observation_space = None

        def __init__(self):
            super().__init__(limit=3)
            place = self.observation_space
            lamp = spaces.Dict({"lamp": spaces.Discrete(2)})
            self.observation_space = spaces.Tuple((place, lamp, spaces.Text(9)))

        def out(self, over=""):
            place, info = super().out(over)
            return (place, {"lamp": self.lamp}, "on" if self.lamp else "off"), info

    subject = VectorSubject(SyncVectorEnv([InParts] * 3, autoreset_mode=mode), "lines")
    moment = subject.reset(4)
    places = []
    for _ in range(5):
        for row, env in zip(moment.rows, subject.env.envs, strict=True):
            place, lamp, word = env.unwrapped.out()[0]
            np.testing.assert_array_equal(row.features, flatten((place, lamp, word)))
            places.append(tuple(row.features))
        moment = subject.step([np.array([0]), np.array([1]), np.array([2])])
    assert len(set(places)) > 5


def test_rows_without_a_mask_are_missing(line):
    subject = VectorSubject(SyncVectorEnv([lambda: line("nowhere")] * 2), "lines")
    assert all(row.reading.missing for row in subject.reset(0).rows)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_missing_mask_may_allow_everything(line, mode):
    venv = SyncVectorEnv(
        [lambda: line("only reset", limit=3), lambda: line("only reset", limit=5)],
        autoreset_mode=mode,
    )
    subject = VectorSubject(venv, "lines", MaskSettings(missing="all"))
    moment = subject.reset(0)
    for _ in range(9):
        for row, env in zip(moment.rows, venv.envs, strict=True):
            expected = env.unwrapped.rules() if env.unwrapped.steps == 0 else np.ones(4)
            np.testing.assert_array_equal(row.reading.masks["action_mask"], expected)
        moment = subject.step([np.array([0]), np.array([1])])

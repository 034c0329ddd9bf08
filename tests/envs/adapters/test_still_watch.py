"""The watch for a mask whose allowed actions change nothing."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

from maskrl.envs.adapters.still_watch import STILL_STEPS, begin_watch, look


def watched(steps, action=lambda t: t % 2, seen=lambda t: {"x": np.zeros(2)}, forbids=True):
    watch = begin_watch()
    for t in range(steps):
        if watch is not None:
            watch = look(watch, "toy", action(t), seen(t), forbids=forbids)
    return watch


def test_it_warns_when_nothing_changes():
    with pytest.warns(UserWarning, match=r"'toy': 64 steps with several.*mask_allowed=0"):
        assert watched(STILL_STEPS) is None


@pytest.mark.parametrize(
    "of",
    [
        {"steps": STILL_STEPS - 1},
        {"steps": STILL_STEPS, "action": lambda t: 0},
        {"steps": STILL_STEPS, "forbids": False},
        {"steps": 2 * STILL_STEPS, "seen": lambda t: {"x": np.full(2, t == 60)}},
    ],
)
def test_it_does_not_warn_too_soon_nor_without_reason(of):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched(**of)


def test_the_first_change_ends_it_for_good():
    assert watched(2, seen=lambda t: {"x": np.full(2, t)}) is None


def test_it_is_plain_data_and_goes_on_from_a_copy():
    watch = copy.deepcopy(watched(STILL_STEPS - 1))
    assert set(map(type, watch.values())) == {dict, int, set}
    with pytest.warns(UserWarning, match="64 steps"):
        look(watch, "toy", 1, {"x": np.zeros(2)}, forbids=True)

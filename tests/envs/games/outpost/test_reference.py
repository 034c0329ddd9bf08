"""Reference returns: the planner's own, in the order asked for, with seeds ignored."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.outpost.planner import plan
from maskrl.envs.games.outpost.reference import reference
from maskrl.envs.games.outpost.settings import OutpostSettings

SHORT = {"step_limit": 8}


def test_values_are_the_planners_in_the_order_asked_for() -> None:
    found = reference(SHORT | {"layout_seeds": 9, "split": "test"}, [4, 2, 4])
    plans = [plan(OutpostSettings(**SHORT), seed) for seed in (4, 2, 4)]
    np.testing.assert_array_equal(found["planner"], [p.value for p in plans])
    np.testing.assert_array_equal(found["random"], [p.random for p in plans])


def test_settings_change_the_values() -> None:
    short, long = (reference({"step_limit": n}, range(20))["planner"] for n in (8, 12))
    assert (long >= short).all() and long.sum() > short.sum()


def test_nothing_asked_for_is_nothing() -> None:
    found = reference({}, [])
    assert found["planner"].shape == found["random"].shape == (0,)


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    reference(SHORT, [1, 2, 3, 1], progress=lambda count, total: calls.append((count, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]

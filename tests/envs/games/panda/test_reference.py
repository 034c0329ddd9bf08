"""Reference returns: cached by layout and rules, right for every world, harmless when broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs.games.panda import reference as module
from maskrl.envs.games.panda.planner import Plan, plan
from maskrl.envs.games.panda.reference import reference
from maskrl.envs.games.panda.settings import PandaSettings
from maskrl.errors import NoReferenceError

SMALL = {"width": 5, "height": 5, "max_trees": 3, "step_limit": 8}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.CACHE_VARIABLE, str(tmp_path / "cache"))


def test_values_are_the_planners_in_the_order_asked_for() -> None:
    found = reference(SMALL, [4, 2, 4])
    values = [plan(PandaSettings(**SMALL), seed).value for seed in (4, 2, 4)]
    np.testing.assert_array_equal(found["planner"], values)
    chance = [plan(PandaSettings(**SMALL), seed, best=False).value for seed in (4, 2, 4)]
    np.testing.assert_array_equal(found["random"], chance)


def test_a_second_call_plans_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    reference(SMALL, [1, 2])
    planned: list[int] = []

    def counting(settings: PandaSettings, seed: int, **kwargs: bool):
        planned.append(seed)
        return plan(settings, seed, **kwargs)

    monkeypatch.setattr(module, "plan", counting)
    reference(SMALL | {"sight": "full", "split": "test"}, [1, 2, 3])
    assert set(planned) == {3}
    reference(SMALL | {"step_limit": 9}, [1])
    assert 1 in planned


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    reference(SMALL, [1, 2, 3], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_damaged_or_unwritable_cache_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reference(SMALL, [1])
    (stored,) = (tmp_path / "cache" / "panda").glob("*.json")
    stored.write_text('{"1": [')
    np.testing.assert_array_equal(reference(SMALL, [1])["planner"], first["planner"])
    blocking = tmp_path / "a file"
    blocking.write_text("")
    monkeypatch.setenv(module.CACHE_VARIABLE, str(blocking / "below"))
    np.testing.assert_array_equal(reference(SMALL, [1])["planner"], first["planner"])


def test_a_fixed_scene_has_one_value_for_all_its_episodes() -> None:
    found = reference({"preset": "open"}, [0, 0, 5])
    assert len(set(found["planner"].tolist())) == 1
    assert found["planner"][0] > 0.99 and found["random"][0] < -0.9


def test_a_world_beyond_the_planner_says_so_and_stores_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoReferenceError, match="no planner for this world, and so no score: it"):
        reference({"max_dragons": 2}, [1])
    assert not (tmp_path / "cache").exists()


def test_worlds_of_before_keep_the_file_of_before() -> None:
    """Plans are kept between versions: settings that came later do not rename their files."""
    names = {
        module._cache_path(PandaSettings(**SMALL | more)).name
        for more in ({}, {"max_dragons": 1}, {"tells_time": False})
    }
    assert len(names) == 1
    assert module._cache_path(PandaSettings()).name == "reference-5eb59218ee591b7b.json"
    others = [{"min_dragons": 0}, {"dragon_view_radius": 2}, {"panda_field_of_view": 90}]
    files = {module._cache_path(PandaSettings(**SMALL | more)).name for more in others}
    assert len(files | names) == 4


def test_worlds_of_other_creatures_are_planned() -> None:
    alone = {"min_scorpions": 0, "max_scorpions": 0, "min_dragons": 0, "max_dragons": 0}
    found = reference(SMALL | alone | {"step_limit": 30, "panda_view_radius": 1}, [1, 2])
    assert found["planner"].tolist() == [1.0, 1.0]
    assert (found["random"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "side_by_side"),
    [
        (SMALL, 64),
        # 5 modes of 255**3 places: 0.7 GB of values and throws for each layout under way.
        ({"width": 16, "height": 16, "min_bananas": 1, "max_bananas": 1}, 6),
    ],
)
def test_layouts_planned_side_by_side_fit_into_memory(
    settings: dict, side_by_side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, max_workers: int) -> None:
            asked.append(max_workers)
            super().__init__(max_workers=1)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 64)
    nothing = np.zeros(0)
    monkeypatch.setattr(module, "plan", lambda *_, **__: Plan(0.5, nothing, nothing, nothing))
    assert reference(settings, [1, 2])["planner"].tolist() == [0.5, 0.5]
    assert asked == [side_by_side]

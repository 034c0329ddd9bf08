"""Layouts: a function of the seed, nothing on top of anything, a way to some work."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.outpost.layouts import layout, no_layout, reached_from_base
from maskrl.envs.games.outpost.settings import (
    BASE,
    S_ALIVE,
    S_GROVE,
    S_MINE,
    S_ROCKS,
    S_WOLVES,
    OutpostSettings,
)


def _rocks(row: np.ndarray) -> set[int]:
    return {c for c in range(25) if row[S_ROCKS] >> c & 1}


def _steps(cell: int) -> int:
    return abs(cell % 5 - 2) + abs(cell // 5 - 2)


def test_a_seed_is_a_layout() -> None:
    settings = OutpostSettings()
    rows = [layout(settings, seed) for seed in range(200)]
    for seed, row in enumerate(rows):
        np.testing.assert_array_equal(row, layout(settings, seed))
    assert len({row.tobytes() for row in rows}) == 200


@pytest.mark.parametrize("settings", [{}, {"min_rocks": 6, "max_rocks": 6, "min_wolves": 3}])
def test_things_stand_where_they_may(settings: dict) -> None:
    world = OutpostSettings(**settings)
    counts, guarded = set(), 0
    for seed in range(300):
        row = layout(world, seed)
        sites, rocks = [int(row[S_MINE]), int(row[S_GROVE])], _rocks(row)
        wolves = [int(cell) for cell in row[S_WOLVES:] if cell >= 0]
        assert row[0] == row[1] == BASE
        assert not row[2:7].any()
        assert row[S_ALIVE] == 2 ** len(wolves) - 1
        assert len({BASE, *sites, *rocks}) == 3 + len(rocks)
        assert len(set(wolves)) == len(wolves)
        assert not set(wolves) & {BASE, *rocks}
        assert all(2 <= _steps(site) <= 3 for site in sites)
        assert world.min_rocks <= len(rocks) <= world.max_rocks
        assert world.min_wolves <= len(wolves) <= world.max_wolves
        counts.add((len(rocks), len(wolves)))
        guarded += bool(set(wolves) & set(sites))
    spread = world.max_rocks - world.min_rocks + 1, world.max_wolves - world.min_wolves + 1
    assert len(counts) == spread[0] * spread[1]
    assert 100 < guarded < 300


def test_some_site_can_be_reached_once_near_wolves_are_shot() -> None:
    for seed in range(300):
        row = layout(OutpostSettings(max_rocks=6), seed)
        closed = _rocks(row) | {int(c) for c in row[S_WOLVES:] if c >= 0 and _steps(int(c)) > 2}
        reached, front = {BASE}, [BASE]
        while front:
            cell = front.pop()
            beside = [cell - 5, cell + 5]
            beside += [cell - 1] if cell % 5 else []
            beside += [cell + 1] if cell % 5 < 4 else []
            fresh = {c for c in beside if 0 <= c < 25} - closed - reached
            reached |= fresh
            front += fresh
        found = np.empty(25, np.bool_)
        reached_from_base(row, found)
        assert set(np.flatnonzero(found).tolist()) == reached
        assert reached & {int(row[S_MINE]), int(row[S_GROVE])}


def test_a_seed_without_a_layout_is_named() -> None:
    assert "no layout for seed 7; ask for fewer rocks" in str(no_layout(7))

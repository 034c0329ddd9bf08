"""How many states there are, and which worlds have too many."""

from __future__ import annotations

import pytest

from maskrl.envs.games.panda.planner_states import facings_told_apart, item_modes, why_not
from maskrl.envs.games.panda.settings import PandaSettings


def test_modes_count_only_what_can_happen() -> None:
    # One banana: on the ground; carried; thrown with nobody, the dragon or the scorpion hit.
    assert item_modes(0).max() + 1 == 1
    assert item_modes(1).max() + 1 == 5
    # Two: 1 (both lie) + 2 * 1 (one carried) + 2 * 3 (one thrown) + 3 (thrown, carried) + 4.
    assert item_modes(2).max() + 1 == 16


def test_nobody_is_stunned_who_is_not_there() -> None:
    # One banana: on the ground; carried; thrown with nobody or the one who is there hit.
    assert item_modes(1, 0, 1).max() + 1 == item_modes(1, 1, 0).max() + 1 == 4
    assert item_modes(1, 0, 0).max() + 1 == 3
    assert (item_modes(2, 0, 1)[:, :, 1] == -1).all()


def test_facings_are_told_apart_where_they_matter() -> None:
    assert facings_told_apart(PandaSettings()) == (1, 1, 1)
    assert facings_told_apart(PandaSettings(dragon_field_of_view=359)) == (1, 1, 4)
    assert facings_told_apart(PandaSettings(panda_field_of_view=90)) == (4, 1, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"preset": "trees"},
        {"width": 12, "height": 12},
        {"min_dragons": 0, "dragon_field_of_view": 90},
        {"width": 32, "height": 32, "max_scorpions": 0, "min_scorpions": 0, "max_bananas": 1},
    ],
    ids=str,
)
def test_what_fits_is_planned(settings: dict) -> None:
    assert why_not(PandaSettings(**settings)) is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_scorpions": 3}, "it may hold 3 scorpions, and the planner plans for at most one"),
        ({"min_dragons": 0, "max_dragons": 2}, "it may hold 2 dragons"),
        ({"width": 20, "height": 20}, "states in each of 40 steps"),
        ({"max_bananas": 16}, "states in each of 40 steps"),
        ({"step_limit": 10_000}, "states in each of 10000 steps"),
        (
            {"panda_field_of_view": 90, "dragon_field_of_view": 90, "scorpion_field_of_view": 90},
            "states in each of 40 steps",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_apart(settings: dict, reason: str) -> None:
    assert reason in (why_not(PandaSettings(**settings)) or "")

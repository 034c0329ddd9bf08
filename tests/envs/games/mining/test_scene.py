"""Scenes: what stands where, what it is doing, and the last order in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maskrl.envs.adapters.microrts.ansi import scene_text
from maskrl.envs.adapters.microrts.drawing import HEALTH, draw_scene
from maskrl.envs.games.mining.scene import order_words, scene_of
from maskrl.envs.games.mining.settings import FATES

Games = Callable[..., Any]


def _scene(here: Any, *order: Any, fate: str = "carried out") -> Any:
    action = here.action(*order) if order else None
    values = None if action is None else tuple(int(part) for part in action)
    return scene_of(here.board, here.counts, action=values, fate=FATES.index(fate), points=3)


def test_units_are_told_with_what_they_carry_and_do(game: Games) -> None:
    here = game("9 W* .\nb B .\n. . .", stock=4)
    here.tell((1, 1), "produce", "worker", "down")
    scene = _scene(here)
    assert (scene.height, scene.width, scene.stocks, scene.points) == (3, 3, (4, 5), 3)
    units = {(unit.column, unit.row): unit for unit in scene.units}
    assert {at: unit.kind for at, unit in units.items()} == {
        (0, 0): "resource",
        (1, 0): "worker",
        (0, 1): "base",
        (1, 1): "base",
    }
    assert (units[0, 0].owner, units[1, 0].owner, units[0, 1].owner) == (-1, 0, 1)
    assert (units[0, 0].resources, units[1, 0].resources) == (9, 1)
    base = units[1, 1]
    assert (base.action, base.target, base.produces) == ("produce", (0, 1), "worker")
    assert scene_text(scene, colour=False).splitlines()[:5] == [
        "+---------+",
        "| 9 oW  . |",
        "| b  B+ . |",
        "| .  .  . |",
        "+---------+",
    ]


def test_an_order_that_is_over_is_shown_where_the_unit_stayed(game: Games) -> None:
    here = game("9 W .\n. . .\n. . b")
    here.tell((1, 0), "harvest", "left")
    worker = next(u for u in _scene(here, (1, 0), "harvest", "left").units if u.kind == "worker")
    assert (worker.action, worker.target) == ("harvest", (-1, 0))
    refused = _scene(here, (1, 0), "harvest", "left", fate="impossible")
    assert all(unit.action is None for unit in refused.units)
    assert refused.status == "step 0/200   points 3   store 5   1,0 harvest left: impossible"
    strike = game(". W .\n. b .\n. . 9")
    strike.tell((1, 0), "attack", (1, 1))
    worker = next(u for u in _scene(strike, (1, 0), "attack", (1, 1)).units if u.kind == "worker")
    assert (worker.action, worker.target) == ("attack", (0, 1))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ((5, 0, 1, 1, 1, 1, 1, 1), "1,1 none"),
        ((5, 1, 3, 0, 0, 0, 0, 0), "1,1 move left"),
        ((6, 2, 3, 0, 0, 0, 0, 0), "2,1 harvest up"),
        ((6, 3, 0, 0, 1, 0, 0, 0), "2,1 return right"),
        ((6, 4, 0, 0, 0, 2, 5, 0), "2,1 produce heavy down"),
        ((6, 5, 0, 0, 0, 2, 5, 11), "2,1 attack 3,2"),
    ],
)
def test_orders_in_words(action: tuple[int, ...], words: str) -> None:
    assert order_words(action, 4) == words


def test_only_units_that_were_hit_have_a_bar(game: Games) -> None:
    here = game("H . .\n. b .\n. . 9")
    whole = draw_scene(_scene(here), cell=48)
    assert not (whole == HEALTH).all(axis=2).any()
    here.board[2, 4] = 4  # the enemy's base, of 10 hit points
    assert (draw_scene(_scene(here), cell=48) == HEALTH).all(axis=2).any()

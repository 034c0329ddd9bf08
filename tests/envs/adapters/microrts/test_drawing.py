"""Pictures show sides, walls, actions and hit points by colour, at every size."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.adapters.microrts.drawing import GOING, SIDES, STRIKING, WALL, draw_scene
from maskrl.envs.adapters.microrts.scene import Scene, Unit
from maskrl.envs.adapters.microrts.settings import UNIT_TYPES
from maskrl.errors import ConfigError

CELL = 48


def scene(*units, shape=(3, 4), walls=()):
    ground = np.zeros(shape, np.bool_)
    for place in walls:
        ground[place] = True
    return Scene(ground, units, (5, 5), 3, 100)


def count(picture, colour, row, column):
    tile = picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
    return int((np.abs(tile.astype(int) - colour).max(-1) <= 2).sum())


def test_every_kind_of_unit_shows_its_side():
    for kind in UNIT_TYPES[1:]:
        for owner in (0, 1):
            picture = draw_scene(scene(Unit(kind, owner, 1, 2, 9, 0)), CELL)
            assert picture.shape == (3 * CELL + CELL // 2, 4 * CELL, 3)
            assert count(picture, SIDES[owner], 1, 2) > 150, kind
            assert count(picture, SIDES[1 - owner], 1, 2) == 0
            assert count(picture, SIDES[owner], 0, 0) == 0
    assert count(draw_scene(scene(Unit("resource", -1, 0, 0, 1, 9)), CELL), SIDES[-1], 0, 0) > 100


def test_kinds_look_different():
    pictures = [draw_scene(scene(Unit(kind, 0, 1, 1, 9, 0)), CELL) for kind in UNIT_TYPES[1:]]
    for i, first in enumerate(pictures):
        for second in pictures[i + 1 :]:
            assert (first != second).any(-1).sum() > 60


def test_walls_fill_their_cells():
    picture = draw_scene(scene(walls=[(2, 3)]), CELL)
    assert count(picture, WALL, 2, 3) == CELL * CELL and count(picture, WALL, 2, 2) == 0


def test_actions_point_where_they_go():
    picture = draw_scene(scene(Unit("worker", 0, 1, 1, 1, 0, "move", (1, 0))), CELL)
    assert count(picture, GOING, 1, 1) + count(picture, GOING, 1, 2) > 20
    assert count(picture, GOING, 1, 0) == count(picture, GOING, 0, 1) == 0
    still = draw_scene(scene(Unit("worker", 0, 1, 1, 1, 0, "wait")), CELL)
    assert sum(count(still, GOING, y, x) for y in range(3) for x in range(4)) == 0
    attack = draw_scene(scene(Unit("ranged", 1, 0, 0, 1, 0, "attack", (3, 2))), CELL)
    far = attack[CELL : 3 * CELL, 2 * CELL :].astype(int)
    assert (np.abs(far - STRIKING).max(-1) < 40).sum() > 20


def test_lost_hit_points_show_and_full_ones_do_not():
    full, hurt = (draw_scene(scene(Unit("base", 0, 1, 1, n, 0)), CELL) for n in (10, 4))
    changed = np.argwhere((full != hurt).any(-1))
    assert len(changed) and changed[:, 0].max() < CELL + CELL // 4  # a bar at the top of its cell
    assert changed[:, 0].min() >= CELL


def test_a_load_and_what_is_left_of_a_resource_show():
    without, loaded = (draw_scene(scene(Unit("worker", 0, 1, 1, 1, n)), CELL) for n in (0, 1))
    assert (without != loaded).any()
    few, many = (draw_scene(scene(Unit("resource", -1, 1, 1, 1, n)), CELL) for n in (3, 20))
    assert (few != many).any()


def test_large_maps_become_small_cells_and_stay_whole():
    units = [Unit("heavy", 1, 63, 63, 3, 0, "attack", (-1, -1))]
    units.append(Unit("worker", 0, 0, 0, 1, 1, "move", (0, 1)))
    picture = draw_scene(scene(*units, shape=(64, 64)))
    assert picture.shape[1] == 64 * 12
    assert draw_scene(scene(Unit("base", 0, 0, 0, 3, 0), shape=(4, 4))).shape[1] == 4 * 56


def test_cells_too_small_are_refused():
    with pytest.raises(ConfigError, match="at least 12 pixels, got 5"):
        draw_scene(scene(), 5)

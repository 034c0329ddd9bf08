"""Pictures of scenes: each thing shows where it is, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskrl.envs.games.panda.drawing import draw_scene, meadow, strip_height
from maskrl.envs.games.panda.scene import Scene
from maskrl.errors import ConfigError

CELL = 24
OPEN = Scene(
    width=7,
    height=7,
    panda=(3, 0),
    watermelon=(2, 6),
    scorpion=(6, 4),
    dragon=(6, 0),
    step_limit=50,
)
TREES = replace(OPEN, trees=((6, 3), (5, 3), (5, 5)), hidden=frozenset({"scorpion"}))


def changed_cells(before, after, cell=CELL):
    """Cells of the board in which two pictures differ."""
    board = 7 * cell
    differs = (before[:board] != after[:board]).any(axis=-1)
    blocks = differs.reshape(7, cell, 7, cell).any(axis=(1, 3))
    return {(int(x), int(y)) for y, x in np.argwhere(blocks)}


@pytest.mark.parametrize("cell", [8, 24, 33])
@pytest.mark.parametrize(("width", "height"), [(7, 7), (1, 1), (9, 3)])
def test_shape_and_type(cell, width, height):
    scene = Scene(width=width, height=height, panda=(0, 0), watermelon=(width - 1, height - 1))
    picture = draw_scene(scene, cell)
    assert picture.dtype == np.uint8
    assert picture.shape == (height * cell + strip_height(cell), width * cell, 3)


def test_the_same_scene_gives_the_same_picture_in_a_fresh_array():
    first = draw_scene(TREES, CELL)
    copy = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(draw_scene(TREES, CELL), copy)
    with pytest.raises(ValueError, match="read-only"):
        meadow(7, 7, CELL)[:] = 0


def test_each_thing_is_drawn_in_its_own_cell():
    grass = meadow(7, 7, CELL)
    assert changed_cells(grass, draw_scene(OPEN, CELL)) == {(3, 0), (2, 6), (6, 4), (6, 0)}
    assert changed_cells(draw_scene(OPEN, CELL), draw_scene(TREES, CELL)) == {
        *TREES.trees,
        (6, 4),
    }


def test_a_move_leaves_prints_where_the_panda_was():
    before = draw_scene(OPEN, CELL)
    for action, cell in {"left": (2, 0), "right": (4, 0), "down": (3, 1)}.items():
        after = draw_scene(replace(OPEN, panda=cell, last_action=action), CELL)
        assert changed_cells(before, after) == {(3, 0), cell}
    waits = draw_scene(replace(OPEN, last_action="wait"), CELL)
    assert changed_cells(before, waits) == set()


def test_hidden_creatures_are_nearer_to_the_grass():
    grass = meadow(7, 7, CELL).astype(int)
    cell = np.s_[4 * CELL : 5 * CELL, 6 * CELL : 7 * CELL]
    seen = draw_scene(replace(TREES, hidden=frozenset()), CELL).astype(int)
    ghost = draw_scene(TREES, CELL).astype(int)
    assert (
        0
        < np.abs(ghost[cell] - grass[cell]).mean()
        < 0.75 * np.abs(seen[cell] - grass[cell]).mean()
    )


def test_unseen_cells_lie_in_the_shade():
    shaded = draw_scene(replace(OPEN, unseen_cells=((1, 3),)), CELL)
    assert changed_cells(draw_scene(OPEN, CELL), shaded) == {(1, 3)}
    tile = np.s_[3 * CELL : 4 * CELL, CELL : 2 * CELL]
    assert shaded[tile].mean() < 0.9 * draw_scene(OPEN, CELL)[tile].mean()


@pytest.mark.parametrize(
    ("change", "cells"),
    [
        ({"carrying": True}, {(3, 0)}),
        ({"dragon_stunned": True}, {(6, 0)}),
        ({"bananas": ((0, 3),)}, {(0, 3)}),
        ({"scorpion": None}, {(6, 4)}),
    ],
)
def test_what_changes_in_a_scene_changes_in_its_cell(change, cells):
    assert changed_cells(draw_scene(OPEN, CELL), draw_scene(replace(OPEN, **change), CELL)) == cells


def test_a_throw_is_an_arc_from_the_panda_to_its_target():
    scene = replace(OPEN, panda=(1, 3))
    thrown = draw_scene(replace(scene, thrown_at=(4, 3)), CELL)
    cells = changed_cells(draw_scene(scene, CELL), thrown)
    assert (4, 3) in cells
    assert {x for x, _ in cells} == {2, 3, 4}
    assert all(y <= 3 for _, y in cells)
    nowhere = changed_cells(
        draw_scene(scene, CELL), draw_scene(replace(scene, thrown_at=(1, 3)), CELL)
    )
    assert nowhere == {(1, 3)}


def test_everyone_in_one_cell_stays_inside_it():
    scene = replace(OPEN, panda=(3, 3), dragon=(3, 3), scorpion=(3, 3), bananas=((3, 3),))
    alone = replace(OPEN, panda=(3, 3), dragon=None, scorpion=None)
    assert changed_cells(draw_scene(scene, CELL), draw_scene(alone, CELL)) == {(3, 3)}
    assert (
        draw_scene(replace(scene, watermelon=(3, 3)), CELL).shape == draw_scene(scene, CELL).shape
    )


@pytest.mark.parametrize("outcome", ["won", "caught", "timeout"])
def test_an_ending_frames_the_board_and_fills_the_strip(outcome):
    running, ended = draw_scene(OPEN, CELL), draw_scene(replace(OPEN, outcome=outcome), CELL)
    board = 7 * CELL
    border = (running[:board] != ended[:board]).any(axis=-1)
    assert border[0].all() and border[-1].all() and border[:, 0].all() and border[:, -1].all()
    assert (running[board:] != ended[board:]).any()


def test_the_strip_tells_step_and_load():
    board = 7 * CELL
    start = draw_scene(OPEN, CELL)[board:]
    later = draw_scene(replace(OPEN, step=25), CELL)[board:]
    loaded = draw_scene(replace(OPEN, carrying=True), CELL)[board:]
    assert (start != later).any() and (start != loaded).any()
    bar = (start[0] != later[0]).any(axis=-1)
    assert bar.sum() == board // 2  # 25 of 50 steps
    assert draw_scene(replace(OPEN, step_limit=None), CELL).shape[0] == board + strip_height(CELL)


def test_too_small_cells_are_refused():
    with pytest.raises(ConfigError, match="cell must be at least 8 pixels, got 7"):
        draw_scene(OPEN, 7)


def test_further_creatures_are_drawn_where_they_are():
    more = replace(OPEN, more_scorpions=((1, 1),), more_dragons=((4, 4), (5, 5)))
    assert changed_cells(draw_scene(OPEN, CELL), draw_scene(more, CELL)) == {(1, 1), (4, 4), (5, 5)}
    stunned = replace(more, more_stunned=frozenset({"dragon 3"}))
    assert changed_cells(draw_scene(more, CELL), draw_scene(stunned, CELL)) <= {(5, 5), (5, 4)}
    assert (draw_scene(more, CELL) != draw_scene(stunned, CELL)).any()
    hidden = replace(more, hidden=frozenset({"scorpion 2"}))
    assert changed_cells(draw_scene(more, CELL), draw_scene(hidden, CELL)) == {(1, 1)}


@pytest.mark.parametrize(("facing", "where"), [("up", 0), ("down", 1), ("left", 2), ("right", 3)])
def test_a_gaze_is_drawn_at_the_edge_that_one_faces(facing, where):
    before, after = (
        draw_scene(replace(OPEN, facing=each), 48) for each in ((), (("scorpion", facing),))
    )
    assert changed_cells(before, after, 48) == {(6, 4)}
    block = (before != after)[4 * 48 : 5 * 48, 6 * 48 : 7 * 48].any(axis=-1)
    y, x = (float(places.mean()) for places in np.nonzero(block))
    # Distances of what was drawn from the four edges: it lies at the one that is faced.
    assert int(np.argmin([y, 47 - y, x, 47 - x])) == where


def test_many_in_one_cell_are_drawn():
    crowd = replace(OPEN, panda=(3, 3), more_dragons=((3, 3),) * 4, more_scorpions=((3, 3),) * 3)
    assert (3, 3) in changed_cells(draw_scene(OPEN, CELL), draw_scene(crowd, CELL))

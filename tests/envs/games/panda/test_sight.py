"""Who sees whom after moves and lost bananas, brought up to date and written anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskrl.envs.games.panda.observation import make_view
from maskrl.envs.games.panda.settings import DRAGON, PANDA, SCORPION, PandaSettings
from maskrl.envs.games.panda.sight import update_sight, write_sight
from maskrl.geometry import cell_bits, line_of_sight

WIDTH, HEIGHT = 9, 8  # 72 cells: two words
VIEW = make_view(PandaSettings(width=WIDTH, height=HEIGHT))
STATE = np.zeros(17, np.int32)
TREES = [20, 30, 40, 50, 60]
MOVERS = (PANDA, SCORPION, DRAGON)


def _world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of four creatures, two bananas, five trees and one slot of padding."""
    tree_at = np.zeros(WIDTH * HEIGHT, bool)
    tree_at[TREES] = True
    cells = np.array([10, 70, 42, 33, 5, 38, *TREES, -1], np.int32)
    return cells, tree_at, cell_bits(tree_at)


def _expected(cells: np.ndarray, tree_at: np.ndarray, full_sight: bool) -> np.ndarray:
    there = np.flatnonzero(cells >= 0)
    places = np.stack([cells[there] % WIDTH, cells[there] // WIDTH], axis=1)
    blocking = np.zeros_like(tree_at) if full_sight else tree_at
    seen = np.zeros((len(cells), len(cells)), bool)
    seen[np.ix_(there, there)] = line_of_sight(places, blocking.reshape(HEIGHT, WIDTH))
    seen[SCORPION, there] = True
    return seen


@pytest.mark.parametrize("full_sight", [False, True])
@pytest.mark.parametrize("moved", list(itertools.product([False, True], repeat=3)))
def test_updating_equals_writing_anew(moved: tuple[bool, ...], full_sight: bool) -> None:
    cells, tree_at, trees = _world()
    generator = np.random.default_rng(0)
    view = VIEW._replace(full_sight=full_sight)
    sight = np.ones((12, 12), bool)
    write_sight(cells, STATE, trees, view, sight)
    np.testing.assert_array_equal(sight, _expected(cells, tree_at, full_sight))
    for turn in range(40):
        who_moved = np.zeros(12, bool)
        for mover, moves in zip(MOVERS, moved, strict=True):
            if moves:
                cells[mover] = generator.choice(np.flatnonzero(~tree_at))
                who_moved[mover] = True
        if turn in (10, 20):
            cells[turn // 10 + 3] = -1  # a banana is taken
        update_sight(cells, STATE, trees, view, who_moved, sight)
        np.testing.assert_array_equal(sight, _expected(cells, tree_at, full_sight))


def test_who_did_not_move_is_not_traced_again() -> None:
    cells, _, trees = _world()
    sight = np.zeros((12, 12), bool)
    who_moved = np.arange(12) == DRAGON
    update_sight(cells, STATE, trees, VIEW, who_moved, sight)
    touched = np.flatnonzero(sight.any(axis=1) | sight.any(axis=0))
    assert sight[DRAGON].any() or sight[:, DRAGON].any()
    others = [i for i in touched if i != DRAGON]
    assert not sight[np.ix_(others, others)].any()

"""The four starts, by the facts of the published maps."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.mining.layouts import LAYOUTS, start_board
from maskrl.envs.games.mining.settings import B_HIT_POINTS, B_KIND, B_LOAD, B_OWNER, SIZES

# Per map: cells (x, y) of our base and worker, theirs, and the mines with their units.
STARTS = {
    "4x4": ((2, 1), (1, 1), (1, 2), (2, 2), {(0, 0): 20, (3, 3): 20}),
    "10x10": ((2, 1), (1, 1), (7, 8), (8, 8), {(0, 0): 20, (9, 9): 20}),
    "16x16": ((2, 2), (1, 1), (13, 13), (14, 14), {(0, 1): 20, (15, 14): 25}),
    "24x24": ((2, 2), (1, 1), (21, 21), (22, 22), {(0, 1): 20, (23, 22): 25}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_map_begins_as_published(name: str) -> None:
    board, size = start_board(name), SIZES[name]
    base, worker, enemy_base, enemy_worker, mines = STARTS[name]
    expected = {
        base: (2, 1, 10, 0),
        worker: (4, 1, 1, 0),
        enemy_base: (2, 2, 10, 0),
        enemy_worker: (4, 2, 1, 0),
        **{cell: (1, 0, 1, units) for cell, units in mines.items()},
    }
    layers = board[[B_KIND, B_OWNER, B_HIT_POINTS, B_LOAD]].reshape(4, size, size)
    for y in range(size):
        for x in range(size):
            assert tuple(layers[:, y, x].tolist()) == expected.get((x, y), (0, 0, 0, 0)), (x, y)
    assert not np.delete(board, [B_KIND, B_OWNER, B_HIT_POINTS, B_LOAD], axis=0).any()
    assert LAYOUTS[name].units_to_harvest == sum(mines.values())

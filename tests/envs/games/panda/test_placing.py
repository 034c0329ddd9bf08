"""Sets of cells: what a flood reaches, and random cells that are taken once."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.panda.placing import flood, has_cell, take_cell
from maskrl.geometry import cell_bits


def _reached(start: int, tree_at: np.ndarray, size: int) -> set[int]:
    """Cells that free cells connect to start, by a search that shares nothing with the code."""
    seen, frontier = {start}, [start]
    while frontier:
        cell = frontier.pop()
        x, y = cell % size, cell // size
        for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            if 0 <= x + dx < size and 0 <= y + dy < size:
                ahead = (y + dy) * size + x + dx
                if not tree_at[ahead] and ahead not in seen:
                    seen.add(ahead)
                    frontier.append(ahead)
    return seen


@pytest.mark.parametrize("size", [5, 8, 9, 16])
def test_a_flood_reaches_what_a_search_reaches(size: int) -> None:
    generator, cells = np.random.default_rng(size), size * size
    parts = 0
    for density in (0.1, 0.3, 0.5):
        for _ in range(20):
            tree_at = generator.random(cells) < density
            start = int(generator.integers(cells))
            tree_at[start] = False
            free = cell_bits(~tree_at)
            free[start // 64] &= ~np.uint64(1 << (start % 64))  # as when the panda stands there
            reached = np.zeros_like(free)
            flood(start, free, reached, grid_tables(size, size))
            wanted = np.zeros(cells, bool)
            wanted[list(_reached(start, tree_at, size))] = True
            np.testing.assert_array_equal(reached, cell_bits(wanted))
            parts += int(wanted.sum() < (~tree_at).sum())
    assert parts > 20  # most of these grids fall into several parts


def test_cells_are_taken_once_and_only_from_among_the_given() -> None:
    free, among = cell_bits(np.ones(70, bool)), cell_bits(np.arange(70) >= 50)
    taken, counter = set(), np.uint64(0)
    for _ in range(8):
        cell, counter = take_cell(np.uint64(5), counter, 70, free, among)
        assert not has_cell(free, cell) and 50 <= cell < 70
        taken.add(int(cell))
    assert len(taken) == 8
    assert sum(has_cell(free, cell) for cell in range(70)) == 62
    nothing = np.zeros_like(free)
    assert take_cell(np.uint64(5), counter, 70, free, nothing)[0] == -1

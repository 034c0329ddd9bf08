"""Layouts: reachable, reproducible, disjoint between splits, and the article's scenes."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.panda.cast import make_cast
from maskrl.envs.games.panda.layouts import layout
from maskrl.envs.games.panda.rules import distance
from maskrl.envs.games.panda.settings import (
    DOWN,
    S_BANANAS,
    S_DRAGON,
    S_PANDA,
    S_SCORPION,
    S_TREES,
    S_WATERMELON,
    PandaSettings,
)
from maskrl.errors import ConfigError
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


def test_every_layout_can_be_won_and_starts_in_peace() -> None:
    settings = PandaSettings()
    counts = set()
    for seed in split_seeds("train", 300):
        state, tree_at, trees = layout(settings, int(seed))
        panda, watermelon = int(state[S_PANDA]), int(state[S_WATERMELON])
        bananas = state[S_BANANAS : S_BANANAS + 2]
        lying = [int(cell) for cell in bananas if cell >= 0]
        standing = [int(cell) for cell in state[S_BANANAS + 2 :][: state[S_TREES]]]
        reached = _reached(panda, tree_at, 7)
        assert watermelon in reached and set(lying) <= reached
        everything = [panda, watermelon, int(state[S_SCORPION]), int(state[S_DRAGON])]
        everything += lying + standing
        assert len(set(everything)) == len(everything)
        for column in (S_WATERMELON, S_SCORPION, S_DRAGON):
            assert distance(panda, int(state[column]), 7) >= 3
        assert sorted(standing) == np.flatnonzero(tree_at).tolist()
        np.testing.assert_array_equal(trees, cell_bits(tree_at))
        counts.add((len(standing), len(lying)))
    assert counts == {(t, b) for t in (1, 2, 3, 4, 5, 6) for b in (1, 2)}


def test_a_seed_means_one_layout() -> None:
    first, second = (layout(PandaSettings(), 12) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (layout(PandaSettings(), 13)[0] != first[0]).any()


def test_sight_does_not_change_the_layout() -> None:
    seen, hidden = layout(PandaSettings(sight="full"), 5), layout(PandaSettings(), 5)
    np.testing.assert_array_equal(seen[0], hidden[0])


def test_the_articles_scene_stands_where_the_article_says() -> None:
    state, tree_at, _ = layout(PandaSettings(preset="trees"), 0)
    # Cells are y * 7 + x: panda (3, 0), watermelon (2, 6), scorpion (6, 4), dragon (6, 0).
    assert state[:4].tolist() == [3, 44, 34, 6]
    assert np.flatnonzero(tree_at).tolist() == [26, 27, 40]
    assert not layout(PandaSettings(preset="open"), 0)[1].any()


def test_a_grid_without_room_is_refused() -> None:
    # With 6 of 25 cells trees and everyone 3 steps from the panda, layouts still exist.
    small = PandaSettings(width=5, height=5, min_trees=6, max_trees=6)
    assert layout(small, 0)[0][S_TREES] == 6


def test_counts_vary_between_their_bounds_and_nobody_starts_near() -> None:
    settings = PandaSettings(
        width=10,
        height=8,
        min_scorpions=0,
        max_scorpions=2,
        min_dragons=1,
        max_dragons=3,
        max_bananas=5,
        max_trees=20,
        panda_field_of_view=120,
    )
    cast, counts = make_cast(settings), set()
    for seed in split_seeds("test", 200):
        state, tree_at, _ = layout(settings, int(seed))
        cells = state[cast.cells]
        scorpions, dragons = cells[:2] >= 0, cells[2:] >= 0
        for there in (scorpions, dragons):  # the first so many of a kind are there
            assert (np.diff(there.astype(int)) <= 0).all()
        counts.add((int(scorpions.sum()), int(dragons.sum())))
        present = cells[cells >= 0].tolist()
        lying = [int(cell) for cell in state[S_BANANAS : S_BANANAS + 5] if cell >= 0]
        everything = [state[S_PANDA], state[S_WATERMELON], *present, *lying]
        assert len({int(cell) for cell in everything}) == len(everything)
        assert not tree_at[everything].any()
        for cell in (state[S_WATERMELON], *present):
            assert distance(int(state[S_PANDA]), int(cell), 10) >= 3
        assert (state[cast.facings] == DOWN).all() and not state[cast.stuns].any()
    assert counts == {(s, d) for s in (0, 1, 2) for d in (1, 2, 3)}


def test_half_a_large_grid_may_be_trees() -> None:
    settings = PandaSettings(width=32, height=32, min_trees=500, max_trees=512, max_bananas=16)
    state, tree_at, trees = layout(settings, 1)
    assert 500 <= tree_at.sum() <= 512
    np.testing.assert_array_equal(trees, cell_bits(tree_at))
    start, goal = int(state[S_PANDA]), int(state[S_WATERMELON])
    assert goal in _reached(start, tree_at, 32)


def test_creatures_for_which_there_is_no_room_are_refused() -> None:
    crowded = PandaSettings(
        width=5,
        height=5,
        min_trees=12,
        max_trees=12,
        min_scorpions=8,
        max_scorpions=8,
        min_dragons=8,
        max_dragons=8,
    )
    with pytest.raises(ConfigError, match="16 creatures on 5 x 5 cells"):
        layout(crowded, 0)

"""Layouts of many pandas: everybody gets everywhere, nobody starts in danger, seeds decide."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.pandas.layouts import layout
from maskrl.envs.games.pandas.settings import ABSENT, PandasSettings
from maskrl.errors import ConfigError


def _reached(start: int, tree_at: np.ndarray, width: int, height: int) -> set[int]:
    seen, frontier = {start}, [start]
    while frontier:
        y, x = divmod(frontier.pop(), width)
        for u, v in ((x, y + 1), (x, y - 1), (x + 1, y), (x - 1, y)):
            cell = v * width + u
            if 0 <= u < width and 0 <= v < height and not tree_at[cell] and cell not in seen:
                seen.add(cell)
                frontier.append(cell)
    return seen


@pytest.mark.parametrize("pandas", [2, 8, 64])
def test_everybody_can_get_everywhere_and_starts_out_of_danger(pandas: int) -> None:
    settings = PandasSettings(pandas=pandas, max_trees=None if pandas > 2 else 8)
    width, trees = settings.width, set()
    for seed in split_seeds("train", 30 if pandas < 64 else 5):
        world = layout(settings, int(seed))
        standing = np.concatenate(
            (world.pandas[0], world.melons[0], world.scorpions[0], world.tree_cells[0])
        )
        there = standing[standing != ABSENT]
        assert len(set(there.tolist())) == len(there)
        count = int((world.tree_cells[0] != ABSENT).sum())
        trees.add(count)
        assert settings.min_trees <= count <= settings.max_trees
        assert world.tree_at[0].sum() == count
        reached = _reached(int(world.pandas[0, 0]), world.tree_at[0], width, settings.height)
        assert {*world.pandas[0].tolist(), *world.melons[0].tolist()} <= reached
        for scorpion in world.scorpions[0].tolist():
            for panda in world.pandas[0].tolist():
                away = abs(scorpion % width - panda % width) + abs(
                    scorpion // width - panda // width
                )
                assert away >= 3
        assert (world.rest == 0).all() and world.layout_ids[0] == seed
    assert len(trees) > 1


def test_a_seed_is_a_layout_whatever_is_told_of_it() -> None:
    for changes in ({"form": "grid"}, {"sight": "full"}, {"reward": "team"}, {"split": "test"}):
        first = layout(PandasSettings(), 77)
        second = layout(PandasSettings(**changes), 77)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    other = layout(PandasSettings(), 78)
    assert not np.array_equal(first.pandas, other.pandas)


def test_a_grid_without_room_is_refused() -> None:
    settings = PandasSettings(pandas=9, width=4, watermelons=1, scorpions=2, max_trees=0)
    with pytest.raises(ConfigError, match="no layout for seed 3 with 9 pandas.*on 4 x 4 cells"):
        layout(settings, 3)

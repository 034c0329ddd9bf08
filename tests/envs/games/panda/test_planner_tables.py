"""What the planner looks up, against the rules called one by one."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.panda.cast import make_cast, state_columns
from maskrl.envs.games.panda.grid import world_grid
from maskrl.envs.games.panda.planner_tables import creature_tables, place_of, throw_targets
from maskrl.envs.games.panda.rules import NO_TARGET, dragon_step, scorpion_step
from maskrl.envs.games.panda.settings import (
    DOWN,
    DRAGON,
    LEFT,
    RIGHT,
    SCORPION,
    UP,
    PandaSettings,
)
from maskrl.geometry import cell_bits

SETTINGS = PandaSettings(
    width=5,
    height=5,
    dragon_field_of_view=90,
    dragon_view_radius=3,
    panda_field_of_view=180,
    panda_view_radius=3,
)
GRID = world_grid(SETTINGS)
WATERMELON = 24
TREE_AT = np.isin(np.arange(25), (6, 13))
TREES = cell_bits(TREE_AT)
CELLS_OF = np.flatnonzero(~TREE_AT & (np.arange(25) != WATERMELON)).astype(np.int64)
INDEX_OF = np.full(25, -1, np.int64)
INDEX_OF[CELLS_OF] = np.arange(len(CELLS_OF))
FACINGS = (4, 1, 4)
PLACES = (len(CELLS_OF) * 4, len(CELLS_OF), len(CELLS_OF) * 4)


def test_places_hold_cell_and_facing() -> None:
    assert place_of(7, 12, UP, 1, INDEX_OF, GRID) == INDEX_OF[7]
    assert place_of(7, 12, RIGHT, 4, INDEX_OF, GRID) == INDEX_OF[7] * 4 + UP
    assert place_of(12, 12, RIGHT, 4, INDEX_OF, GRID) == INDEX_OF[12] * 4 + RIGHT


def test_creatures_go_where_the_rules_send_them() -> None:
    """256 evenly spread uniforms hit every outcome exactly in its share: all are eighths."""
    dragon_to, dragon_chance, scorpion_to, scorpion_chance = creature_tables(
        CELLS_OF, INDEX_OF, PLACES, FACINGS, WATERMELON, TREE_AT, TREES, GRID
    )
    spread = (np.arange(256) + 0.5) / 256
    chased = 0
    for panda in (0, 7, 17, 22):
        p = INDEX_OF[panda]
        for cell in (0, 5, 11, 18, 23):
            for facing in (UP, DOWN, LEFT, RIGHT):
                d = INDEX_OF[cell] * 4 + facing
                went = [
                    dragon_step(u, cell, facing, panda, WATERMELON, TREE_AT, TREES, GRID)
                    for u in spread
                ]
                if dragon_chance[p, d] == 0:
                    assert set(went) == {cell} and dragon_to[p, d] == d
                    continue
                chased += 1
                to = CELLS_OF[dragon_to[p, d] // 4]
                assert dragon_chance[p, d] == 0.5 and set(went) == {cell, to}
                assert went.count(to) == (256 if to == cell else 128)
            s = INDEX_OF[cell]
            went = [scorpion_step(u, cell, DOWN, panda, WATERMELON, TREE_AT, GRID) for u in spread]
            for to in set(went):
                told = scorpion_chance[p, s][CELLS_OF[scorpion_to[p, s]] == to].sum()
                assert told == went.count(to) / 256
    assert chased > 5


def test_throws_hit_whom_the_rules_name() -> None:
    cast = make_cast(SETTINGS)
    start = np.full(state_columns(SETTINGS), -1, np.int32)
    targets = throw_targets(start, CELLS_OF, PLACES, FACINGS, TREES, cast, GRID)
    at = INDEX_OF

    def hit(panda: int, facing: int, scorpion: int, dragon: int, stunned=(0, 0)) -> int:
        return int(targets[(*stunned, at[panda] * 4 + facing, at[scorpion], at[dragon] * 4)])

    # The panda on 12 (2, 2): the scorpion two to the left, the dragon one below.
    assert hit(12, DOWN, 10, 17) == DRAGON
    assert hit(12, UP, 10, 17) == SCORPION  # the dragon is behind it, the scorpion beside
    assert hit(12, DOWN, 10, 17, (0, 1)) == SCORPION
    assert hit(12, RIGHT, 10, 11) == NO_TARGET  # both behind it
    assert hit(12, RIGHT, 10, 14) == NO_TARGET  # the dragon behind a tree
    assert hit(0, RIGHT, 4, 23) == NO_TARGET  # beyond its radius of 3
    assert hit(1, RIGHT, 4, 23) == SCORPION


def test_who_is_not_there_stays_so() -> None:
    tables = creature_tables(
        CELLS_OF, INDEX_OF, (22, 1, 1), (1, 1, 1), WATERMELON, TREE_AT, TREES, GRID
    )
    dragon_to, dragon_chance, scorpion_to, scorpion_chance = tables
    assert not dragon_to.any() and not dragon_chance.any() and not scorpion_to.any()
    assert (scorpion_chance == [1, 0, 0, 0, 0]).all()
    cast = make_cast(SETTINGS)
    start = np.full(state_columns(SETTINGS), -1, np.int32)
    none = throw_targets(start, CELLS_OF, (PLACES[0], 1, 1), FACINGS, TREES, cast, GRID)
    assert (none == NO_TARGET).all()

"""Who takes part, and in which columns of the state: old worlds keep theirs."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.panda.cast import facing_after, facing_of, make_cast, state_columns
from maskrl.envs.games.panda.grid import grid_tables
from maskrl.envs.games.panda.settings import (
    DOWN,
    DRAGON,
    LEFT,
    RIGHT,
    SCORPION,
    UP,
    PandaSettings,
)


def test_one_of_each_stands_where_it_always_stood() -> None:
    cast = make_cast(PandaSettings())
    assert cast.kinds.tolist() == [SCORPION, DRAGON]
    assert (cast.cells.tolist(), cast.stuns.tolist()) == ([2, 3], [5, 6])
    assert cast.order.tolist() == [1, 0]  # dragons move first
    assert not cast.faces and state_columns(PandaSettings()) == 9 + 2 + 6


def test_further_creatures_and_facings_follow_behind_the_trees() -> None:
    settings = PandaSettings(
        max_scorpions=2, max_dragons=3, max_trees=4, max_bananas=1, dragon_field_of_view=90
    )
    cast = make_cast(settings)
    assert cast.kinds.tolist() == [SCORPION] * 2 + [DRAGON] * 3
    # Columns 0 to 8, one banana (9), four trees (10 to 13), then pairs of cell and stun.
    assert cast.cells.tolist() == [2, 14, 3, 16, 18]
    assert cast.stuns.tolist() == [5, 15, 6, 17, 19]
    assert cast.order.tolist() == [2, 3, 4, 0, 1]
    assert cast.facings.tolist() == [20, 21, 22, 23, 24, 25]
    assert state_columns(settings) == 26


def test_no_column_is_used_twice() -> None:
    for scorpions in range(4):
        for dragons in range(4):
            settings = PandaSettings(
                min_scorpions=0,
                max_scorpions=scorpions,
                min_dragons=0,
                max_dragons=dragons,
                panda_field_of_view=180,
            )
            cast = make_cast(settings)
            columns = [*cast.cells, *cast.stuns, *cast.facings]
            assert len(set(columns)) == len(columns) == 3 * (scorpions + dragons) + 1
            assert max(columns) == state_columns(settings) - 1


def test_moves_turn_and_staying_does_not() -> None:
    grid = grid_tables(5, 5)
    assert [facing_after(12, c, DOWN, grid) for c in (7, 17, 11, 13)] == [UP, DOWN, LEFT, RIGHT]
    assert facing_after(12, 12, LEFT, grid) == LEFT


def test_the_facing_of_an_entity_is_that_of_its_column() -> None:
    settings = PandaSettings(max_dragons=2, dragon_field_of_view=90)
    cast = make_cast(settings)
    state = np.zeros(state_columns(settings), np.int32)
    state[cast.facings] = [UP, LEFT, RIGHT, UP]
    # Slots: panda, watermelon (no eyes to turn), scorpion, two dragons, a banana.
    assert [facing_of(slot, state, cast) for slot in range(6)] == [UP, DOWN, LEFT, RIGHT, UP, DOWN]
    plain = make_cast(PandaSettings())
    assert facing_of(2, np.zeros(17, np.int32), plain) == DOWN

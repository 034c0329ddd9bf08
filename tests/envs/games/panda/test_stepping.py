"""One step of one world: how it ends, what is picked up, who is stunned and wakes."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.cast import make_cast, state_columns
from maskrl.envs.games.panda.grid import grid_tables, world_grid
from maskrl.envs.games.panda.settings import (
    DOWN,
    LEFT,
    RIGHT,
    S_BANANAS,
    S_CARRYING,
    S_DRAGON,
    S_DRAGON_STUNNED,
    S_PANDA,
    S_SCORPION,
    S_SCORPION_STUNNED,
    S_STEP,
    S_WATERMELON,
    UP,
    USE_ITEM,
    WAIT,
    PandaSettings,
)
from maskrl.envs.games.panda.stepping import CAUGHT, GOES_ON, OUT_OF_TIME, WON, advance
from maskrl.geometry import cell_bits

GRID = grid_tables(5, 5)
CAST = make_cast(PandaSettings())
COLUMN = {
    "panda": S_PANDA,
    "scorpion": S_SCORPION,
    "dragon": S_DRAGON,
    "carrying": S_CARRYING,
    "scorpion_stunned": S_SCORPION_STUNNED,
    "dragon_stunned": S_DRAGON_STUNNED,
    "step": S_STEP,
    "banana": S_BANANAS,
    "other_banana": S_BANANAS + 1,
}
FREE = np.zeros(25, bool)
STILL = 0.99  # the uniform under which a far creature that sees nothing stays or leaves last


def _world(**columns: int) -> np.ndarray:
    """A 5 x 5 world: panda in the middle (12), the others in corners, two bananas gone."""
    state = np.zeros(S_BANANAS + 2, np.int32)
    state[[S_PANDA, S_WATERMELON, S_SCORPION, S_DRAGON]] = [12, 4, 24, 20]
    state[S_BANANAS:] = -1
    for name, value in columns.items():
        state[COLUMN[name]] = value
    return state


def _advance(state: np.ndarray, action: int, u_dragon: float = 0.0, u_scorpion: float = 0.0) -> int:
    trees = cell_bits(FREE)
    uniforms = np.array([u_dragon, u_scorpion])
    return int(advance(state, action, FREE, trees, uniforms, 2, 40, CAST, GRID))


def test_reaching_the_watermelon_wins_before_anyone_moves() -> None:
    state = _world(panda=3, dragon=9)
    assert _advance(state, RIGHT, u_dragon=STILL) == WON
    assert state[S_DRAGON] == 9


def test_walking_into_a_creature_is_being_caught() -> None:
    assert _advance(_world(dragon=13), RIGHT) == CAUGHT
    assert _advance(_world(scorpion=13), RIGHT) == CAUGHT


def test_a_creature_that_arrives_has_caught_the_panda() -> None:
    near = _world(dragon=13)
    assert _advance(near, WAIT, u_dragon=0.0) == GOES_ON  # below 0.5 it stays
    assert _advance(_world(dragon=13), WAIT, u_dragon=0.5) == CAUGHT
    assert _advance(_world(scorpion=13), WAIT, u_scorpion=0.5) == CAUGHT


def test_stunned_creatures_do_nothing_and_may_be_walked_over() -> None:
    state = _world(dragon=13, dragon_stunned=1)
    assert _advance(state, RIGHT, u_dragon=0.25) == GOES_ON
    assert state[S_PANDA] == state[S_DRAGON] == 13
    # It wakes in the panda's cell: caught.
    assert _advance(state, WAIT, u_dragon=0.2499) == CAUGHT


def test_waking_takes_the_step() -> None:
    state = _world(scorpion=13, scorpion_stunned=1)
    assert _advance(state, LEFT, u_scorpion=0.0) == GOES_ON
    assert (state[S_SCORPION], state[S_SCORPION_STUNNED]) == (13, 0)


def test_bananas_are_picked_up_one_at_a_time() -> None:
    state = _world(banana=13, other_banana=14)
    _advance(state, RIGHT)
    assert (state[S_CARRYING], state[S_BANANAS], state[S_BANANAS + 1]) == (1, -1, 14)
    _advance(state, RIGHT)
    assert (state[S_CARRYING], state[S_BANANAS + 1]) == (1, 14)
    # Throwing frees the paws, and the panda stands on the second one.
    _advance(state, USE_ITEM)
    assert (state[S_CARRYING], state[S_BANANAS + 1]) == (1, -1)


def test_a_throw_stuns_the_nearest_or_is_lost() -> None:
    state = _world(carrying=1, dragon=14)
    assert _advance(state, USE_ITEM, u_dragon=STILL) == GOES_ON
    assert (state[S_CARRYING], state[S_DRAGON_STUNNED], state[S_DRAGON]) == (0, 1, 14)
    lost = _world(panda=0, carrying=1, scorpion=24, dragon=23)
    _advance(lost, USE_ITEM)
    assert (lost[S_CARRYING], lost[S_DRAGON_STUNNED], lost[S_SCORPION_STUNNED]) == (0, 0, 0)


def test_the_limit_ends_the_episode_and_a_catch_comes_first() -> None:
    assert _advance(_world(step=39), DOWN) == OUT_OF_TIME
    assert _advance(_world(step=38), DOWN) == GOES_ON
    assert _advance(_world(step=39, dragon=13), WAIT, u_dragon=0.9) == CAUGHT


@pytest.mark.parametrize("action", [0, 1, 2, 3])
def test_moves_go_where_they_say(action: int) -> None:
    state = _world()
    _advance(state, action)
    assert state[S_PANDA] == [7, 17, 11, 13][action]


def _crowd(**settings: int) -> tuple:
    """Two scorpions and two dragons in the corners of a 5 x 5 world, the panda in its middle."""
    made = PandaSettings(
        width=5, height=5, max_scorpions=2, max_dragons=2, max_trees=0, min_trees=0, **settings
    )
    state, cast = np.zeros(state_columns(made), np.int32), make_cast(made)
    state[[S_PANDA, S_WATERMELON]] = [12, 2]
    state[cast.cells] = [0, 4, 20, 24]
    state[S_BANANAS : S_BANANAS + 2] = -1
    if cast.faces:
        state[cast.facings] = DOWN
    return state, cast, world_grid(made)


def _step(state, cast, grid, action, uniforms) -> int:
    bits = cell_bits(FREE)
    return int(advance(state, action, FREE, bits, np.array(uniforms), 2, 40, cast, grid))


def test_each_creature_moves_by_its_own_number_dragons_first() -> None:
    state, cast, grid = _crowd()
    # In turn: dragons 0 and 1, scorpions 0 and 1. Dragons see the panda: one stays, one comes.
    assert _step(state, cast, grid, WAIT, [0.0, 0.9, 0.0, 0.9]) == GOES_ON
    # Scorpion 1 wanders right at 0.9, out of the grid, and so stays; at 0.8 it goes left.
    assert state[cast.cells].tolist() == [0, 4, 20, 23]
    assert _step(state, cast, grid, WAIT, [0.0, 0.0, 0.0, 0.8]) == GOES_ON
    assert state[cast.cells].tolist() == [0, 3, 20, 23]


@pytest.mark.parametrize("who", [0, 1, 2, 3])
def test_any_awake_creature_catches_and_a_stunned_one_does_not(who: int) -> None:
    for stunned, outcome in ((0, CAUGHT), (1, GOES_ON)):
        state, cast, grid = _crowd()
        state[cast.cells[who]] = 13
        state[cast.stuns[who]] = stunned
        assert _step(state, cast, grid, RIGHT, [0.26] * 4) == outcome


def test_a_throw_stuns_one_of_several_and_each_wakes_by_its_own_number() -> None:
    state, cast, grid = _crowd()
    state[cast.cells] = [14, 4, 22, 24]
    state[S_CARRYING] = 1
    _step(state, cast, grid, USE_ITEM, [0.9, 0.0, 0.0, 0.0])
    assert state[cast.stuns].tolist() == [0, 0, 1, 0]  # a tie: the dragon
    state[cast.stuns] = 1
    _step(state, cast, grid, WAIT, [0.2, 0.3, 0.3, 0.2])
    assert state[cast.stuns].tolist() == [1, 0, 0, 1]  # dragon 0 and scorpion 1 woke


def test_who_moves_turns_and_who_stays_does_not() -> None:
    state, cast, grid = _crowd(dragon_field_of_view=180)
    assert _step(state, cast, grid, LEFT, [0.9, 0.9, 0.6, 0.0]) == GOES_ON
    # Panda left; dragon 0 at (0, 4) faces down and sees nothing above; scorpion 0 tries up and
    # stays in its corner.
    assert state[cast.facings].tolist() == [LEFT, DOWN, DOWN, DOWN, DOWN]
    state[cast.facings[3]] = UP
    _step(state, cast, grid, WAIT, [0.9, 0.0, 0.7, 0.0])
    # Now dragon 0 looks up and sees the panda at (1, 2): it comes along the longer axis.
    assert state[cast.cells[2]] == 15 and state[cast.facings[3]] == UP
    assert state[cast.cells[0]] == 5 and state[cast.facings[1]] == DOWN

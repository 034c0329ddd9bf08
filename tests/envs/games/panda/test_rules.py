"""The rules one by one, on hand-drawn grids. Cells are y * 5 + x on a 5 x 5 grid."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.cast import make_cast, state_columns
from maskrl.envs.games.panda.grid import grid_tables, world_grid
from maskrl.envs.games.panda.rules import (
    NO_TARGET,
    OUTSIDE,
    action_allowed,
    distance,
    dragon_moves,
    dragon_step,
    greedy_steps,
    in_view,
    looks_at,
    move_number,
    neighbour,
    scorpion_moves,
    scorpion_step,
    sees,
    step_towards,
    throw_target,
)
from maskrl.envs.games.panda.settings import (
    DOWN,
    DRAGON,
    LEFT,
    PANDA,
    RIGHT,
    S_DRAGON,
    S_DRAGON_STUNNED,
    S_PANDA,
    S_SCORPION,
    S_SCORPION_STUNNED,
    SCORPION,
    UP,
    USE_ITEM,
    WAIT,
    PandaSettings,
)
from maskrl.geometry import cell_bits

GRID = grid_tables(5, 5)
CAST = make_cast(PandaSettings())


def _trees(*cells: int) -> tuple[np.ndarray, np.ndarray]:
    tree_at = np.zeros(25, bool)
    tree_at[list(cells)] = True
    return tree_at, cell_bits(tree_at)


def _moves(kind, *arguments) -> dict[int, float]:
    cells, chances = np.empty(5, np.int64), np.empty(5)
    count = kind(cells, chances, *arguments)
    where: dict[int, float] = {}
    for cell, chance in zip(cells[:count], chances[:count], strict=True):
        where[int(cell)] = where.get(int(cell), 0.0) + float(chance)
    assert sum(where.values()) == pytest.approx(1)
    return where


def test_neighbours_stop_at_the_border() -> None:
    assert [neighbour(12, d, 5, 5) for d in (UP, DOWN, LEFT, RIGHT)] == [7, 17, 11, 13]
    assert [neighbour(0, d, 5, 5) for d in (UP, DOWN, LEFT, RIGHT)] == [-1, 5, -1, 1]
    assert [neighbour(24, d, 5, 5) for d in (UP, DOWN, LEFT, RIGHT)] == [19, -1, 23, -1]


def test_trees_borders_and_empty_paws_disallow_actions() -> None:
    tree_at, _ = _trees(1)
    allowed = [action_allowed(a, 0, 0, tree_at, GRID) for a in range(6)]
    # In the corner (0, 0) with a tree to the right: only down and wait.
    assert allowed == [False, True, False, False, True, False]
    assert action_allowed(USE_ITEM, 0, 1, tree_at, GRID)
    assert action_allowed(WAIT, 0, 0, tree_at, GRID)


def test_the_dragon_chases_only_what_it_sees() -> None:
    tree_at, bits = _trees()
    assert _moves(dragon_moves, 10, DOWN, 14, 24, tree_at, bits, GRID) == {10: 0.5, 11: 0.5}
    tree_at, bits = _trees(12)
    assert _moves(dragon_moves, 10, DOWN, 14, 24, tree_at, bits, GRID) == {10: 1.0}


def test_the_scorpion_creeps_when_near_and_trees_do_not_blind_it() -> None:
    tree_at, _ = _trees(11)
    # Two steps away with the tree between: it is aware, but the tree is in its way.
    assert _moves(scorpion_moves, 10, DOWN, 12, 24, tree_at, GRID) == {10: 1.0}
    tree_at, _ = _trees()
    assert _moves(scorpion_moves, 10, DOWN, 12, 24, tree_at, GRID) == {10: 0.5, 11: 0.5}


def test_the_scorpion_wanders_when_far_and_stays_where_it_cannot_go() -> None:
    tree_at, _ = _trees(5)
    # In the corner (0, 0): up and left leave the grid, down is a tree, right is free.
    far = _moves(scorpion_moves, 0, DOWN, 24, 20, tree_at, GRID)
    assert far == {0: 0.875, 1: 0.125}
    # Nor does it step on the watermelon.
    assert _moves(scorpion_moves, 0, DOWN, 24, 1, tree_at, GRID) == {0: 1.0}


def test_greedy_steps_prefer_the_longer_side_and_then_the_other() -> None:
    tree_at, _ = _trees()
    assert step_towards(0, 14, 24, tree_at, GRID) == 1  # 4 right, 2 down: right first
    tree_at, _ = _trees(1)
    assert step_towards(0, 14, 24, tree_at, GRID) == 5  # tree to the right: down
    assert step_towards(0, 14, 5, tree_at, GRID) == 0  # and the watermelon below: stay
    assert step_towards(0, 4, 24, tree_at, GRID) == 0  # a straight line has no other side
    assert step_towards(7, 7, 24, tree_at, GRID) == 7


def _target(panda, scorpion, dragon, scorpion_stunned, dragon_stunned, bits, grid=GRID) -> str:
    """Whom a throw hits in a world with one creature of each kind."""
    state = np.zeros(9, np.int32)
    state[[S_PANDA, S_SCORPION, S_DRAGON]] = panda, scorpion, dragon
    state[[S_SCORPION_STUNNED, S_DRAGON_STUNNED]] = scorpion_stunned, dragon_stunned
    hit = throw_target(state, bits, CAST, grid)
    return (
        "nobody" if hit == NO_TARGET else {SCORPION: "scorpion", DRAGON: "dragon"}[CAST.kinds[hit]]
    )


def test_a_banana_hits_the_nearest_awake_creature_in_sight() -> None:
    _, bits = _trees()
    assert _target(12, 14, 13, False, False, bits) == "dragon"
    assert _target(12, 13, 14, False, False, bits) == "scorpion"
    assert _target(12, 11, 13, False, False, bits) == "dragon"  # a tie
    assert _target(12, 13, 14, True, False, bits) == "dragon"  # one sleeps
    assert _target(12, 13, 14, True, True, bits) == "nobody"
    assert _target(0, 24, 23, False, False, bits) == "nobody"  # too far
    _, bits = _trees(13)
    assert _target(12, 14, 24, False, False, bits) == "dragon"  # tree hides it
    assert _target(12, 14, -1, False, False, bits) == "nobody"


def test_sight_and_distance() -> None:
    _, bits = _trees(6)
    assert not sees(0, 12, bits, GRID) and not sees(12, 0, bits, GRID)
    assert sees(0, 4, bits, GRID)
    assert distance(0, 24, 5) == 8


def test_greedy_steps_are_the_longer_side_then_the_other() -> None:
    assert greedy_steps(0, 14, 5, 5) == (1, 5)  # 4 right and 2 down
    assert greedy_steps(24, 3, 5, 5) == (19, 23)  # 1 left and 4 up
    assert greedy_steps(0, 12, 5, 5) == (1, 5)  # a tie: along the row
    assert greedy_steps(0, 4, 5, 5) == (1, OUTSIDE)
    assert greedy_steps(7, 7, 5, 5) == (OUTSIDE, OUTSIDE)


def test_a_uniform_number_selects_every_move_with_its_chance() -> None:
    last = 1 - 2**-53
    assert [move_number(u, 0.5, 1) for u in (0.0, 0.4999, 0.5, last)] == [0, 0, 1, 1]
    wandering = (0.0, 0.4999, 0.5, 0.6249, 0.625, 0.7499, 0.75, 0.8749, 0.875, last)
    assert [move_number(u, 0.5, 4) for u in wandering] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("cells", [(), (6, 7, 17), (11, 13)])
def test_steps_are_drawn_with_the_chances_that_the_planner_is_told(cells: tuple) -> None:
    """256 evenly spread uniforms hit every outcome exactly in its share: all are eighths."""
    tree_at, bits = _trees(*cells)
    spread = (np.arange(256) + 0.5) / 256
    for creature in (0, 8, 10, 14, 22):
        for panda in (2, 12, 18):
            for moves, step, rest in (
                (dragon_moves, dragon_step, (tree_at, bits, GRID)),
                (scorpion_moves, scorpion_step, (tree_at, GRID)),
            ):
                drawn = [step(u, creature, DOWN, panda, 24, *rest) for u in spread]
                shares = {int(c): drawn.count(c) / 256 for c in drawn}
                told = _moves(moves, creature, DOWN, panda, 24, *rest)
                assert shares == {cell: chance for cell, chance in told.items() if chance}


def _world(**settings: int) -> tuple:
    """A 5 x 5 world of several creatures, the panda in its middle, nobody else placed yet."""
    made = PandaSettings(width=5, height=5, **settings)
    state = np.full(state_columns(made), -1, np.int32)
    cast = make_cast(made)
    state[S_PANDA] = 12
    state[cast.stuns] = 0
    if cast.faces:
        state[cast.facings] = DOWN
    return state, cast, world_grid(made)


def test_of_several_a_throw_hits_the_nearest_and_ties_are_ordered() -> None:
    _, bits = _trees()
    state, cast, grid = _world(max_scorpions=3, max_dragons=2)
    # Numbers in the cast: scorpions 0 to 2, dragons 3 and 4.
    state[cast.cells] = [13, 11, 10, 14, 2]
    assert throw_target(state, bits, cast, grid) == 0  # two scorpions beside it: the first
    state[cast.stuns[0]] = 1
    assert throw_target(state, bits, cast, grid) == 1
    state[cast.stuns[1]] = 1
    # Scorpion 2 and both dragons are two steps away: dragons first, the lower number first.
    assert throw_target(state, bits, cast, grid) == 3
    state[cast.cells[3]] = -1
    assert throw_target(state, bits, cast, grid) == 4
    state[cast.cells[4]] = -1
    assert throw_target(state, bits, cast, grid) == 2
    state[cast.cells[2]] = -1
    assert throw_target(state, bits, cast, grid) == NO_TARGET


def test_the_panda_throws_only_at_what_is_in_its_view() -> None:
    _, bits = _trees()
    state, cast, grid = _world(panda_view_radius=1)
    state[cast.cells] = [14, -1]
    assert throw_target(state, bits, cast, grid) == NO_TARGET
    state[cast.cells] = [13, -1]
    assert throw_target(state, bits, cast, grid) == 0
    state, cast, grid = _world(panda_field_of_view=90)
    state[cast.cells] = [7, 22]  # the scorpion above is nearer, and behind the panda
    assert throw_target(state, bits, cast, grid) == 1
    state[cast.facings[0]] = UP
    assert throw_target(state, bits, cast, grid) == 0
    state[cast.facings[0]] = LEFT
    assert throw_target(state, bits, cast, grid) == NO_TARGET


def test_a_dragon_chases_only_what_is_in_its_view() -> None:
    tree_at, bits = _trees()
    grid = world_grid(PandaSettings(width=5, height=5, dragon_view_radius=3))
    assert _moves(dragon_moves, 10, DOWN, 14, 24, tree_at, bits, grid) == {10: 1.0}  # 4 steps
    assert _moves(dragon_moves, 10, DOWN, 13, 24, tree_at, bits, grid) == {10: 0.5, 11: 0.5}
    grid = world_grid(PandaSettings(width=5, height=5, dragon_field_of_view=90))
    assert _moves(dragon_moves, 10, DOWN, 14, 24, tree_at, bits, grid) == {10: 1.0}
    assert _moves(dragon_moves, 10, RIGHT, 14, 24, tree_at, bits, grid) == {10: 0.5, 11: 0.5}
    assert dragon_step(0.9, 10, RIGHT, 14, 24, tree_at, bits, grid) == 11
    assert dragon_step(0.9, 10, LEFT, 14, 24, tree_at, bits, grid) == 10


def test_a_scorpion_creeps_only_towards_what_is_in_its_view_and_wanders_else() -> None:
    tree_at, _ = _trees(11)
    for limits, facing in (
        ({"scorpion_view_radius": 1}, RIGHT),
        ({"scorpion_field_of_view": 90}, UP),
    ):
        grid = world_grid(PandaSettings(width=5, height=5, **limits))
        # Unaware of the panda two steps to its right it wanders: up or down, the rest is blocked.
        assert _moves(scorpion_moves, 10, facing, 12, 24, tree_at, grid) == {
            10: 0.75,
            5: 0.125,
            15: 0.125,
        }
    grid = world_grid(PandaSettings(width=5, height=5, scorpion_field_of_view=90))
    assert _moves(scorpion_moves, 5, RIGHT, 7, 24, tree_at, grid) == {5: 0.5, 6: 0.5}
    assert scorpion_step(0.5, 5, RIGHT, 7, 24, tree_at, grid) == 6


def test_view_is_sight_and_limits() -> None:
    _, bits = _trees(11)
    grid = world_grid(PandaSettings(width=5, height=5, panda_view_radius=2))
    assert in_view(PANDA, DOWN, 12, 22, bits, grid)
    assert not in_view(PANDA, DOWN, 12, 10, bits, grid)  # a tree
    assert not in_view(PANDA, DOWN, 12, 24, bits, grid)  # too far
    assert looks_at(PANDA, DOWN, 12, 10, grid) and not looks_at(PANDA, DOWN, 12, 24, grid)
    assert in_view(DRAGON, DOWN, 12, 24, bits, grid)

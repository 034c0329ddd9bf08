"""The arrays of many worlds: what follows from the state is kept right."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.pandas.settings import ABSENT, NOBODY, PandasSettings
from maskrl.envs.games.pandas.world import SAVED, derive_all, empty_world, make_facts
from maskrl.geometry import cell_bits


def test_what_is_derived_follows_from_the_state() -> None:
    settings = PandasSettings(pandas=3, width=10, height=8, watermelons=2, max_trees=3)
    world = empty_world(settings, 2)
    world.pandas[:] = [[4, 5, 6], [70, 71, 72]]
    world.rest[:] = [[0, 2, -1], [0, 0, 0]]
    world.melons[:] = [[10, ABSENT], [11, 12]]
    world.tree_cells[:] = [[20, 79, ABSENT], [ABSENT, 64, ABSENT]]
    world.closed[:] = True  # left over from before
    derive_all(world)
    assert np.argwhere(world.tree_at).tolist() == [[0, 20], [0, 79], [1, 64]]
    assert np.argwhere(world.closed).tolist() == [
        [0, 10],
        [0, 20],
        [0, 79],
        [1, 11],
        [1, 12],
        [1, 64],
    ]
    np.testing.assert_array_equal(world.trees, cell_bits(world.tree_at))
    # Panda 2 of the first world is dead: nobody stands where it died.
    assert np.argwhere(world.standing != NOBODY).tolist() == [
        [0, 4],
        [0, 5],
        [1, 70],
        [1, 71],
        [1, 72],
    ]
    assert world.standing[0, 5] == 1 and world.standing[1, 72] == 2


def test_the_state_is_named_before_what_follows_from_it() -> None:
    assert SAVED[-1] == "episodes" and "tree_at" not in SAVED and len(SAVED) == 10


def test_facts_are_those_of_the_settings() -> None:
    facts = make_facts(PandasSettings(pandas=2, view_radius=(2, 7), respawn_steps=4))
    assert facts.radii.tolist() == [2, 7] and facts.respawn_steps == 4 and not facts.sees_all
    facts = make_facts(PandasSettings(form="grid"))
    assert facts.by_cell and facts.sees_all
    facts = make_facts(PandasSettings(reward="team", sight="full"))
    assert facts.respawn_steps == 0 and facts.shares and facts.sees_all and not facts.by_cell

"""Rows of candidates from arrays written by hand; rl4co itself is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.rl4co_entries import find_layout
from maskrl.errors import ConfigError


def tour():
    """Three nodes on a line, at node 1, begun at node 2."""
    return {
        "locs": np.array([[[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]], np.float32),
        "first_node": np.array([2]),
        "current_node": np.array([[1]]),
        "i": np.array([[2]]),
        "action_mask": np.array([[True, False, False]]),
        "done": np.array([[False]]),
    }


def routes():
    """A depot and two customers."""
    return {
        "locs": np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]], np.float32),
        "depot": np.array([[0.0, 0.0]], np.float32),
        "demand": np.array([[0.25, 0.5]], np.float32),
        "current_node": np.array([[0]]),
        "used_capacity": np.array([[0.5]], np.float32),
        "visited": np.array([[0, 0, 1]], np.uint8),
        "action_mask": np.array([[False, True, False]]),
    }


def test_candidates_tell_where_nodes_are_and_how_far():
    layout = find_layout("rl4co:tsp", tour())
    assert layout.form == "candidates" and layout.n_actions == 3
    assert layout.columns == (
        "locs 0", "locs 1", "offset 0", "offset 1", "distance", "current_node", "first_node",
    )  # fmt: skip
    seen = layout.observe(tour())
    expected = [
        [0, 0, -3, -4, 5, 0, 0],
        [3, 4, 0, 0, 0, 1, 0],
        [6, 8, 3, 4, 5, 0, 1],
    ]
    np.testing.assert_array_equal(seen["candidates"][0], expected)
    np.testing.assert_array_equal(seen["action_mask"], [[True, False, False]])
    np.testing.assert_array_equal(seen["observation"], [[2.0]])  # the step alone
    assert seen["candidates"].dtype == np.float32
    for key, entry in layout.space.spaces.items():
        assert entry.contains(seen[key][0]), key


def test_a_depot_has_no_demand_and_the_rest_is_told_once():
    layout = find_layout("rl4co:cvrp", routes())
    seen = layout.observe(routes())
    demand = layout.columns.index("demand")
    np.testing.assert_array_equal(seen["candidates"][0, :, demand], [0, 0.25, 0.5])
    visited = layout.columns.index("visited")
    np.testing.assert_array_equal(seen["candidates"][0, :, visited], [0, 0, 1])
    assert layout.whole == ("depot", "used_capacity")
    np.testing.assert_array_equal(seen["observation"], [[0, 0, 0.5]])


def test_costs_are_told_from_here_and_to_the_first():
    arrays = {
        "cost_matrix": np.arange(9, dtype=np.float32).reshape(1, 3, 3),
        "first_node": np.array([[2]]),
        "current_node": np.array([[1]]),
        "action_mask": np.array([[True, False, True]]),
    }
    layout = find_layout("rl4co:atsp", arrays)
    rows = layout.observe(arrays)["candidates"][0]
    assert layout.columns[:2] == ("cost_matrix from here", "cost_matrix to the first")
    np.testing.assert_array_equal(rows[:, 0], [3, 4, 5])  # row 1
    np.testing.assert_array_equal(rows[:, 1], [2, 5, 8])  # column 2


def test_the_flat_form_has_an_entry_per_array():
    layout = find_layout("rl4co:tsp", tour(), "flat")
    assert set(layout.space.spaces) == {"action_mask", "locs", "first_node", "current_node", "i"}
    assert layout.space["current_node"] == spaces.Discrete(3)
    seen = layout.observe(tour())
    assert seen["current_node"].tolist() == [1] and seen["locs"].shape == (1, 3, 2)
    for key, entry in layout.space.spaces.items():
        assert entry.contains(seen[key][0]), key


def test_arrays_that_are_changed_later_change_nothing():
    arrays = tour()
    for form in ("candidates", "flat"):
        seen = find_layout("rl4co:tsp", arrays, form).observe(arrays)
        before = {key: value.copy() for key, value in seen.items()}
        arrays["action_mask"] ^= True
        arrays["locs"] += 1
        for key, value in seen.items():
            np.testing.assert_array_equal(value, before[key])


def test_wrong_forms_are_refused():
    with pytest.raises(ConfigError, match="form is 'graph'; expected 'candidates'"):
        find_layout("rl4co:tsp", tour(), "graph")
    only = {"time": np.zeros((1, 1)), "action_mask": np.ones((1, 4), np.bool_)}
    assert find_layout("rl4co:x", only).form == "flat"
    with pytest.raises(ConfigError, match="no array tells of single candidates"):
        find_layout("rl4co:x", only, "candidates")

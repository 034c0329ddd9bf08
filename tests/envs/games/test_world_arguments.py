"""What worlds refuse before compiled code runs: arguments, and states that are not theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import FIRST_SEED
from maskrl.envs.games.world_arguments import (
    count_of_worlds,
    layout_list,
    read_only,
    read_saved,
    require_known,
    saved_state,
    whole_seed,
    worlds_to_reset,
)
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError


@pytest.mark.parametrize("given", [0, -3, 2.0, "4", True, None])
def test_a_number_of_worlds_is_positive_and_whole(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"moor: num_envs must be a positive whole number; got"):
        count_of_worlds("moor", given)
    assert count_of_worlds("moor", np.int32(4)) == 4


@pytest.mark.parametrize("given", [-1, 0.5, "1", False, None])
def test_a_seed_is_whole_and_not_negative(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"moor: seed must be a whole number from 0 on; got"):
        whole_seed("moor", given)
    assert whole_seed("moor", np.uint8(0)) == 0


def test_an_unknown_setting_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="moor: unknown setting 'size'; the settings are width"):
        require_known("moor", {"width": 0, "height": 0}, {"width": 3, "size": 2})
    require_known("moor", {"width": 0}, {"width": 3})


@pytest.mark.parametrize(
    "given", [[0.5], [[1, 2]], [-1], [2**63], ["a"], np.array([True]), np.array(3.0), True]
)
def test_layouts_are_a_list_of_whole_numbers(given: Any) -> None:
    with pytest.raises(ConfigError, match="moor: layout_seeds must be a list of whole numbers"):
        layout_list("moor", given, "test")


def test_layouts_may_be_a_list_a_number_or_left_to_chance() -> None:
    assert layout_list("moor", [7, 5], "test").tolist() == [7, 5]
    first = FIRST_SEED["test"]
    assert layout_list("moor", 3, "test").tolist() == [first, first + 1, first + 2]
    for nothing in (None, []):
        listed = layout_list("moor", nothing, "train")
        assert listed.shape == (0,)
        assert listed.dtype == np.int64
    with pytest.raises(ConfigError, match="split_seeds: count and start"):
        layout_list("moor", 0, "test")


def test_a_reset_begins_all_worlds_or_those_that_are_said() -> None:
    for options in (None, {}, {"layout_seeds": [1]}):
        assert worlds_to_reset("moor", options, 3, begun=False) == [0, 1, 2]
    some = {"reset_mask": np.array([False, True, True])}
    assert worlds_to_reset("moor", some, 3, begun=True) == [1, 2]
    with pytest.raises(ConfigError, match="moor: the first reset begins every world"):
        worlds_to_reset("moor", some, 3, begun=False)
    assert worlds_to_reset("moor", {"reset_mask": np.ones(3, bool)}, 3, begun=False) == [0, 1, 2]
    with pytest.raises(MaskShapeError, match="moor: reset"):
        worlds_to_reset("moor", some, 4, begun=True)
    with pytest.raises(MaskDtypeError, match="moor: reset"):
        worlds_to_reset("moor", {"reset_mask": np.array([0, 1, 1])}, 3, begun=True)


def test_a_read_only_view_shows_what_is_written_and_takes_nothing() -> None:
    array = np.zeros(2)
    view = read_only(array)
    array[1] = 5
    assert view.tolist() == [0, 5]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    array[0] = 2  # the array itself may still be written to


def _arrays() -> dict[str, np.ndarray]:
    return {"cells": np.arange(6).reshape(2, 3), "burning": np.array([True, False])}


def test_a_saved_state_is_a_copy_and_is_read_back() -> None:
    arrays = _arrays()
    saved = saved_state(arrays, np.array([4, 9]), 3, 2)
    arrays["cells"][0, 0] = 100
    found = read_saved("moor", saved, arrays, 2)
    np.testing.assert_array_equal(found["cells"], _arrays()["cells"])
    np.testing.assert_array_equal(found["burning"], [True, False])
    assert (saved["layout_list"].tolist(), saved["illegal_actions"]) == ([4, 9], 3)


@pytest.mark.parametrize(
    "left_out", ["cells", "burning", "layout_list", "illegal_actions", "rules_version"]
)
def test_a_saved_state_is_whole(left_out: str) -> None:
    saved = saved_state(_arrays(), np.zeros(0, np.int64), 0, 2)
    del saved[left_out]
    with pytest.raises(ConfigError, match=f"moor: the saved state has no entry '{left_out}'"):
        read_saved("moor", saved, _arrays(), 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rules_version": 1}, "rules version 1, this is version 2: start the run anew"),
        ({"cells": np.zeros((3, 3), np.int64)}, r"saved cells has shape \(3, 3\).*\(2, 3\)"),
        ({"cells": np.full((2, 3), np.nan)}, "saved cells is damaged: it has dtype float64"),
    ],
)
def test_a_state_of_another_world_is_refused(change: dict[str, Any], said: str) -> None:
    saved = saved_state(_arrays(), np.zeros(0, np.int64), 0, 2) | change
    with pytest.raises(ConfigError, match=f"moor: the .*{said}"):
        read_saved("moor", saved, _arrays(), 2)

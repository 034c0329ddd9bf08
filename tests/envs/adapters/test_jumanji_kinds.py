"""Kinds of masks, told apart by shapes and names; Jumanji itself is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.jumanji_kinds import KNOWN, find_layout
from maskrl.errors import ConfigError, MaskShapeError


def test_a_flat_mask_has_an_entry_per_action():
    layout = find_layout("jumanji:Snake-v1", (4,), np.array(4))
    assert (layout.kind, layout.nvec, layout.width) == ("flat", (4,), 4)
    assert layout.action_space == spaces.Discrete(4) and layout.action_names() is None


def test_a_joint_mask_becomes_one_head_in_row_major_order():
    layout = find_layout("jumanji:BinPack-v2", (2, 3), [2, 3])
    assert (layout.kind, layout.nvec, layout.width) == ("joint", (6,), 6)
    assert layout.action_space == spaces.Discrete(6)
    assert layout.action_names() == ("0,0", "0,1", "0,2", "1,0", "1,1", "1,2")


def test_a_mask_of_rows_becomes_a_head_per_row():
    layout = find_layout("jumanji:Cleaner-v0", (3, 4), [4, 4, 4])
    assert (layout.kind, layout.nvec, layout.width) == ("rows", (4, 4, 4), 12)
    assert layout.action_space == spaces.MultiDiscrete([4, 4, 4])


def test_the_same_shapes_mean_what_the_environment_s_name_says():
    assert find_layout("jumanji:Minesweeper-v0", (2, 2), [2, 2]).kind == "joint"
    assert find_layout("jumanji:LevelBasedForaging-v0", (2, 2), [2, 2]).kind == "rows"


def test_an_unknown_environment_with_two_readings_must_be_told():
    with pytest.raises(ConfigError, match="mask_kind=joint .*mask_kind=rows"):
        find_layout("jumanji:mine:Env", (2, 2), [2, 2])
    assert find_layout("jumanji:mine:Env", (2, 2), [2, 2], "rows").kind == "rows"
    assert find_layout("jumanji:mine:Env", (2, 2), [2, 2], "joint").kind == "joint"
    assert find_layout("jumanji:mine:Env", (3, 5), [5, 5, 5]).kind == "rows"  # fits one only


@pytest.mark.parametrize(
    ("shape", "sizes", "given", "message"),
    [
        ((5,), 4, None, r"shape \(5,\) and an action has 4 choices; no kind of mask fits"),
        ((4, 1), 4, None, "no kind of mask fits"),
        ((2, 3), [3, 2], None, "no kind of mask fits"),
        ((3, 4), [4, 4, 4], "joint", "mask_kind is 'joint'.* It fits as rows"),
        ((2, 3), [2, 3], "flat", "It fits as joint"),
    ],
)
def test_masks_that_do_not_fit_are_refused(shape, sizes, given, message):
    with pytest.raises(MaskShapeError, match=message):
        find_layout("jumanji:X-v0", shape, sizes, given)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="mask_kind is 'pairs'; expected one of flat"):
        find_layout("jumanji:X-v0", (4,), 4, "pairs")
    assert set(KNOWN.values()) == {"flat", "joint", "rows"}

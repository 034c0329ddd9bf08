"""Foreign forms of an action mask: which are understood, which are pointed out."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters import raw_mask
from maskrl.errors import ConfigError, MaskShapeError


def test_heads_of_action_spaces():
    assert raw_mask.action_heads(spaces.Discrete(6), "x") == (6,)
    assert raw_mask.action_heads(spaces.MultiDiscrete([2, 3]), "x") == (2, 3)
    assert raw_mask.action_heads(spaces.MultiBinary(2), "x") == (2, 2)
    with pytest.raises(ConfigError, match="'x'.*takes no action mask"):
        raw_mask.action_heads(spaces.Box(-1, 1, (2,)), "x")


def test_a_start_is_taken_off():
    assert raw_mask.first_action(spaces.Discrete(6, start=2)) == 2
    assert raw_mask.from_zero(spaces.Discrete(6, start=2)) == spaces.Discrete(6)
    shifted = spaces.MultiDiscrete([2, 3], start=[5, 6])
    assert raw_mask.first_action(shifted).tolist() == [5, 6]
    assert raw_mask.from_zero(shifted) == spaces.MultiDiscrete([2, 3])
    assert raw_mask.first_action(spaces.MultiBinary(2)) == 0


def test_flat_rows_pass_untouched():
    row = np.array([1, 0, 1], dtype=np.int8)
    assert raw_mask.flat_row(row, (3,)) is row
    assert raw_mask.flat_row(row, (1, 2)) is row


def test_rows_of_heads_are_joined():
    assert raw_mask.flat_row(([1, 0], [0, 1, 1]), (2, 3)) == [1, 0, 0, 1, 1]
    rows = np.array([[1, 0], [0, 1]])
    assert raw_mask.flat_row(rows, (2, 2)) == [1, 0, 0, 1]


def test_a_mapping_goes_by_the_actions_number():
    assert raw_mask.flat_row({2: 1, 0: 0, 1: 1}, (3,)) == [0, 1, 1]
    assert raw_mask.flat_row({np.int64(0): True}, (1,)) == [True]
    for wrong in ({0: 1}, {0: 1, 1: 1, 7: 1}, {"a": 1, "b": 1, "c": 0}):
        with pytest.raises(MaskShapeError, match="0 to 2 once"):
            raw_mask.flat_row(wrong, (3,))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ([3, 1], "list of allowed action ids"),
        (np.array([0, 1]), "list of allowed action ids"),
        (np.ones((2, 2)), "flatten it"),
        ([1, 1], "one entry per action"),
        ([4, 1], "one entry per action"),
        ([[1], [1, 0]], ""),
        ([True, False], "one entry per action"),
        (1, ""),
        ({0: 1}, ""),
    ],
)
def test_hints(raw, says):
    hint = raw_mask.shape_hint(raw, 4)
    assert says in hint and bool(says) == bool(hint)

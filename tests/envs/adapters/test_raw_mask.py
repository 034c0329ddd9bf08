"""Foreign forms of an action mask: which are understood, which are pointed out."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters import raw_mask
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError


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


def test_heads_come_in_one_row_and_go_back_in_the_shape_of_the_space():
    grid = spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 1], [0, 0]])
    assert raw_mask.from_zero(grid) == spaces.MultiDiscrete([2, 3, 4, 5])
    given = raw_mask.to_space([1, 2, 3, 4], grid)
    assert given.tolist() == [[2, 3], [3, 4]] and grid.contains(given)
    bits = spaces.MultiBinary((2, 2))
    assert raw_mask.from_zero(bits) == spaces.MultiBinary(4)
    given = raw_mask.to_space(np.array([1, 0, 0, 1]), bits)
    assert given.tolist() == [[1, 0], [0, 1]] and bits.contains(given) and given.dtype == np.int8
    action = raw_mask.to_space(np.int64(1), spaces.Discrete(3, start=4))
    assert action == 5 and type(action) is int


def test_what_is_handed_to_the_environment_is_a_copy():
    action = np.array([1, 0])
    raw_mask.to_space(action, spaces.MultiDiscrete([2, 2]))[:] = 7
    assert action.tolist() == [1, 0]


def test_flat_rows_pass_untouched():
    row = np.array([1, 0, 1], dtype=np.int8)
    assert raw_mask.flat_row(row, (3,)) is row
    assert raw_mask.flat_row(row, (1, 2)) is row


def test_rows_of_heads_are_joined():
    assert raw_mask.flat_row(([1, 0], [0, 1, 1]), (2, 3)) == [1, 0, 0, 1, 1]
    rows = np.array([[1, 0], [0, 1]])
    assert raw_mask.flat_row(rows, (2, 2)) == [1, 0, 0, 1]


def test_rows_of_heads_lie_in_the_shape_of_the_space():
    rows = (([1, 0], [0, 1, 1]), ([1], [0, 0]))
    assert raw_mask.flat_row(rows, (2, 3, 1, 2), (2, 2)) == [1, 0, 0, 1, 1, 1, 0, 0]
    assert raw_mask.flat_row(([1, 0, 1],), (3,), (1,)) == [1, 0, 1]
    assert raw_mask.flat_row([1, 0, 1], (3,), (1,)) == [1, 0, 1]
    assert raw_mask.flat_row(rows, (2, 3, 1, 2), (4,)) is rows


def test_gymnasiums_numbers_become_pairs():
    assert raw_mask.gymnasium_pairs([0, 1, 2], (3,)).tolist() == [1, 0, 0, 1, 1, 1]
    assert raw_mask.gymnasium_pairs([[0, 1]], (1, 2)).tolist() == [1, 0, 0, 1]
    assert raw_mask.gymnasium_pairs([0, 1], (1, 2)).tolist() == [1, 0, 0, 1]
    with pytest.raises(MaskShapeError, match=r"shape \(2,\), expected \(3,\): 0, 1 or 2 for each"):
        raw_mask.gymnasium_pairs([0, 1], (3,))
    with pytest.raises(MaskDtypeError, match=r"holds 3 at index \(1,\)"):
        raw_mask.gymnasium_pairs([0, 3], (2,))


@pytest.mark.parametrize(
    ("convention", "space", "allowed", "says"),
    [
        ("012", spaces.MultiBinary(2), 1, "'pairs'.*or 'gymnasium'.*got '012'"),
        ("gymnasium", spaces.Discrete(2), 1, r"about masks of MultiBinary.*Discrete\(2\)"),
        ("gymnasium", spaces.MultiBinary(2), 0, "mask_allowed=0 has no meaning"),
    ],
)
def test_conventions_that_cannot_be(convention, space, allowed, says):
    with pytest.raises(ConfigError, match=says):
        raw_mask.check_convention(convention, space, allowed)
    raw_mask.check_convention("pairs", space, allowed)


@pytest.mark.parametrize("raw", [[0, 1, 1], np.array([0, 1, 2]), np.array([True, False, True])])
def test_one_number_per_bit_is_explained(raw):
    hint = raw_mask.binary_hint(raw, spaces.MultiBinary(3))
    assert "binary_convention='gymnasium'" in hint and "np.ones_like(m)" in hint
    assert not raw_mask.binary_hint(raw, spaces.MultiBinary(4))
    assert not raw_mask.binary_hint(raw, spaces.MultiDiscrete([2, 2, 2]))


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

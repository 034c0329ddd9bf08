"""Flags or ids: read off what cannot mean anything else, refused where it can."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.mask_form import dtype_of, form_of, ids_row, reading_of
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError

FOUR = spaces.Discrete(4)


@pytest.mark.parametrize(
    ("name", "promises"),
    [
        ("action_mask", "flags"),
        ("get_legal_actions_mask", "flags"),
        ("legal_actions", "ids"),
        ("getLegalMoves", "ids"),
        ("get_avail_actions", "ids"),
        ("validChoices", "ids"),
        ("options", "unsaid"),
        ("<lambda>", "unsaid"),
    ],
)
def test_what_names_promise(name, promises):
    assert reading_of(name) == promises


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ([3, 0], "ids"),
        ((2,), "ids"),
        (np.array([0, 1, 3]), "ids"),
        ([0, 1], "ids"),
        ([0, 1, 2, 3], "ids"),
        ({1, 0}, "ids"),
        (frozenset(), "ids"),
        (range(2), "ids"),
        ({0: "a"}.keys(), "ids"),
        ([], "ids"),
        ([1, 0, 0, 1], "mask"),
        ([1, 1, 1, 1], "mask"),
        ([True, False, False, True], "mask"),
        (np.ones(4, np.float32), "mask"),
        (np.zeros(4, np.int64), "mask"),
        ([True, False], "mask"),
        ([0, 7], "mask"),
        ([1, 0, 1], "mask"),
        (np.array([1, 0, 0, 1], object), "mask"),
        (np.array([3, 1], object), "ids"),
        ([[1, 0], [1]], "mask"),
        ({0: 1}, "dict"),
        (None, "none_all"),
    ],
)
def test_forms_under_a_name_that_promises_ids(raw, form):
    assert form_of(raw, FOUR, "legal_actions") == form


def test_an_iterator_is_not_consumed():
    moves = iter([3, 1])
    assert form_of(moves, FOUR, "legal_moves") == "ids"
    assert ids_row(moves, FOUR).tolist() == [False, True, False, True]


def test_a_name_that_promises_flags_is_believed():
    for raw in ([3, 0], {1}, [0, 1], []):
        assert form_of(raw, FOUR, "action_mask") == "mask"


def test_what_can_be_both_is_refused_with_the_setting_that_decides():
    two = spaces.Discrete(2)
    with pytest.raises(ConfigError, match=r"\[0, 1\].*flag for each of the 2.*mask_form='ids'"):
        form_of([0, 1], two, "legal_actions")
    with pytest.raises(ConfigError, match=r"flags for too few of the 4.*mask_form='mask'"):
        form_of([1, 0], FOUR, "options")
    assert form_of([1, 1], two, "legal_actions") == "mask"
    assert form_of([1], two, "legal_actions") == "ids"
    assert form_of([0, 1], two, "blocked") == "mask", "as long as a mask, and not called ids"
    assert form_of([0], spaces.Discrete(1), "legal_actions") == "ids"


def test_a_start_tells_ids_from_flags():
    shifted = spaces.Discrete(2, start=5)
    assert form_of([0, 1], shifted, "legal_actions") == "mask"
    assert form_of([6], shifted, "legal_actions") == "ids"


def test_actions_with_several_parts_have_flags_unless_said_otherwise():
    assert form_of([[0], [2]], spaces.MultiDiscrete([2, 3]), "legal_actions") == "mask"
    assert form_of([3, 0], spaces.MultiBinary(4), "legal_actions") == "mask"


@pytest.mark.parametrize(
    "raw",
    [[3, 0], (3, 0), {0, 3}, np.array([3, 0], np.int16), [np.int64(3), np.array(0)], [3, 0, 3]],
)
def test_ids_become_flags(raw):
    assert ids_row(raw, FOUR).tolist() == [True, False, False, True]


def test_no_ids_allow_nothing():
    assert not ids_row([], FOUR).any() and ids_row(range(0), FOUR).shape == (4,)


def test_ids_are_numbered_as_the_space_numbers_them():
    assert ids_row([7, 5], spaces.Discrete(3, start=5)).tolist() == [True, False, True]
    with pytest.raises(MaskShapeError, match="id 0 at index 1.*from 5 to 7"):
        ids_row([6, 0], spaces.Discrete(3, start=5))


def test_one_list_of_ids_for_each_part():
    space = spaces.MultiDiscrete([2, 3], start=[0, 1])
    assert ids_row([[1], (3, 1)], space).tolist() == [False, True, True, False, True]
    for wrong in ([[0]], [0, 1], [(0, 1), (1, 2), (0, 2)], 3):
        with pytest.raises(MaskShapeError, match=r"one list of ids.*chosen apart"):
            ids_row(wrong, space)


@pytest.mark.parametrize(
    ("raw", "kind", "says"),
    [
        ([4], MaskShapeError, "id 4 at index 0.*from 0 to 3"),
        ([0, -1], MaskShapeError, "id -1 at index 1.*If it pads the list"),
        ([0.0, 3.0], MaskDtypeError, "got 0.0 at index 0"),
        (["left"], MaskDtypeError, "got 'left' at index 0"),
        ([True, False], MaskDtypeError, "this is a flag. Say so with mask_form='mask'"),
        ([1, 1, 0, 1], MaskDtypeError, "looks like one flag for each of the 4"),
        (3, MaskShapeError, "in a list, got 3"),
        (np.array([[0, 1]]), MaskShapeError, "in a list"),
        ("03", MaskShapeError, "in a list, got '03'"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(raw, kind, says):
    with pytest.raises(kind, match=says):
        ids_row(raw, FOUR)


def test_ids_of_bits_are_refused():
    with pytest.raises(MaskShapeError, match="takes flags"):
        ids_row([0], spaces.MultiBinary(2))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (np.zeros(2, np.int8), "int8"),
        ([1, 0], "list of int"),
        ((True, False), "tuple of bool"),
        ({3}, "set of int"),
        ({0: 1.0}, "dict of float"),
        ([], "list of nothing"),
        (([1, 0], [1]), "tuple of list of int"),
        (np.array([True], object), "object"),
        (range(3), "range"),
        (None, "None"),
    ],
)
def test_types_in_words(raw, says):
    assert dtype_of(raw) == says

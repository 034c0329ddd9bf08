"""Gymnasium's 0/1/2 masks as pairs, on the numpy and the torch side."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks import as_binary_mask, as_binary_mask_array

PAIRS = [[True, False], [False, True], [True, True]]
FORMS = {
    "list": [0, 1, 2],
    "tuple": (0, 1, 2),
    "int8": np.array([0, 1, 2], np.int8),
    "float": np.array([0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_number_becomes_what_the_bit_may_be(form: str) -> None:
    array = as_binary_mask_array(FORMS[form])
    assert array.dtype == np.bool_
    assert array.tolist() == PAIRS
    assert as_binary_mask(FORMS[form]).tolist() == PAIRS


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float16])
def test_tensors_of_any_number_type(dtype: torch.dtype) -> None:
    given = torch.tensor([[0, 1, 2]], dtype=dtype)
    mask = as_binary_mask(given)
    assert mask.dtype is torch.bool
    assert mask.tolist() == [PAIRS]


def test_what_gymnasium_samples_under_the_mask_is_what_the_pairs_allow() -> None:
    space = gymnasium.spaces.MultiBinary(40, seed=0)
    mask = np.random.default_rng(0).integers(0, 3, 40).astype(np.int8)
    seen = np.stack([space.sample(mask) for _ in range(60)])
    pairs = as_binary_mask_array(mask)
    assert ((seen == 0).any(axis=0) == pairs[:, 0]).all()
    assert ((seen == 1).any(axis=0) == pairs[:, 1]).all()


def test_leading_dimensions_and_none() -> None:
    assert as_binary_mask_array(np.zeros((4, 0))).shape == (4, 0, 2)
    assert as_binary_mask(torch.zeros(2, 3, 5)).shape == (2, 3, 5, 2)


@pytest.mark.parametrize("value", [3, -1, 0.5, np.nan, np.inf])
def test_other_values_are_named_with_their_index(value: float) -> None:
    rows = np.array([[0.0, 1.0], [2.0, value]])
    message = rf"holds {value:g} at index \(1, 1\); expected only 0 \(must be 0\), 1"
    with pytest.raises(MaskDtypeError, match=message):
        as_binary_mask_array(rows)
    with pytest.raises(MaskDtypeError, match="^as_binary_mask: x " + message):
        as_binary_mask(torch.from_numpy(rows))


def test_booleans_are_refused_because_they_cannot_say_free() -> None:
    for convert, given in (
        (as_binary_mask_array, np.array([True, False])),
        (as_binary_mask_array, [True, False]),
        (as_binary_mask, torch.tensor([True])),
    ):
        with pytest.raises(MaskDtypeError, match="Booleans cannot say that a bit is free"):
            convert(given)


def test_what_is_no_row_of_numbers_is_refused() -> None:
    with pytest.raises(MaskDtypeError, match="is None"):
        as_binary_mask_array(None)
    with pytest.raises(MaskDtypeError, match="dtype <U1"):
        as_binary_mask_array(["0"])
    with pytest.raises(MaskDtypeError, match="complex64"):
        as_binary_mask(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(MaskShapeError, match="uneven lengths"):
        as_binary_mask_array([[0], [1, 2]])
    with pytest.raises(MaskShapeError, match="is the number 1"):
        as_binary_mask_array(1)
    with pytest.raises(MaskShapeError, match="is the number 2"):
        as_binary_mask(torch.tensor(2))

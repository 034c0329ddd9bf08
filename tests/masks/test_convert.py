"""`as_mask`: conversion to `torch.bool` from anything whose values are 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import maskrl.masks
from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks import as_mask, pack_mask

EXPECTED = torch.tensor([[True, False], [False, True]])


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.int8,
        torch.uint8,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float64,
    ],
)
def test_tensors_of_any_dtype_convert(dtype):
    x = EXPECTED.to(dtype)
    assert torch.equal(as_mask(x), EXPECTED)
    assert torch.equal(as_mask(x, allowed=0), ~EXPECTED)
    assert as_mask(x).dtype == torch.bool


@pytest.mark.parametrize("x", [[[1, 0], [0, 1]], np.eye(2, dtype=np.int8), pack_mask(EXPECTED)])
def test_lists_arrays_and_bits_convert(x):
    assert torch.equal(as_mask(x), EXPECTED)
    assert torch.equal(as_mask(x, allowed=0), ~EXPECTED)


def test_the_result_is_a_copy():
    m, array = EXPECTED.clone(), np.array([True, False])
    as_mask(m).fill_(False)
    as_mask(array).fill_(False)
    assert torch.equal(m, EXPECTED)
    assert array[0]


def test_a_mask_carries_no_gradient():
    assert not as_mask(torch.tensor([1.0, 0.0], requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.tensor([[0, 1], [1, 2]]), ["holds 2 at index (1, 1)"]),
        (torch.tensor([0.0, float("-inf")]), ["-inf at index (1,)", "additive"]),
        (torch.tensor([float("nan")]), ["nan at index (0,)"]),
        (torch.tensor([1, -1], dtype=torch.int8), ["-1 at index (1,)"]),
        (torch.tensor([1j]), ["complex64"]),
        (None, ["is None"]),
        ([1, 3], ["holds 3 at index (1,)"]),
    ],
)
def test_other_values_are_refused_by_name(x, words):
    with pytest.raises(MaskDtypeError) as caught:
        as_mask(x)
    for word in words:
        assert word in str(caught.value)


def test_ragged_lists_and_other_polarities_are_refused():
    with pytest.raises(MaskShapeError):
        as_mask([[1], [1, 0]])
    with pytest.raises(MaskDtypeError, match="allowed is 3"):
        as_mask([1, 0], allowed=3)


def test_the_package_offers_both_sides():
    for name in maskrl.masks.__all__:
        assert callable(getattr(maskrl.masks, name))
        assert name in dir(maskrl.masks)
    with pytest.raises(AttributeError, match="no attribute 'as_masks'"):
        maskrl.masks.as_masks  # noqa: B018 - the look-up is what is tested

"""Numpy masks: what converts, what is refused and in which words, and bits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks import as_mask_array, check_mask_array, pack_bits, unpack_bits

EXPECTED = np.array([True, False, True])


@pytest.mark.parametrize(
    "x",
    [
        [1, 0, 1],
        (1.0, 0.0, 1.0),
        [True, False, True],
        np.array([1, 0, 1], dtype=np.int8),
        np.array([1, 0, 1], dtype=np.uint8),
        np.array([1, 0, 1], dtype=np.float32),
        np.array([1, 0, 1], dtype=np.uint64),
    ],
)
def test_zeros_and_ones_of_any_kind_convert(x):
    m = as_mask_array(x)
    assert m.dtype == np.bool_
    np.testing.assert_array_equal(m, EXPECTED)
    np.testing.assert_array_equal(as_mask_array(x, allowed=0), ~EXPECTED)


def test_scalars_and_empty_arrays_keep_their_shape():
    assert as_mask_array(1).shape == ()
    assert as_mask_array(0.0) == np.False_
    assert as_mask_array(np.zeros((0, 4))).shape == (0, 4)


def test_the_result_is_a_copy():
    m = np.array([True, False])
    as_mask_array(m)[:] = False
    np.testing.assert_array_equal(m, [True, False])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([1, 0, 2], ["holds 2 at index (2,)", "only 0 and 1", "x > 0"]),
        ([[1, 0], [1, 4]], ["holds 4 at index (1, 1)"]),
        ([0, -1], ["holds -1 at index (1,)", "x != -1"]),
        ([0.5, 1.0], ["holds 0.5 at index (0,)", "probabilities"]),
        ([0.0, -np.inf], ["holds -inf at index (1,)", "additive", "x == 0"]),
        ([np.nan, 1.0], ["holds nan at index (0,)"]),
        (None, ["is None", "Leave the mask out"]),
        (["a", "b"], ["dtype <U1"]),
        ([None, True], ["dtype object"]),
        (np.array([1 + 0j]), ["dtype complex128"]),
    ],
)
def test_other_values_are_refused_by_name(x, words):
    with pytest.raises(MaskDtypeError) as caught:
        as_mask_array(x, name="moves")
    for word in [*words, "as_mask_array", "moves"]:
        assert word in str(caught.value)


def test_ragged_lists_are_refused():
    with pytest.raises(MaskShapeError, match="uneven lengths"):
        as_mask_array([[1, 0], [1]])


@pytest.mark.parametrize(
    "tensor", [torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16)]
)
def test_tensors_that_numpy_cannot_read_are_refused(tensor):
    with pytest.raises(MaskDtypeError, match=r"mine is a Tensor of .* `x.bool\(\).cpu\(\)"):
        as_mask_array(tensor, name="mine")


@pytest.mark.parametrize("allowed", [2, -1, "1", None])
def test_allowed_is_zero_or_one(allowed):
    with pytest.raises(MaskDtypeError, match="expected 1 .* or 0"):
        as_mask_array([1, 0], allowed=allowed)


def test_check_returns_the_array_itself():
    m = np.ones((2, 3), dtype=np.bool_)
    assert check_mask_array(m, (2, 3), name="action_mask", operation="step") is m


@pytest.mark.parametrize(
    ("m", "error", "words"),
    [
        (np.ones((2, 3), dtype=np.int8), MaskDtypeError, ["dtype int8", "as_mask_array"]),
        ([True], MaskDtypeError, ["type list"]),
        (np.ones((3, 2), dtype=np.bool_), MaskShapeError, ["(3, 2)", "(2, 3)"]),
    ],
)
def test_check_says_what_does_not_fit(m, error, words):
    with pytest.raises(error) as caught:
        check_mask_array(m, (2, 3), name="action_mask", operation="step")
    for word in [*words, "step", "action_mask"]:
        assert word in str(caught.value)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=19)))
def test_bits_return_what_was_packed(m):
    bits = pack_bits(m)
    assert bits.shape == (*m.shape[:-1], -(-m.shape[-1] // 8))
    unpacked = unpack_bits(bits, m.shape[-1])
    assert unpacked.dtype == np.bool_
    np.testing.assert_array_equal(unpacked, m)


def test_the_lowest_bit_comes_first():
    m = np.array([1, 0, 1, 0, 0, 0, 0, 0, 1], dtype=np.bool_)
    np.testing.assert_array_equal(pack_bits(m), [5, 1])  # 1 + 4, then 1


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_inverting_twice_changes_nothing(values):
    np.testing.assert_array_equal(
        as_mask_array(as_mask_array(values, allowed=0), allowed=0), values
    )


def test_the_numpy_side_loads_no_torch():
    program = (
        "import sys, maskrl.masks as m; m.as_mask_array([1]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

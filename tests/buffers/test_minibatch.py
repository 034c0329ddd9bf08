"""Minibatches: what was written, copied once; bits stay bits; memory is used again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers import MinibatchReader, RolloutBuffer
from maskrl.masks.packed import PackedMask

T, B, A = 4, 3, 11
CPU = torch.device("cpu")
SPACE = spaces.Dict(
    {
        "vector": spaces.Box(-1, 1, (2, 2), np.float32),
        "picture": spaces.Box(0, 255, (3, 3, 1), np.uint8),
        "action_mask": spaces.Box(0, 1, (A,), np.bool_),
        "entity_mask": spaces.Box(0, 1, (5,), np.bool_),
    }
)


@pytest.fixture
def buffer():
    rng = np.random.default_rng(0)
    buffer = RolloutBuffer(SPACE, B, T)
    for t in range(T + 1):
        masks = {
            key: rng.random((B, n)) < 0.5 for key, n in (("action_mask", A), ("entity_mask", 5))
        }
        features = {
            "vector": rng.normal(size=(B, 2, 2)).astype(np.float32),
            "picture": rng.integers(0, 255, (B, 3, 3, 1)).astype(np.uint8),
        }
        buffer.write_observation(t, {**features, **masks})
    buffer.actions[...] = rng.integers(0, A, (T, B))
    for array in (buffer.log_probs, buffer.values, buffer.advantages, buffer.returns):
        array[...] = rng.normal(size=array.shape)
    return buffer


def equal(one, other):
    pairs = [(getattr(one, k), getattr(other, k)) for k in one.__slots__ if k != "observations"]
    pairs += [(one.observations[k], other.observations[k]) for k in one.observations]
    plain = [[x.unpack() if isinstance(x, PackedMask) else x for x in pair] for pair in pairs]
    return all(a is b or torch.equal(a, b) for a, b in plain)


def test_packed_masks_are_the_bits_of_the_others(buffer):
    index = np.array([0, 11, 5, 5])
    packed = MinibatchReader(buffer, CPU, packed=("action_mask", "not there"))(index)
    plain = buffer.minibatch(index, CPU)
    mask = packed.observations["action_mask"]
    assert isinstance(mask, PackedMask)
    assert mask.shape == (4, A)
    assert packed.observations["entity_mask"].dtype == torch.bool
    assert equal(packed, plain)


def test_memory_is_used_again_only_if_so_ordered(buffer):
    for reuse in (True, False):
        read = MinibatchReader(buffer, CPU, reuse=reuse)
        first = read(np.array([1, 2]))
        place = first.values.data_ptr()
        second = read(np.array([7, 0]))
        assert (second.values.data_ptr() == place) is reuse
        assert equal(second, buffer.minibatch(np.array([7, 0]), CPU))
        three = read(np.array([3, 4, 5]))
        assert equal(three, buffer.minibatch(np.array([3, 4, 5]), CPU))
        assert equal(first, buffer.minibatch(np.array([1, 2]), CPU)) is not reuse


def test_rows_are_kept_where_somebody_decided(buffer):
    assert MinibatchReader(buffer, CPU)(np.arange(3)).keep is None
    buffer.idle[1, 2] = True
    assert MinibatchReader(buffer, CPU)(np.array([5, 4])).keep.tolist() == [False, True]


@pytest.mark.parametrize("wrong", [-1, T * B])
def test_places_that_are_not_there_are_refused(buffer, wrong):
    with pytest.raises(IndexError, match=r"positions .* not all among the 12 rows"):
        MinibatchReader(buffer, CPU)(np.array([0, wrong]))


@pytest.mark.parametrize(
    "wrong", [np.array([True, False]), np.array([0.7, 2.0]), np.array([[0, 1]]), np.array(1)]
)
def test_what_is_no_list_of_positions_is_refused(buffer, wrong):
    with pytest.raises(IndexError, match=r"expected whole numbers \[M\]"):
        MinibatchReader(buffer, CPU)(wrong)


def test_no_rows(buffer):
    batch = MinibatchReader(buffer, CPU, packed=("action_mask",), reuse=True)(np.arange(0))
    assert batch.values.shape == (0,)
    assert batch.observations["action_mask"].shape == (0, A)


def test_a_copy_has_memory_of_its_own(buffer):
    read = MinibatchReader(buffer, CPU, reuse=True)
    first = read(np.array([1, 2]))
    kept = first.values.clone()
    other = copy.deepcopy(read)(np.array([7, 0]))
    assert torch.equal(first.values, kept)
    assert equal(other, buffer.minibatch(np.array([7, 0]), CPU))


def test_arrays_that_are_parts_of_larger_ones(buffer):
    larger = np.zeros((T, B, 2), np.float32)
    larger[..., 0] = buffer.values
    buffer.values = larger[..., 0]
    read = MinibatchReader(buffer, CPU)(np.arange(T * B))
    np.testing.assert_array_equal(read.values, buffer.values.reshape(-1))

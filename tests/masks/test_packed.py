"""`PackedMask`: what goes in comes out, whole or row by row, in an eighth of the bytes."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks import PackedMask, as_mask, pack_mask


def random_mask(*shape):
    return torch.rand(shape) > 0.5


@given(st.lists(st.integers(0, 4), max_size=3), st.integers(0, 33))
def test_packing_and_unpacking_is_the_identity(leading, n):
    m = random_mask(*leading, n)
    packed = pack_mask(m)
    assert (packed.n, packed.shape) == (n, tuple(m.shape))
    assert packed.bits.dtype == torch.uint8
    assert torch.equal(packed.unpack(), m)
    assert packed.unpack().dtype == torch.bool
    np.testing.assert_array_equal(packed.numpy(), m.numpy())


@pytest.mark.parametrize(
    "change", [lambda m: m.mT, lambda m: m[..., ::2], lambda m: m.expand(3, 5, 9)]
)
def test_any_memory_layout_packs(change):
    m = change(random_mask(5, 9))
    assert torch.equal(pack_mask(m).unpack(), m)


INDICES = [
    2,
    -1,
    slice(1, 3),
    (2, 1),
    (slice(None), 0),
    Ellipsis,
    (Ellipsis, 1),
    (1, Ellipsis),
    (),
    None,
    torch.tensor([3, 0, 0]),
    [3, 1],
    np.array([True, False, True, True]),
    torch.tensor([True, False, True, True]),
    (torch.tensor([0, 1]), torch.tensor([2, 2])),
    torch.tensor([[True, False, True]] * 4),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_commutes_with_unpacking(index):
    m = random_mask(4, 3, 11)
    picked = pack_mask(m)[index]
    # The last dimension is out of reach, so an ellipsis stands for leading ones.
    items = index if isinstance(index, tuple) else (index,)
    expected = m[(*items, slice(None))] if any(i is Ellipsis for i in items) else m[index]
    assert picked.shape == tuple(expected.shape)
    assert torch.equal(picked.unpack(), expected)


@pytest.mark.parametrize(
    "index", [(0, 0, 0), (0, 0, slice(2)), torch.ones(4, 3, 11).bool()], ids=str
)
def test_the_packed_dimension_cannot_be_indexed(index):
    with pytest.raises(IndexError, match="packed dimension of a mask of shape"):
        pack_mask(random_mask(4, 3, 11))[index]


def test_it_is_frozen_and_shares_no_memory():
    m = random_mask(2, 8)
    packed = pack_mask(m)
    before = packed.unpack()
    m.logical_not_()
    packed.unpack().fill_(True)
    assert torch.equal(packed.unpack(), before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        packed.n = 3


def test_it_takes_an_eighth_of_the_bytes():
    packed = pack_mask(torch.ones(64, 4672, dtype=torch.bool))
    assert packed.nbytes == 64 * 584
    assert len(packed) == 64
    assert "37,376 bytes" in repr(packed)


def test_it_pickles_copies_and_moves():
    packed = pack_mask(random_mask(3, 10))
    for other in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed), packed.to("cpu")):
        assert torch.equal(other.unpack(), packed.unpack())
    assert packed.device == torch.device("cpu")


def test_it_packs_the_same_under_compile():
    def there_and_back(m):
        packed = pack_mask(m)
        return packed.bits, packed.unpack()

    m = random_mask(5, 21)
    bits, unpacked = torch.compile(there_and_back, backend="aot_eager", fullgraph=True)(m)
    assert torch.equal(bits, pack_mask(m).bits)
    assert torch.equal(unpacked, m)


@pytest.mark.parametrize("m", [torch.ones(3), torch.ones(3, dtype=torch.uint8), [True], None])
def test_only_boolean_tensors_are_packed(m):
    with pytest.raises(MaskDtypeError, match="pack_mask: m has .*maskrl.as_mask"):
        pack_mask(m)


def test_a_mask_has_a_dimension():
    with pytest.raises(MaskShapeError, match="no dimension"):
        pack_mask(as_mask(1))


def test_bits_that_do_not_fit_are_refused():
    bits = torch.zeros(2, 1, dtype=torch.uint8)
    assert PackedMask(bits, 8, (2, 8)).shape == (2, 8)
    for n, shape in [(9, (2, 9)), (8, (3, 8)), (8, (2, 7)), (8, ())]:
        with pytest.raises(MaskShapeError, match="do not hold a mask of shape"):
            PackedMask(bits, n, shape)
    with pytest.raises(MaskDtypeError, match="uint8"):
        PackedMask(bits.float(), 8, (2, 8))

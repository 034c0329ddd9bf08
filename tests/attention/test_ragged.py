"""Sets of different sizes: to padded scenes and back, with gradients and empty sets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.attention import EntityEncoder, from_padded, to_padded
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError


def test_each_set_begins_at_slot_0():
    values = torch.arange(1.0, 13.0).view(6, 2)
    x, entity_mask = to_padded(values, torch.tensor([3, 0, 1, 2]))
    nothing = [0.0, 0.0]
    assert x.tolist() == [
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        [nothing, nothing, nothing],
        [[7.0, 8.0], nothing, nothing],
        [[9.0, 10.0], [11.0, 12.0], nothing],
    ]
    assert entity_mask.int().tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0]]


@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.sampled_from([(), (3,), (2, 2)]),
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool]),
    st.integers(0, 3),
)
def test_there_and_back_again(lengths, features, dtype, spare):
    values = torch.randint(0, 100, (sum(lengths), *features)).to(dtype)
    most = max([1, *lengths]) + spare
    x, entity_mask = to_padded(values, lengths, max_entities=most if spare else None)
    assert x.shape == (len(lengths), most, *features)
    assert x.dtype == dtype
    assert entity_mask.shape == (len(lengths), most)
    # Independently, set by set.
    start = 0
    for b, n in enumerate(lengths):
        assert torch.equal(x[b, :n], values[start : start + n])
        assert (x[b, n:] == 0).all()
        assert entity_mask[b].tolist() == [True] * n + [False] * (most - n)
        start += n
    back, sizes = from_padded(x, entity_mask)
    assert torch.equal(back, values)
    assert sizes.tolist() == lengths
    assert sizes.dtype == torch.int64


def test_padding_may_stand_anywhere_and_hold_anything():
    x = torch.full((2, 4, 1), float("nan"), requires_grad=True)
    entity_mask = torch.tensor([[False, True, False, True], [True, False, False, False]])
    with torch.no_grad():
        x[entity_mask] = torch.tensor([[1.0], [2.0], [3.0]])
    values, lengths = from_padded(x, entity_mask)
    assert values.squeeze(-1).tolist() == [1.0, 2.0, 3.0]
    assert lengths.tolist() == [2, 1]
    (grad,) = torch.autograd.grad(values.square().sum(), x)
    assert grad.squeeze(-1).tolist() == [[0.0, 2.0, 0.0, 4.0], [6.0, 0.0, 0.0, 0.0]]


def test_one_mask_may_hold_for_all_scenes():
    x = torch.arange(6.0).view(3, 2)
    values, lengths = from_padded(x, torch.tensor([False, True]))
    assert values.tolist() == [1.0, 3.0, 5.0]
    assert lengths.tolist() == [1, 1, 1]


def test_gradients_flow_twice():
    lengths = torch.tensor([2, 0, 3])
    values = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)

    def around(v):
        x, entity_mask = to_padded(v, lengths, max_entities=4)
        return from_padded(x.square(), entity_mask)[0]

    assert torch.autograd.gradcheck(around, values)
    assert torch.autograd.gradgradcheck(around, values)


def test_a_batch_of_no_scenes_and_scenes_of_nobody():
    x, entity_mask = to_padded(torch.zeros(0, 3), [])
    assert x.shape == (0, 1, 3)
    assert entity_mask.shape == (0, 1)
    x, entity_mask = to_padded(torch.zeros(0, 3, requires_grad=True), [0, 0])
    assert x.shape == (2, 1, 3)
    assert not entity_mask.any()
    x.sum().backward()
    values, lengths = from_padded(x, entity_mask)
    assert values.shape == (0, 3)
    assert lengths.tolist() == [0, 0]


def test_an_encoder_reads_what_each_set_says_alone():
    torch.manual_seed(0)
    encoder = EntityEncoder(3, 8, depth=2, heads=2, pool="mean").double()
    lengths = [4, 1, 0, 2]
    values = torch.randn(7, 3, dtype=torch.float64)
    pooled = encoder(*to_padded(values, lengths))
    assert (pooled[2] == 0).all()
    for b, alone in enumerate(values.split(lengths)):
        if len(alone):
            torch.testing.assert_close(pooled[b], encoder(alone))


def test_the_callers_tensors_stay_as_they_are():
    values, lengths = torch.ones(2, 1), torch.tensor([1, 1], dtype=torch.int32)
    x, entity_mask = to_padded(values, lengths)
    x += 1
    entity_mask[:] = False
    assert (values == 1).all()
    assert lengths.dtype == torch.int32


VALUES = torch.zeros(4, 2)


@pytest.mark.parametrize(
    ("lengths", "options", "error", "message"),
    [
        ([1, 2], {}, MaskShapeError, r"lengths add up to 3 and values has 4 rows"),
        ([5, -1], {}, MaskShapeError, r"lengths\[1\] is -1; expected 0 or more"),
        ([1, 3], {"max_entities": 2}, MaskShapeError, r"lengths\[1\] is 3 and max_entities is 2"),
        ([1, 3], {"max_entities": 2}, MaskShapeError, r"leave it out for the largest, 3"),
        ([4], {"max_entities": 0}, ConfigError, "max_entities is 0; expected a positive"),
        ([4], {"max_entities": 2.5}, ConfigError, "max_entities is 2.5"),
        ([2.0, 2.0], {}, MaskShapeError, "dtype torch.float32 and shape"),
        ([True], {}, MaskShapeError, "dtype torch.bool"),
        ([[4]], {}, MaskShapeError, r"shape \(1, 1\); expected whole numbers \[B\]"),
        (4, {}, MaskShapeError, r"shape \(\); expected whole numbers \[B\]"),
        ("four", {}, MaskShapeError, "lengths is 'four'"),
    ],
)
def test_messages_of_sizes(lengths, options, error, message):
    with pytest.raises(error, match=message):
        to_padded(VALUES, lengths, **options)


def test_messages_of_shapes():
    with pytest.raises(MaskShapeError, match="values has no dimension"):
        to_padded(torch.tensor(1.0), [1])
    with pytest.raises(MaskShapeError, match=r"x has shape \(3,\); expected \[scenes, entities"):
        from_padded(torch.zeros(3), torch.ones(3, dtype=torch.bool))
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.int64"):
        from_padded(VALUES, torch.ones(4, 2).long())
    with pytest.raises(MaskShapeError, match=r"entity_mask has shape \(4, 3\)"):
        from_padded(VALUES, torch.ones(4, 3, dtype=torch.bool))

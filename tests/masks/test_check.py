"""`check_mask`: what passes the door, and the words for what does not (X4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.masks import check_mask, pack_mask


def check(m, shape=(4, 2, 6), **settings):
    return check_mask("masked_softmax", "action_mask", m, shape, **settings)


@pytest.mark.parametrize("shape", [(4, 2, 6), (2, 6), (6,), (1, 2, 6), (4, 1, 6), (1, 6)])
def test_leading_dimensions_broadcast(shape):
    m = torch.ones(shape, dtype=torch.bool)
    assert check(m) is m


def test_bits_are_unpacked():
    m = torch.rand(4, 2, 6) > 0.5
    assert torch.equal(check(pack_mask(m)), m)


@pytest.mark.parametrize(
    "m",
    [
        torch.ones(6, dtype=torch.int8),
        torch.ones(6, dtype=torch.uint8),
        torch.ones(6),
        np.ones(6, dtype=np.bool_),
        [True] * 6,
        None,
    ],
)
def test_x4_nothing_is_cast(m):
    with pytest.raises(MaskDtypeError) as caught:
        check(m)
    for word in ["masked_softmax", "action_mask", "torch.bool", "maskrl.as_mask", "allowed=0"]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "fix"),
    [
        ((4, 2, 7), "last dimensions differ (7 and 6)"),
        ((4, 2, 1), "last dimensions differ (1 and 6)"),
        ((), "insert dimensions of size 1"),
        ((3, 2, 6), "insert dimensions of size 1"),
        ((4, 6), "insert dimensions of size 1"),
        ((5, 4, 2, 6), "more dimensions than logits"),
    ],
)
def test_x4_nothing_is_reshaped(shape, fix):
    with pytest.raises(MaskShapeError) as caught:
        check(torch.ones(shape, dtype=torch.bool))
    for word in ["masked_softmax", "action_mask", str(shape), "(4, 2, 6)", fix]:
        assert word in str(caught.value)


def test_devices_are_compared():
    m = torch.ones(6, dtype=torch.bool)
    assert check(m, device=torch.device("cpu")) is m
    with pytest.raises(MaskError, match="action_mask is on meta, logits on cpu"):
        check(m.to("meta"), device=torch.device("cpu"))


def test_a_shared_mask_leaves_the_batch_size_free():
    class Checked(torch.nn.Module):
        def forward(self, logits, m):
            return logits + check_mask("f", "action_mask", m, logits.shape)

    batch = torch.export.Dim("batch", min=2, max=64)
    arguments = torch.zeros(5, 3), torch.ones(3, dtype=torch.bool)
    program = torch.export.export(Checked(), arguments, dynamic_shapes=({0: batch}, None))
    assert program.module()(torch.zeros(3, 3), arguments[1]).shape == (3, 3)

"""Convolutions over pictures and grids: layout, scale, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.conv import ConvFeatures, channels_last


@pytest.mark.parametrize(
    ("shape", "dtype", "last"),
    [
        ((84, 84, 3), np.uint8, True),
        ((4, 84, 84), np.uint8, False),
        ((27, 4, 4), np.float32, False),
        ((10, 10, 5), np.float32, True),
        ((3, 3, 3), np.uint8, True),
        ((3, 3, 3), np.float32, False),
    ],
)
def test_layout_is_judged_by_the_shape(shape, dtype, last):
    assert channels_last(shape, np.dtype(dtype), "auto") is last
    assert channels_last(shape, np.dtype(dtype), "channels_last")
    assert not channels_last(shape, np.dtype(dtype), "channels_first")


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((84, 84, 3), np.uint8), ((27, 4, 4), np.float32), ((5, 7, 2), np.int16)],
)
def test_width_is_as_announced(shape, dtype):
    net = ConvFeatures(shape, np.dtype(dtype))
    x = torch.from_numpy(np.ones((3, *shape), dtype))
    assert net(x).shape == (3, net.out_features)


def test_bytes_are_scaled_to_one():
    net = ConvFeatures((6, 6, 1), np.dtype(np.uint8), channels=(2,))
    same = ConvFeatures((6, 6, 1), np.dtype(np.float32), channels=(2,))
    same.load_state_dict(net.state_dict())
    white = torch.full((1, 6, 6, 1), 255, dtype=torch.uint8)
    torch.testing.assert_close(net(white), same(torch.ones(1, 6, 6, 1)))


def test_both_layouts_read_the_same_picture():
    last = ConvFeatures((5, 6, 3), np.dtype(np.float32), layout="channels_last")
    first = ConvFeatures((3, 5, 6), np.dtype(np.float32), layout="channels_first")
    first.load_state_dict(last.state_dict())
    x = torch.randn(2, 5, 6, 3)
    torch.testing.assert_close(last(x), first(x.permute(0, 3, 1, 2)))


@pytest.mark.parametrize(("shape", "channels"), [((6, 6), (4,)), ((6, 6, 1), ())])
def test_what_is_no_picture_is_refused(shape, channels):
    with pytest.raises(ConfigError, match="three sizes"):
        ConvFeatures(shape, np.dtype(np.uint8), channels=channels)

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


def test_an_even_kernel_looks_at_whole_windows():
    net = ConvFeatures((6, 7, 2), np.dtype(np.int8), channels=(3,), kernel=4)
    assert net.out_features == 3 * 3 * 4  # a 4 x 4 window fits 3 times down and 4 times across
    line = torch.zeros(1, 6, 7, 2, dtype=torch.int8)
    line[0, 5, :4, 0] = 1  # on the bottom row: seen by windows of the last row alone
    with torch.no_grad():
        net.layers[0].weight.fill_(1.0)
    seen = net(line).reshape(3, 3, 4)
    assert (seen[:, :2] == 0).all() and seen[0, 2].tolist() == [4.0, 3.0, 2.0, 1.0]


def test_a_kernel_larger_than_the_board_is_refused():
    with pytest.raises(ConfigError, match="layer 2 has a kernel of 4 x 4, and there are 3 x 4"):
        ConvFeatures((6, 7, 2), np.dtype(np.int8), channels=(3, 3), kernel=4)


@pytest.mark.parametrize(
    ("side", "channels", "kernels", "pool", "cells"),
    [
        (4, (16,), (2,), 1, 3 * 3),
        (10, (16, 32), (3, 3), 1, 6 * 6),
        (24, (16, 32), (3, 2), 2, 5 * 5),  # 24 -> 22 -> 11 -> 10 -> 5
    ],
)
def test_whole_windows_and_pools_leave_so_many_cells(side, channels, kernels, pool, cells):
    shape = (side, side, 27)
    net = ConvFeatures(
        shape, np.dtype(np.int8), channels=channels, kernel=kernels, padding="none", pool=pool
    )
    assert net.out_features == channels[-1] * cells
    assert net(torch.zeros(2, *shape, dtype=torch.int8)).shape == (2, net.out_features)


def test_a_pool_keeps_the_largest_of_each_square():
    net = ConvFeatures((1, 5, 5), np.dtype(np.float32), channels=(1,), kernel=1, pool=2)
    with torch.no_grad():
        net.layers[0].weight.fill_(1.0)
    x = torch.arange(25.0).reshape(1, 1, 5, 5)
    assert net(x).tolist() == [[6.0, 8.0, 16.0, 18.0]]  # the fifth row and column are dropped


def test_kernels_are_one_for_each_layer():
    with pytest.raises(ConfigError, match="one kernel for each of the 2 layers"):
        ConvFeatures((6, 6, 1), np.dtype(np.int8), channels=(4, 4), kernel=(3,))


def test_a_pool_larger_than_what_is_left_is_refused():
    with pytest.raises(ConfigError, match=r"layer 2 gives 1 x 1 cells.*2 x 2"):
        ConvFeatures(
            (6, 6, 1), np.dtype(np.int8), channels=(4, 4), padding="none", pool=2, kernel=2
        )

"""The compiled walk through maps, called with addresses as `maskrl.kernels.map_rows` calls it.

Rows taken and gradients written are compared with what torch's own indexing gives, for cells
that nobody asks for, for one that is asked for twice, and for places off the map.
"""

import numpy as np
import pytest
import torch

from maskrl.kernels.fused.map_walk import put, take


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("fills", (True, False))
def test_walks_there_and_back_as_indexing_does(dtype, fills):
    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 7))).to(dtype)
    entry = torch.tensor([0, 0, 2, 2])  # nothing is asked of the second map
    place = torch.tensor([6, -1, 0, 0])
    rows = torch.full((4, 4), torch.nan, dtype=dtype)
    addresses = (entry.data_ptr(), place.data_ptr(), 4, 4, 7)
    take(maps.data_ptr(), *addresses, rows.data_ptr(), maps.element_size())
    assert torch.equal(rows, torch.stack([maps[0, :, 6], maps.new_zeros(4), *[maps[2, :, 0]] * 2]))

    back = torch.full_like(maps, torch.nan) if fills else torch.zeros_like(maps)
    put(back.data_ptr(), *addresses, rows.data_ptr(), 3, fills, maps.element_size())
    expected = torch.zeros_like(maps)
    expected[0, :, 6], expected[2, :, 0] = maps[0, :, 6], 2 * maps[2, :, 0]
    assert torch.equal(back, expected)


def test_bits_of_masks_are_taken_as_they_are():
    maps = torch.tensor([[[True, False], [False, True]]])
    entry, place = torch.tensor([0, 0]), torch.tensor([1, 0])
    rows = torch.zeros(2, 2, dtype=torch.bool)
    take(maps.data_ptr(), entry.data_ptr(), place.data_ptr(), 2, 2, 2, rows.data_ptr(), 1)
    assert rows.tolist() == [[False, True], [True, False]]

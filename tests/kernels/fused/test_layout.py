"""Which tensors are read where they lie, and which have to be copied first."""

from __future__ import annotations

import pytest
import torch

from maskrl.kernels.fused.layout import lay_out
from maskrl.kernels.fused.plan import BITS, BYTES, NO_MASK
from maskrl.masks import pack_mask

WIDE = torch.randn(6, 4, 10)
MASK = torch.rand(6, 4, 10) < 0.5


def numbers(layout):
    """Rows, heads, row stride, mask stride and kind, as the kernels read them."""
    rows, heads, _, _, stride, mask_stride, kind, _ = layout.plan._numbers.tolist()
    return rows, heads, stride, mask_stride, kind


@pytest.mark.parametrize(
    ("logits", "stride", "copied"),
    [
        (WIDE, 10, False),
        (WIDE[0, 0], 10, False),
        (WIDE[..., 2:7], 10, False),
        (WIDE[:, 1], 40, False),
        (WIDE[::2, 1], 80, False),
        (WIDE[0, 0].expand(5, 10), 0, False),
        (WIDE[:, :1].expand(6, 3, 10), 10, True),
        (WIDE[:, ::2], 20, False),
        (WIDE[:, :3], 10, True),
        (WIDE.transpose(0, 1), 10, True),
        (WIDE[..., ::2], 5, True),
        (WIDE.transpose(1, 2), 4, True),
    ],
)
def test_logits_are_read_where_they_are_if_rows_are_evenly_spaced(logits, stride, copied):
    layout = lay_out(logits, None, None)
    rows = logits.numel() // logits.shape[-1]
    assert numbers(layout) == (rows, 1, stride, 0, NO_MASK)
    assert (layout.logits.data_ptr() != logits.data_ptr()) == copied
    assert torch.equal(layout.logits, logits)


@pytest.mark.parametrize(
    ("mask", "stride"),
    [
        (MASK, 10),
        (MASK[0, 0], 0),
        (MASK[:1, :1], 0),
        (MASK[:, :1], 10),
        (MASK[0], 10),
        (torch.cat([MASK, MASK], -1)[..., :10], 20),
    ],
)
def test_masks_broadcast_without_a_copy_where_they_can(mask, stride):
    layout = lay_out(WIDE, mask, None)
    assert numbers(layout)[3:] == (stride, BYTES)
    assert layout.mask_address == layout.action_mask.data_ptr()
    if stride:
        assert torch.equal(
            layout.action_mask.reshape(24, 10), mask.expand(6, 4, 10).reshape(24, 10)
        )


def test_bits_are_read_as_bits():
    layout = lay_out(WIDE, pack_mask(MASK), None)
    assert numbers(layout)[3:] == (2, BITS)
    one = lay_out(WIDE, pack_mask(MASK[0, 0]), None)
    assert numbers(one)[3:] == (0, BITS)


def test_a_plan_is_made_once_for_a_shape():
    sizes = (3, 7)
    first, second = lay_out(WIDE, MASK, sizes), lay_out(WIDE + 1, ~MASK, sizes)
    assert first.plan is second.plan
    assert first.plan.heads == 2
    assert lay_out(WIDE, MASK, None).plan is not first.plan
    assert lay_out(WIDE[:5], MASK[:5], sizes).plan is not first.plan

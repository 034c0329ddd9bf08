"""New tensors of known shapes: their own memory, contiguous, also in inference mode."""

from __future__ import annotations

import pytest
import torch

from maskrl.functional.select import draw_uniforms, uniforms_on_cpu
from maskrl.kernels.fused import room as module
from maskrl.kernels.fused.room import pattern, room

SHAPES = [(), (0,), (1,), (5,), (3, 4), (2, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_room_is_as_good_as_empty(shape, dtype):
    size = torch.Size(shape)
    one, other = room(size, dtype).fill_(1), room(size, dtype).fill_(2)
    assert one.shape == size
    assert one.dtype == dtype
    assert one.is_contiguous()
    assert bool((one == 1).all())
    assert bool((other == 2).all())


def test_a_first_use_in_inference_mode_does_not_last():
    size = torch.Size((7, 3))
    with torch.inference_mode():
        assert room(size, torch.float32).is_inference()
    later = room(size, torch.float32)
    assert not later.is_inference()
    later.fill_(1.0).requires_grad_().sum().backward()


def test_many_shapes_are_not_kept_for_ever():
    for n in range(module._MOST_SHAPES + 10):
        pattern(torch.Size((n,)), torch.float64)
    assert len(module._patterns) <= module._MOST_SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_uniforms_are_those_of_torch(shape):
    size, cpu = torch.Size(shape), torch.device("cpu")
    torch.manual_seed(0)
    want = draw_uniforms(size, cpu, None)
    torch.manual_seed(0)
    assert torch.equal(uniforms_on_cpu(size, None), want)
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    assert torch.equal(uniforms_on_cpu(size, one), draw_uniforms(size, cpu, other))

"""Entities have no order, and more padding changes nothing.

Permuting the entities of a scene, of each of its types, permutes what comes out; a scene of
5 entities in 64 slots, full of rubbish, gives what it gives in 5: for every pooling, with
positions, count and feed-forward parts.
"""

import pytest
import torch

from maskrl.attention import EntityEncoder

POOLS = [None, "self", "mean", "max", "attention"]
NARROW, WIDE = 5, 64


def make(pool, dtype, types):
    torch.manual_seed(2)
    encoder = EntityEncoder(
        {"agent": 3, "box": 3} if types else 3,
        8,
        3,
        2,
        pool=pool,
        count_feature=pool is not None,
        feed_forward=6,
        relative_position=2,
    )
    with torch.no_grad():
        for block in encoder.blocks:
            block.position_bias.table.normal_()
    return encoder.to(dtype)


def scene(dtype):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, NARROW, 3, generator=generator, dtype=torch.float64).to(dtype)
    present = torch.rand(6, NARROW, generator=generator) < 0.8
    visibility = torch.rand(6, NARROW, NARROW, generator=generator) < 0.5
    return x, present, visibility, torch.randint(0, 6, (6, NARROW, 2), generator=generator)


def encode(encoder, x, present, visibility, positions, index, agents=2):
    if isinstance(encoder.in_features, dict):
        x = {"agent": x[:, :agents], "box": x[:, agents:]}
    name = "queries" if encoder.pool is None else "observer"
    return encoder(x, present, visibility, positions=positions, **{name: index[None]})


@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("pool", POOLS)
def test_entities_have_no_order(pool, types):
    encoder, (x, present, visibility, positions) = (
        make(pool, torch.float64, types),
        scene(torch.float64),
    )
    order = torch.tensor([1, 0, 4, 2, 3] if types else [3, 0, 4, 1, 2])  # types stay together
    everybody = torch.arange(NARROW)
    out = encode(encoder, x, present, visibility, positions, everybody)
    turned = encode(
        encoder,
        x[:, order],
        present[:, order],
        visibility[:, order][:, :, order],
        positions[:, order],
        everybody,
    )
    torch.testing.assert_close(turned, out[:, order], rtol=0, atol=1e-12)
    assert (turned - out).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("pool", POOLS)
def test_sixty_four_slots_are_as_good_as_five(pool, types, dtype):
    """Value, and gradient of every parameter, within 1e-6 of their size."""
    encoder, (x, present, visibility, positions) = make(pool, dtype, types), scene(dtype)
    place = torch.tensor([7, 30, 31, 40, 63])  # agents in the first 31 slots, boxes in the rest
    wide_x = torch.full((6, WIDE, 3), float("nan"), dtype=dtype)
    wide_x[:, place] = x
    wide_present = torch.zeros(6, WIDE, dtype=torch.bool)
    wide_present[:, place] = present
    wide_sight = torch.rand(6, WIDE, WIDE) < 0.5
    wide_sight[:, place[:, None], place] = visibility
    wide_at = torch.full((6, WIDE, 2), -(2**62))
    wide_at[:, place] = positions
    narrow = encode(encoder, x, present, visibility, positions, torch.arange(NARROW))
    wide = encode(encoder, wide_x, wide_present, wide_sight, wide_at, place, agents=31)
    torch.testing.assert_close(wide, narrow, rtol=1e-6, atol=1e-6)
    parameters = list(encoder.parameters())
    grads = [
        torch.autograd.grad(out.square().mean(), parameters, allow_unused=True)
        for out in (narrow, wide)
    ]
    for a, b in zip(*grads, strict=True):
        if a is not None:
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)

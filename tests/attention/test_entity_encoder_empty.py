"""Rows that may look at nobody, and what stands in padding: exactly 0, and of no effect.

In training and evaluation, with maps and without, in every precision, for entities of one
type and of several, with a count, positions and feed-forward parts: outputs, weights and
gradients of padding are 0, and the other samples of the batch do not notice it.
"""

import contextlib

import pytest
import torch

from maskrl.attention import EntityAttention, EntityEncoder, record_attention

POOLS = [None, "self", "mean", "max", "attention"]
TYPES = {"agent": 3, "box": 2}
PRESENT = torch.tensor(
    [[True, True, False, True, True], [False] * 5, [True] * 5, [True, False, False, False, False]]
)
EMPTY = ~PRESENT
NOBODY = torch.zeros(4, 5, 5, dtype=torch.bool)
OPTIONS = {"feed_forward": 6, "relative_position": 2}


def scene(dtype):
    """Entities of two types, who sees whom (some rows see nobody), and positions."""
    generator = torch.Generator().manual_seed(1)
    x = {
        "agent": torch.randn(4, 2, 3, generator=generator, dtype=torch.float64).to(dtype),
        "box": torch.randn(4, 3, 2, generator=generator, dtype=torch.float64).to(dtype),
    }
    visibility = torch.rand(4, 5, 5, generator=generator) < 0.5
    visibility[2, 3] = False
    return x, visibility, torch.randint(0, 6, (4, 5, 2), generator=generator)


def make(pool, dtype, train):
    torch.manual_seed(2)
    encoder = EntityEncoder(TYPES, 8, 2, 2, pool=pool, count_feature=pool is not None, **OPTIONS)
    with torch.no_grad():
        for block in encoder.blocks:
            block.position_bias.table.normal_()
    return encoder.to(dtype).train(train)


def filled(x, content):
    """The same scene with something else in its padding."""
    masks = {"agent": PRESENT[:, :2], "box": PRESENT[:, 2:]}
    return {name: torch.where(masks[name].unsqueeze(-1), x[name], content) for name in x}


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.bfloat16, pytest.param(torch.float64, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("pool", POOLS)
def test_empty_rows_are_zero_and_padding_changes_no_bit(pool, train, recorded, dtype):
    x, visibility, positions = scene(dtype)
    encoder = make(pool, dtype, train)
    everybody = torch.arange(5)[None]
    inputs = {"queries" if pool is None else "observer": everybody}
    found = []
    for content, cells in ((0.0, 0), (float("nan"), -(2**62)), (1e30, 2**62)):
        entities = {name: part.requires_grad_() for name, part in filled(x, content).items()}
        placed = torch.where(PRESENT.unsqueeze(-1), positions, cells)
        with record_attention(encoder) if recorded else contextlib.nullcontext([]) as maps:
            out = encoder(entities, PRESENT, visibility, positions=placed, **inputs)
        assert (out[EMPTY] == 0).all()
        for m in maps:
            assert (m.transpose(1, 2)[EMPTY[:, : m.shape[-2]]] == 0).all()
            sums = m.sum(-1).transpose(1, 2)[PRESENT[:, : m.shape[-2]]]
            tolerance = 2e-2 if dtype is torch.bfloat16 else 1e-6
            torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=tolerance)
        grads = torch.autograd.grad(
            out.square().sum(), [*entities.values(), *encoder.parameters()], allow_unused=True
        )
        assert all(g.isfinite().all() for g in grads if g is not None)
        assert (grads[0][EMPTY[:, :2]] == 0).all()
        assert (grads[1][EMPTY[:, 2:]] == 0).all()
        assert (grads[0][2] != 0).any(), "the sample beside it learns"
        found.append([out, *maps, *(g for g in grads if g is not None)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("pool", POOLS)
def test_a_sample_of_nobody_has_no_gradient(pool, train, dtype):
    """Weights and entities alike: what is 0 whatever they are teaches nothing."""
    x, visibility, positions = scene(dtype)
    encoder = make(pool, dtype, train)
    entities = {name: part.requires_grad_() for name, part in x.items()}
    inputs = {} if pool is None else {"observer": 0}
    out = encoder(entities, PRESENT, visibility, positions=positions, **inputs)
    grads = torch.autograd.grad(
        out[1].sum(), [*entities.values(), *encoder.parameters()], allow_unused=True
    )
    assert all((g == 0).all() for g in grads if g is not None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_layer_whose_rows_see_nobody_sees_itself(dtype, recorded):
    """Nobody in sight is no empty row: an entity that is there always has itself."""
    torch.manual_seed(3)
    layer = EntityAttention(8, 2).to(dtype)
    x = torch.randn(4, 5, 8, dtype=torch.float64).to(dtype)
    with record_attention(layer) if recorded else contextlib.nullcontext([]) as maps:
        out = layer(x, PRESENT, NOBODY)
    assert (out[EMPTY] == 0).all()
    assert (out[PRESENT] != 0).any(-1).all()
    for m in maps:
        eye = torch.eye(5, dtype=dtype).expand(4, 2, 5, 5)
        assert torch.equal(m, torch.where(PRESENT[:, None, :, None], eye, 0))
    value = x @ layer.qkv.weight.chunk(3)[2].T
    expected = torch.where(PRESENT.unsqueeze(-1), value @ layer.out.weight.T, 0)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)

"""The attention layer: exact zeros, order of entities, padding, rows on demand.

The founding article's scene `trees` is read here as well: rows that may not look
at the scorpion put exactly 0 on it, and the scorpion's own row stays proper.
"""

import pytest
import torch

from maskrl.attention import EntityAttention, hidden, record_attention
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
PRESENT = torch.tensor(
    [[True, True, False, True, True], [True] * 5, [False] * 5, [False, True, False, False, False]]
)


def scene(dtype=torch.float64, entities=5, batch=4, dim=8):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(batch, entities, dim, generator=generator, dtype=torch.float64)
    visibility = torch.rand(batch, entities, entities, generator=generator) < 0.6
    return x.to(dtype), visibility


def by_definition(layer, x, entity_mask, visibility):
    """Attention entity by entity, over the permitted ones only."""
    inner = layer.heads * layer.dim_head
    out = torch.zeros(*x.shape)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            if not entity_mask[b, i]:
                continue
            seen = [
                j
                for j in range(x.shape[1])
                if entity_mask[b, j] and (i == j or visibility[b, i, j])
            ]
            query, key, value = (
                (x[b, rows] @ w.T).view(-1, layer.heads, layer.dim_head)
                for rows, w in zip(([i], seen, seen), layer.qkv.weight.split(inner), strict=True)
            )
            weights = torch.softmax((query * key).sum(-1) / layer.dim_head**0.5, 0)
            out[b, i] = layer.out((weights.unsqueeze(-1) * value).sum(0).flatten())
    return out


@pytest.mark.parametrize(("heads", "dim_head"), [(2, None), (1, 3), (4, 5)])
def test_it_equals_the_definition(heads, dim_head):
    layer = EntityAttention(8, heads, dim_head)
    x, visibility = scene(torch.float32)
    torch.testing.assert_close(
        layer(x, PRESENT, visibility),
        by_definition(layer, x, PRESENT, visibility),
        rtol=1e-5,
        atol=1e-6,
    )
    everybody = torch.ones_like(visibility)
    torch.testing.assert_close(layer(x, PRESENT), layer(x, PRESENT, everybody))
    torch.testing.assert_close(layer(x), layer(x, torch.ones_like(PRESENT), everybody))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("sight", [False, True])
def test_padding_is_exactly_zero(dtype, recorded, train, sight):
    """Output, maps and gradients; also where a scene holds nothing at all."""
    layer = EntityAttention(8, 2).to(dtype).train(train)
    x, visibility = scene(dtype)
    x.requires_grad_()
    visibility = visibility if sight else None
    if recorded:
        with record_attention(layer) as maps:
            out = layer(x, PRESENT, visibility)
        absent = ~PRESENT.unsqueeze(1)
        assert (maps[0][absent.unsqueeze(-1).expand_as(maps[0])] == 0).all()
        assert (maps[0][absent.unsqueeze(-2).expand_as(maps[0])] == 0).all()
    else:
        out = layer(x, PRESENT, visibility)
    assert (out[~PRESENT] == 0).all()
    assert out[PRESENT].isfinite().all()
    upstream = torch.randn(out.shape).to(dtype)
    (grad,) = torch.autograd.grad(out, x, upstream, retain_graph=True)
    assert (grad[~PRESENT] == 0).all()
    assert (grad[PRESENT] != 0).any()
    upstream[PRESENT] = 0
    for grad in torch.autograd.grad(out, (x, *layer.parameters()), upstream):
        assert (grad == 0).all()


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), 1e30, -1e30])
@pytest.mark.parametrize("sight", [False, True])
def test_what_padding_holds_changes_no_bit(rubbish, sight):
    layer = EntityAttention(8, 2)
    x, visibility = scene(torch.float32)
    visibility = visibility if sight else None
    dirty = torch.where(PRESENT.unsqueeze(-1), x, rubbish)
    clean = torch.where(PRESENT.unsqueeze(-1), x, 0.0)
    results = []
    for content in (clean, dirty):
        layer.zero_grad()
        content.requires_grad_()
        out = layer(content, PRESENT, visibility)
        out.square().sum().backward()
        results.append([out, content.grad, *(p.grad.clone() for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("entities", [2, 5, 9])
def test_rows_on_demand_equal_the_rows_of_all(entities):
    layer = EntityAttention(8, 2).double()
    x, visibility = scene(entities=entities)
    present = torch.rand(4, entities) < 0.8
    whole = layer(x, present, visibility)
    everyone = torch.arange(entities)[None]
    per_scene = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]])
    for queries in (1, torch.tensor(0), torch.tensor([[1]]), everyone, per_scene):
        index = torch.as_tensor(queries)
        index = index.expand(4, index.shape[-1] if index.ndim else 1).unsqueeze(-1)
        torch.testing.assert_close(
            layer(x, present, visibility, queries=queries), torch.take_along_dim(whole, index, 1)
        )
        torch.testing.assert_close(
            layer(x, present, queries=queries), torch.take_along_dim(layer(x, present), index, 1)
        )


@pytest.mark.parametrize("queries", [0, torch.tensor([[2, 4]])])
def test_folded_projections_equal_plain_ones(monkeypatch, queries):
    """Values, gradients and maps, whichever order is cheaper."""
    layer = EntityAttention(8, 2).double()
    x, visibility = scene()
    found = []
    for folded in (False, True):
        monkeypatch.setattr(layer, "_folding_is_cheaper", lambda *_, f=folded: f)
        out = layer(x, PRESENT, visibility, queries=queries)
        with record_attention(layer) as maps:
            recorded = layer(x, PRESENT, visibility, queries=queries)
        torch.testing.assert_close(out, recorded)
        found.append([out, *maps, *torch.autograd.grad(out.square().sum(), layer.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_folding_pays_for_few_queries():
    layer = EntityAttention(64, 4)
    assert layer._folding_is_cheaper(12, 1)
    assert not layer._folding_is_cheaper(12, 12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_with_maps_and_without_is_the_same(dtype):
    layer = EntityAttention(8, 2).to(dtype)
    x, visibility = scene(dtype)
    plain = layer(x, PRESENT, visibility)
    with record_attention(layer) as maps:
        recorded = layer(x, PRESENT, visibility)
    torch.testing.assert_close(plain, recorded)
    assert maps[0].shape == (4, 2, 5, 5)
    sums = maps[0].sum(-1)
    present = PRESENT.unsqueeze(1).expand_as(sums)
    torch.testing.assert_close(sums[present], torch.ones_like(sums[present]))


def test_permuting_entities_permutes_rows():
    layer = EntityAttention(8, 2).double()
    x, visibility = scene()
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = layer(x[:, order], PRESENT[:, order], visibility[:, order][:, :, order])
    torch.testing.assert_close(turned, layer(x, PRESENT, visibility)[:, order])


def test_more_padding_changes_nothing():
    """From 5 to 64 slots, across the change of kernels."""
    layer = EntityAttention(8, 2).double()
    x, visibility = scene()
    slots = 64
    wide_x = torch.full((4, slots, 8), float("nan"), dtype=torch.float64)
    wide_x[:, :5] = x
    wide_mask = torch.zeros(4, slots, dtype=torch.bool)
    wide_mask[:, :5] = PRESENT
    wide_sight = torch.ones(4, slots, slots, dtype=torch.bool)
    wide_sight[:, :5, :5] = visibility
    wide = layer(wide_x, wide_mask, wide_sight)
    torch.testing.assert_close(wide[:, :5], layer(x, PRESENT, visibility))
    assert (wide[:, 5:] == 0).all()


def test_a_batch_equals_its_scenes_one_by_one():
    layer = EntityAttention(8, 2).double()
    x, visibility = scene()
    whole = layer(x, PRESENT, visibility)
    for b in range(4):
        torch.testing.assert_close(whole[b], layer(x[b], PRESENT[b], visibility[b]))
    folded = layer(x.view(2, 2, 5, 8), PRESENT.view(2, 2, 5), visibility.view(2, 2, 5, 5))
    torch.testing.assert_close(folded.view(4, 5, 8), whole)
    assert layer(x[:0], PRESENT[:0], visibility[:0]).shape == (0, 5, 8)


def test_the_scorpion_behind_trees():
    """Panda, watermelon, scorpion, dragon: the scorpion sees, unseen."""
    x = torch.tensor([[[3.0, 0, 0], [2, 6, 1], [6, 4, 2], [6, 0, 3]]])
    everyone = torch.ones(1, 4, dtype=torch.bool)
    visibility = hidden(everyone, torch.tensor([False, False, True, False]))
    layer = EntityAttention(3, heads=1)
    with record_attention(layer) as maps:
        layer(x, everyone, visibility)
    panda, watermelon, scorpion, dragon = maps[0][0, 0]
    for row in (panda, watermelon, dragon):
        assert row[2] == 0
        assert (row[[0, 1, 3]] > 0).all()
        torch.testing.assert_close(row.sum(), torch.tensor(1.0))
    assert (scorpion > 0).all()
    torch.testing.assert_close(scorpion.sum(), torch.tensor(1.0))
    keys = torch.tensor([True, True, False, True])
    assert not torch.allclose(scorpion, torch.full((4,), 0.25)), "a blinded row would be uniform"
    assert (layer(x, keys.unsqueeze(0))[0, 2] == 0).all(), "padding is something else than hiding"


def test_inputs_are_left_alone():
    layer = EntityAttention(8, 2)
    x, visibility = scene(torch.float32)
    before = x.clone(), PRESENT.clone(), visibility.clone()
    layer(x, PRESENT, visibility)
    for a, b in zip(before, (x, PRESENT, visibility), strict=True):
        assert torch.equal(a, b)


def test_gradients_are_right():
    layer = EntityAttention(4, 2).double()
    x, visibility = scene(entities=3, batch=2, dim=4)
    x.requires_grad_()
    present = torch.tensor([[True, True, False], [True, True, True]])
    assert torch.autograd.gradcheck(lambda t: layer(t, present, visibility), x)
    assert torch.autograd.gradcheck(lambda t: layer(t, present, visibility, queries=0), x)


def test_messages():
    layer = EntityAttention(8, 2)
    x, visibility = scene(torch.float32)
    with pytest.raises(ConfigError, match="3 heads do not divide dim 8"):
        EntityAttention(8, 3)
    with pytest.raises(ConfigError, match="heads is 0; expected a positive whole number"):
        EntityAttention(8, 0)
    with pytest.raises(ConfigError, match="dim_head is -1"):
        EntityAttention(8, 2, -1)
    with pytest.raises(MaskShapeError, match=r"expected \[\.\.\., E, 8\]"):
        layer(x[..., :7])
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.int8"):
        layer(x, PRESENT.to(torch.int8))
    with pytest.raises(MaskShapeError, match="queries is 5"):
        layer(x, PRESENT, visibility, queries=5)

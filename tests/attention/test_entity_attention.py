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


PATHS = {
    "compiled": (torch.float32, False),
    "keys first": (torch.float64, False),
    "torch's kernel": (torch.bfloat16, False),
    "maps": (torch.float32, True),
    "maps, half": (torch.bfloat16, True),
}


def run(layer, recorded, *args, **kwargs):
    if not recorded:
        return layer(*args, **kwargs)
    with record_attention(layer):
        return layer(*args, **kwargs)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("queries", [None, 0, torch.tensor([[2, 4, 0]])])
@pytest.mark.parametrize("sight", [False, True])
def test_nothing_to_attend_to_gives_exactly_zero(path, train, queries, sight):
    """X5 on every path: output and gradients 0, everybody else's finite and not 0."""
    dtype, recorded = PATHS[path]
    layer = EntityAttention(8, 2).to(dtype).train(train)
    x, visibility = scene(dtype)
    x = torch.where(PRESENT.unsqueeze(-1), x, float("nan")).requires_grad_()
    out = run(layer, recorded, x, PRESENT, visibility if sight else None, queries=queries)
    looking = PRESENT if queries is None else PRESENT[:, torch.as_tensor(queries).reshape(-1)]
    assert (out[~looking] == 0).all()
    assert out.isfinite().all()
    upstream = torch.where(looking.unsqueeze(-1), torch.randn(out.shape), float("nan")).to(dtype)
    gradients = torch.autograd.grad(out, (x, *layer.parameters()), upstream, retain_graph=True)
    for gradient in gradients:
        assert gradient.isfinite().all()
        assert (gradient != 0).any()
    assert (gradients[0][~PRESENT] == 0).all()
    upstream[looking] = 0
    for gradient in torch.autograd.grad(out, (x, *layer.parameters()), upstream):
        assert (gradient == 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("queries", [None, 0, torch.tensor([[2, 4, 0]])])
def test_who_is_not_seen_changes_no_bit(path, queries):
    """X7 for one layer: where i has no permission for j, j changes nothing in i's row."""
    dtype, recorded = PATHS[path]
    layer = EntityAttention(8, 2).to(dtype)
    x, visibility = scene(dtype)
    visibility[:, :, 3] = False
    moved = x.clone()
    moved[:, 3] = 100.0
    index = torch.arange(5) if queries is None else torch.as_tensor(queries).reshape(-1)
    others = index != 3
    with torch.no_grad():
        one, two = (
            run(layer, recorded, s, PRESENT, visibility, queries=queries) for s in (x, moved)
        )
    assert torch.equal(one[:, others], two[:, others])
    if queries is None:
        assert not torch.equal(one[:, 3], two[:, 3])
    x.requires_grad_()
    out = run(layer, recorded, x, PRESENT, visibility, queries=queries)
    (gradient,) = torch.autograd.grad(out[:, others].float().sum(), x)
    assert (gradient[:, 3] == 0).all()
    assert (gradient != 0).any()


def with_bias(bias):
    """Attention with a bias, pair by pair in float64."""

    def attend(layer, x, entity_mask, visibility, queries):
        inner = layer.heads * layer.dim_head
        query, key, value = (
            (x @ w.T).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for w in layer.qkv.weight.split(inner)
        )
        itself = torch.eye(x.shape[1], dtype=torch.bool)
        permitted = (visibility | itself) & entity_mask[:, None] & entity_mask[:, :, None]
        if queries is not None:
            query, permitted = query[:, :, queries], permitted[:, queries]
        scores = query @ key.transpose(-1, -2) / layer.dim_head**0.5 + bias
        scores = scores.masked_fill(~permitted[:, None], -1e300)
        weights = torch.where(permitted[:, None], scores.softmax(-1), 0.0)
        return layer.out((weights @ value).transpose(1, 2).flatten(-2))

    return attend


@pytest.mark.parametrize("entities", [5, 40])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("queries", [None, [1], [2, 4, 0]])
def test_a_bias_is_added_to_the_scores(entities, recorded, queries):
    """Values and gradients on all paths, folded queries too, against float64."""
    x, visibility = scene(entities=entities)
    present = torch.rand(4, entities) < 0.8
    rows = entities if queries is None else len(queries)
    bias = torch.randn(4, 2, rows, entities, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, rows, 8, dtype=torch.float64)
    layer = EntityAttention(8, 2).double()
    wanted = with_bias(bias)(layer, x, present, visibility, queries)
    found = run(
        layer, recorded, x, present, visibility, bias=bias,
        queries=None if queries is None else torch.tensor([queries]),
    )  # fmt: skip
    torch.testing.assert_close(found, wanted)
    leaves = (bias, *layer.parameters())
    for a, b in zip(
        torch.autograd.grad(found, leaves, upstream),
        torch.autograd.grad(wanted, leaves, upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("queries", [None, 1, torch.tensor([[2, 4, 0]])])
@pytest.mark.parametrize("rubbish", [float("nan"), 1e30, float("-inf")])
def test_a_bias_between_strangers_changes_no_bit(dtype, recorded, queries, rubbish):
    layer = EntityAttention(8, 2).to(dtype)
    x, visibility = scene(dtype)
    itself = torch.eye(5, dtype=torch.bool)
    permitted = (visibility | itself) & PRESENT[:, None] & PRESENT[:, :, None]
    if queries is not None:
        permitted = permitted[:, torch.as_tensor(queries).reshape(-1)]
    clean = torch.randn(4, 2, *permitted.shape[1:]).to(dtype)
    outcomes = []
    for bias in (clean, torch.where(permitted[:, None], clean, rubbish)):
        bias = bias.detach().requires_grad_()
        out = run(layer, recorded, x, PRESENT, visibility, queries=queries, bias=bias)
        leaves = (bias, *layer.parameters())
        outcomes.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    for a, b in zip(*outcomes, strict=True):
        assert torch.equal(a, b)
    assert (outcomes[0][1].masked_select(~permitted[:, None]) == 0).all()
    assert (outcomes[0][1] != 0).any()


def test_a_bias_for_all_scenes_and_without_masks():
    layer = EntityAttention(8, 2).double()
    x, _ = scene()
    bias = torch.randn(2, 5, 5, dtype=torch.float64)
    everybody = torch.ones(4, 5, 5, dtype=torch.bool)
    wanted = with_bias(bias)(layer, x, torch.ones_like(PRESENT), everybody, None)
    torch.testing.assert_close(layer(x, bias=bias), wanted)
    torch.testing.assert_close(layer(x, torch.ones_like(PRESENT), bias=bias), wanted)
    with pytest.raises(
        MaskShapeError, match=r"bias has shape \(2, 5, 4\); expected \[..., 2, 5, 5"
    ):
        layer(x, bias=bias[..., :4])
    with pytest.raises(MaskShapeError, match=r"expected \[..., 2, 1, 5\]"):
        layer(x, bias=bias, queries=0)
    with pytest.raises(MaskDtypeError, match=r"bias has dtype torch.int64"):
        layer(x, bias=bias.long())


@pytest.mark.parametrize("queries", [None, 0, torch.tensor([[2, 4, 0, 1, 3]])])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("views", [False, True])
def test_the_compiled_path_is_the_one_that_records(queries, train, views):
    """Output and gradients with maps and without; N views of a scene as well."""
    layer = EntityAttention(64, 4).train(train)
    x, visibility = scene(torch.float32, dim=64)
    present = PRESENT
    if views and isinstance(queries, torch.Tensor):
        queries = queries.unsqueeze(0)
    if views:
        x, present = x.unsqueeze(1), PRESENT.unsqueeze(1)
        visibility = torch.rand(4, 3, 5, 5) < 0.5
    x.requires_grad_()
    assert layer._is_compiled(x)
    outcomes = []
    for recorded in (False, True):
        out = run(layer, recorded, x, present, visibility, queries=queries)
        leaves = (x, *layer.parameters())
        outcomes.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    for a, b in zip(*outcomes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_traced_and_transformed_code_takes_torchs_path():
    layer = EntityAttention(8, 2)
    x, visibility = scene(torch.float32)
    wanted = layer(x, PRESENT, visibility)
    exported = torch.export.export(layer, (x, PRESENT, visibility)).module()
    torch.testing.assert_close(exported(x, PRESENT, visibility), wanted)
    mapped = torch.func.vmap(layer)(x, PRESENT, visibility)
    torch.testing.assert_close(mapped, wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x, PRESENT, visibility).dtype == torch.bfloat16


def test_it_can_be_differentiated_twice_in_float32():
    layer = EntityAttention(8, 2)
    double = EntityAttention(8, 2).double()
    double.load_state_dict(layer.state_dict())
    found = []
    for module, dtype in ((layer, torch.float32), (double, torch.float64)):
        x, visibility = scene(dtype)
        x.requires_grad_()
        out = module(x, PRESENT, visibility)
        (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), (x, *module.parameters())))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-4)

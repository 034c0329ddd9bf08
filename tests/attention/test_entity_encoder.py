"""The encoder: shapes, pools, exact zeros, order, padding, precision and messages.

What it may not reveal is tested beside it, in test_entity_encoder_leaks.py.
"""

import pytest
import torch

from maskrl.attention import EntityEncoder, observer_view, record_attention
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError

POOLS = ["self", "mean", "max", "attention"]
PRESENT = torch.tensor(
    [[True, True, False, True, True], [True] * 5, [False] * 5, [True, False, False, False, False]]
)


def scene(dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.rand(4, 5, 5, generator=generator) < 0.6


def make(pool=None, dtype=torch.float64, **options):
    torch.manual_seed(5)
    return EntityEncoder(3, 8, **{"depth": 2, "heads": 2, **options}, pool=pool).to(dtype)


@pytest.mark.parametrize("pool", POOLS)
def test_shapes_with_pooling(pool):
    x, visibility = scene()
    encoder = make(pool)
    assert encoder.out_features == 8
    assert encoder(x, PRESENT, visibility, observer=0).shape == (4, 8)
    assert encoder(x, PRESENT, visibility, observer=torch.tensor(1)).shape == (4, 8)
    assert encoder(x, PRESENT, visibility, observer=torch.tensor([[0, 3]])).shape == (4, 2, 8)
    assert encoder(x, PRESENT, observer=torch.zeros(4, 1).long()).shape == (4, 1, 8)
    assert encoder(x[0], PRESENT[0], visibility[0], observer=2).shape == (8,)
    assert encoder(x, observer=torch.tensor([[0, 3]])).shape == (4, 2, 8)
    assert encoder(x, None, visibility, observer=torch.tensor([[0, 3]])).shape == (4, 2, 8)
    if pool != "self":
        assert encoder(x).shape == (4, 8)
        assert encoder(x, PRESENT).shape == (4, 8)


def test_shapes_without_pooling():
    x, visibility = scene()
    encoder = make()
    whole = encoder(x, PRESENT, visibility)
    assert whole.shape == (4, 5, 8)
    torch.testing.assert_close(encoder(x, PRESENT, visibility, queries=3), whole[:, 3:4])
    chosen = encoder(x, PRESENT, visibility, queries=torch.tensor([[4, 0]]))
    torch.testing.assert_close(chosen, whole[:, [4, 0]])


def test_its_own_row_is_the_row_of_the_unpooled_scene():
    x, visibility = scene()
    rows = make()(x, PRESENT, visibility)
    for observer in range(5):
        torch.testing.assert_close(
            make("self")(x, PRESENT, visibility, observer=observer), rows[:, observer]
        )


@pytest.mark.parametrize("pool", POOLS)
def test_several_observers_are_one_each(pool):
    x, visibility = scene()
    encoder = make(pool)
    index = torch.tensor([[0, 3], [1, 1], [2, 4], [4, 0]])
    together = encoder(x, PRESENT, visibility, observer=index)
    for b in range(4):
        for q in range(2):
            alone = encoder(x[b], PRESENT[b], visibility[b], observer=int(index[b, q]))
            torch.testing.assert_close(together[b, q], alone)


@pytest.mark.parametrize("pool", POOLS)
def test_many_views_of_one_scene_are_one_each(pool):
    x, visibility = scene()
    encoder = make(pool)
    views = observer_view(visibility)
    observer = torch.arange(5).unsqueeze(-1)
    together = encoder(x.unsqueeze(1), PRESENT.unsqueeze(1), views, observer=observer)
    assert together.shape == (4, 5, 1, 8)
    for i in range(5):
        alone = encoder(x, PRESENT, observer_view(visibility, i), observer=i)
        torch.testing.assert_close(together[:, i, 0], alone)


def test_the_last_layer_computes_only_what_is_asked_for():
    x, visibility = scene()
    encoder = make("self")
    with record_attention(encoder) as maps:
        encoder(x, PRESENT, visibility, observer=0)
    assert [m.shape[-2] for m in maps] == [5, 1]
    encoder = make()
    with record_attention(encoder) as maps:
        encoder(x, PRESENT, visibility, queries=torch.tensor([[1, 2]]))
    assert [m.shape[-2] for m in maps] == [5, 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("pool", [None, *POOLS])
def test_absent_entities_and_observers_are_exactly_zero(dtype, train, pool):
    x, visibility = scene(dtype)
    x.requires_grad_()
    encoder = make(pool, dtype).train(train)
    index = torch.arange(5)[None]
    for recorded in (False, True):
        if pool is None:
            inputs = {}
        else:
            inputs = {"observer": index}
        if recorded:
            with record_attention(encoder):
                out = encoder(x, PRESENT, visibility, **inputs)
        else:
            out = encoder(x, PRESENT, visibility, **inputs)
        assert (out[~PRESENT] == 0).all()
        assert out.isfinite().all()
        assert (out[PRESENT] != 0).any()
        upstream = torch.ones_like(out)
        (grad,) = torch.autograd.grad(out, x, upstream, retain_graph=True)
        assert (grad[~PRESENT] == 0).all()
        upstream[PRESENT] = 0
        grads = torch.autograd.grad(out, (x, *encoder.parameters()), upstream, allow_unused=True)
        assert all((g == 0).all() for g in grads if g is not None)


@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_a_scene_of_nobody_pools_to_zero(pool):
    x, _ = scene()
    out = make(pool)(x, PRESENT)
    assert (out[2] == 0).all()
    assert (out[[0, 1, 3]] != 0).any(-1).all()


@pytest.mark.parametrize("rubbish", [float("nan"), float("-inf"), 1e30])
@pytest.mark.parametrize("pool", [None, *POOLS])
def test_what_padding_holds_changes_no_bit(rubbish, pool):
    x, visibility = scene(torch.float32)
    encoder = make(pool, torch.float32)
    inputs = {} if pool is None else {"observer": 0}
    results = []
    for content in (0.0, rubbish):
        encoder.zero_grad()
        out = encoder(torch.where(PRESENT.unsqueeze(-1), x, content), PRESENT, visibility, **inputs)
        out.square().sum().backward()
        results.append([out, *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("pool", [None, *POOLS])
def test_more_padding_changes_nothing(pool):
    """From 5 to 64 slots, in float32, across the change of kernels."""
    x, visibility = scene(torch.float32)
    encoder = make(pool, torch.float32)
    wide_x = torch.full((4, 64, 3), float("nan"))
    wide_x[:, :5] = x
    wide_mask = torch.zeros(4, 64, dtype=torch.bool)
    wide_mask[:, :5] = PRESENT
    wide_sight = torch.zeros(4, 64, 64, dtype=torch.bool)
    wide_sight[:, :5, :5] = visibility
    inputs = {} if pool is None else {"observer": 1}
    narrow = encoder(x, PRESENT, visibility, **inputs)
    wide = encoder(wide_x, wide_mask, wide_sight, **inputs)
    if pool is None:
        assert (wide[:, 5:] == 0).all()
        wide = wide[:, :5]
    torch.testing.assert_close(wide, narrow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", [None, *POOLS])
def test_entities_have_no_order(pool):
    x, visibility = scene()
    encoder = make(pool, feed_forward=6)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned_scene = x[:, order], PRESENT[:, order], visibility[:, order][:, :, order]
    index = torch.arange(5)[None]
    inputs = {"queries": index} if pool is None else {"observer": index}
    turned = encoder(*turned_scene, **inputs)
    torch.testing.assert_close(turned, encoder(x, PRESENT, visibility, **inputs)[:, order])


@pytest.mark.parametrize("pool", POOLS)
def test_a_view_may_be_given_as_padding(pool):
    """For one observer, what it does not see is as good as absent."""
    x, visibility = scene()
    encoder = make(pool, depth=3)
    for observer in range(5):
        seen = visibility[:, observer].clone()
        seen[:, observer] = True
        torch.testing.assert_close(
            encoder(x, PRESENT & seen, observer=observer),
            encoder(x, PRESENT, observer_view(visibility, observer), observer=observer),
        )


def test_options_change_the_network_and_keep_the_contract():
    x, visibility = scene()
    for options in (
        {"feed_forward": 16},
        {"embedding": "linear"},
        {"dim_head": 3},
        {"depth": 1},
        {"depth_safe": False},
    ):
        out = make("mean", **options)(x, PRESENT, visibility, observer=0)
        assert out.shape == (4, 8)
        assert (out[2] == 0).all()
    names = dict(make(embedding="linear").named_parameters())
    assert "embedding.0.weight" in names
    assert "embedding.2.weight" not in names


@pytest.mark.parametrize("pool", POOLS)
def test_the_count_of_what_an_observer_sees_is_the_last_feature(pool):
    x, visibility = scene()
    plain, counting = make(pool), make(pool, count_feature=True)
    assert (counting.out_features, plain.out_features) == (9, 8)
    observers = torch.tensor([[0, 3, 3]])
    out = counting(x, PRESENT, visibility, observer=observers)
    assert torch.equal(out[..., :8], plain(x, PRESENT, visibility, observer=observers))
    for b in range(4):
        for q, i in enumerate([0, 3, 3]):
            sees = sum(
                bool(PRESENT[b, i] and PRESENT[b, j] and (visibility[b, i, j] or i == j))
                for j in range(5)
            )
            torch.testing.assert_close(out[b, q, 8].exp() - 1, torch.tensor(float(sees)).double())
    assert (out[2] == 0).all(), "nobody is there, and nobody is counted"
    alone = counting(x[0], PRESENT[0], visibility[0], observer=3)
    torch.testing.assert_close(alone, out[0, 1])


@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_without_observers_everybody_there_is_counted(pool):
    x, _ = scene()
    encoder = make(pool, count_feature=True)
    expected = torch.tensor([4.0, 5.0, 0.0, 1.0]).double()
    torch.testing.assert_close(encoder(x, PRESENT)[:, 8].exp() - 1, expected)
    torch.testing.assert_close(encoder(x)[:, 8].exp() - 1, torch.full((4,), 5.0).double())
    several = encoder(x, observer=torch.tensor([[0, 3]]))
    torch.testing.assert_close(several[..., 8].exp() - 1, torch.full((4, 2), 5.0).double())


def test_the_count_is_of_what_is_seen_also_where_depth_safe_pools_over_less():
    chain = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    encoder = make("mean", count_feature=True)
    out = encoder(torch.randn(3, 3).double(), visibility=chain, observer=torch.tensor([0, 2]))
    torch.testing.assert_close(out[:, 8].exp() - 1, torch.tensor([2.0, 1.0]).double())


@pytest.mark.parametrize("far", [65504.0, -65504.0, float("inf"), 1e30])
def test_half_precision_does_not_overflow(far):
    """float16 ends at 65504, which an embedding would leave at once."""
    x, visibility = scene(torch.float32)
    x[1, 2] = far
    present = torch.ones_like(PRESENT)
    encoder = make("mean", torch.float16, feed_forward=6)
    out = encoder(x, present, visibility, observer=torch.arange(5)[None])
    assert out.dtype == torch.float16
    assert out.isfinite().all()


@pytest.mark.parametrize("far", [1.0, 6e4, 1e30, float("inf")])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("embedding", ["mlp", "linear"])
def test_what_is_hidden_leaves_gradients_in_half_precision_alone(far, autocast, embedding):
    """The gradient of a weight multiplies an input by 0, and 0 * inf is not 0."""
    x, visibility = scene(torch.float32)
    view = observer_view(visibility, 0)
    hidden = ~view[:, 0]
    assert hidden.any()
    dtype = torch.float32 if autocast else torch.float16

    def gradients(value):
        encoder = make("mean", dtype, embedding=embedding)
        with torch.no_grad():
            encoder.embedding[0].weight.abs_().mul_(8.0)  # so that 1e4 leaves float16 within
        inputs = x.masked_fill(hidden.unsqueeze(-1), value)
        with torch.autocast("cpu", dtype=torch.float16, enabled=autocast):
            out = encoder(inputs, None, view, observer=0)
        out.float().sum().backward()
        return [out, *(p.grad for p in encoder.parameters())]

    found, expected = gradients(far), gradients(0.5)
    assert all(part.isfinite().all() for part in expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_whole_numbers_are_features_too():
    """The observation of a grid world is often int64."""
    x = torch.tensor([[[3, 0, 0], [2, 6, 1], [6, 4, 2], [6, 0, 3]]])
    encoder = make("self", torch.float32)
    torch.testing.assert_close(encoder(x, observer=0), encoder(x.float(), observer=0))


def test_it_can_be_exported():
    """Tracing takes the fused kernel and looks at no value; the numbers stay the same."""
    encoder = make("mean", torch.float32)

    class FirstObserver(torch.nn.Module):
        def forward(self, x, entity_mask, visibility):
            return encoder(x, entity_mask, visibility, observer=0)

    inputs = (scene(torch.float32)[0], PRESENT, scene()[1])
    exported = torch.export.export(FirstObserver(), inputs).module()
    torch.testing.assert_close(exported(*inputs), FirstObserver()(*inputs), rtol=1e-5, atol=1e-6)


def test_it_can_be_exported_for_any_number_of_scenes():
    """Also with the observers as an input: choosing their rows fixes no size."""
    encoder = make("self", torch.float32, depth=1)

    class Chosen(torch.nn.Module):
        def forward(self, x, entity_mask, visibility, observer):
            return encoder(x, entity_mask, visibility, observer=observer)

    def inputs(scenes):
        x, visibility = scene(torch.float32)
        rows = torch.tensor([[0, 3], [1, 2], [4, 0], [0, 0]])
        return tuple(t[:scenes] for t in (x, PRESENT, visibility, rows))

    free = {0: torch.export.Dim("scenes", min=2, max=64)}
    exported = torch.export.export(Chosen(), inputs(3), dynamic_shapes=(free,) * 4).module()
    for scenes in (2, 4):
        given = inputs(scenes)
        torch.testing.assert_close(exported(*given), Chosen()(*given), rtol=1e-5, atol=1e-6)


def test_gradients_are_right():
    encoder = make("attention", depth=2)
    x, visibility = scene()
    x = x[:2].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: encoder(t, PRESENT[:2], visibility[:2], observer=1), x
    )


def test_messages():
    x, visibility = scene()
    with pytest.raises(ConfigError, match="depth is 0; expected a positive whole number"):
        make(depth=0)
    with pytest.raises(ConfigError, match="pool is 'sum'"):
        make("sum")
    with pytest.raises(ConfigError, match="count_feature is given and pool is None"):
        make(count_feature=True)
    with pytest.raises(ConfigError, match="in_features is 0; expected a positive whole number"):
        EntityEncoder(0, 8, 1, 1)
    with pytest.raises(MaskShapeError, match=r"x has shape \(3,\); expected \[\.\.\., E, 3\]"):
        make()(x[0, 0])
    with pytest.raises(MaskShapeError, match=r"observer\[\.\.\., None\], of shape \(4, 1\)"):
        make("mean")(x, PRESENT, visibility, observer=torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ConfigError, match="embedding is 'table'"):
        make(embedding="table")
    with pytest.raises(ConfigError, match="feed_forward is -1"):
        make(feed_forward=-1)
    with pytest.raises(ConfigError, match="3 heads do not divide dim 8"):
        make(heads=3)
    with pytest.raises(MaskShapeError, match=r"x has shape \(4, 5, 2\); expected \[\.\.\., E, 3\]"):
        make()(x[..., :2])
    with pytest.raises(MaskDtypeError, match="visibility has dtype torch.float64"):
        make()(x, PRESENT, visibility.double())
    with pytest.raises(MaskShapeError, match="observer is 9"):
        make("mean")(x, PRESENT, visibility, observer=9)
    with pytest.raises(MaskError, match="pooling over everybody would reveal"):
        make("mean")(x, PRESENT, visibility)
    with pytest.raises(MaskError, match="expected observer, got None"):
        make("self")(x, PRESENT)
    with pytest.raises(MaskError, match="queries are given and pool is 'mean'"):
        make("mean")(x, queries=0, observer=0)
    with pytest.raises(MaskError, match="observer is given and pool is None"):
        make()(x, observer=0)

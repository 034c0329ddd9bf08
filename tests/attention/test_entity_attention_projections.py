"""Projections that are no plain linear layer any more: called, never bypassed, on every path."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from maskrl.attention import EntityAttention, record_attention
from maskrl.attention.entity_attention import is_plain

PRESENT = torch.tensor([[True, True, True, False], [True, False, True, True]])
QUERIES = [None, 0, torch.tensor([[2, 1], [0, 3]])]


class Adapter(nn.Module):
    """A low-rank adapter as libraries have them: the frozen weight is still to be seen."""

    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)

    @property
    def weight(self):
        return self.base.weight

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def scene():
    return torch.randn(2, 4, 8), torch.rand(2, 4, 4) < 0.6


def outcome(layer, queries, recorded, x, visibility):
    if recorded:
        with record_attention(layer):
            return layer(x, PRESENT, visibility, queries=queries)
    return layer(x, PRESENT, visibility, queries=queries)


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("recorded", [False, True])
def test_an_adapter_acts_as_a_merged_weight(queries, recorded):
    adapted, merged = EntityAttention(8, 2), EntityAttention(8, 2)
    for name in ("qkv", "out"):
        adapter = Adapter(getattr(adapted, name))
        setattr(adapted, name, adapter)
        with torch.no_grad():
            total = adapter.base.weight + adapter.up.weight @ adapter.down.weight
            getattr(merged, name).weight.copy_(total)
    x, visibility = scene()
    out = outcome(adapted, queries, recorded, x, visibility)
    torch.testing.assert_close(out, outcome(merged, queries, False, x, visibility))
    out.square().sum().backward()
    assert all(p.grad.any() for p in adapted.parameters() if p.requires_grad)
    assert adapted.qkv.base.weight.grad is None


@pytest.mark.parametrize("queries", QUERIES)
def test_hooks_and_biases_act(queries):
    layer, x, visibility = EntityAttention(8, 2), *scene()
    before = layer(x, PRESENT, visibility, queries=queries)
    called = []
    handles = [
        getattr(layer, name).register_forward_hook(lambda *_, name=name: called.append(name))
        for name in ("qkv", "out")
    ]
    torch.testing.assert_close(layer(x, PRESENT, visibility, queries=queries), before)
    assert called == ["qkv", "out"]
    for handle in handles:
        handle.remove()
    assert is_plain(layer.qkv)
    for name in ("qkv", "out"):
        biased = copy.deepcopy(layer)
        bias = torch.full((getattr(layer, name).out_features,), 0.5)
        getattr(biased, name).bias = nn.Parameter(bias)
        out = biased(x, PRESENT, visibility, queries=queries)
        assert not torch.allclose(out, before)
        kept = PRESENT if queries is None else PRESENT[:, :1]
        if not isinstance(queries, torch.Tensor):
            assert not out[~kept].any()


@pytest.mark.parametrize("queries", QUERIES)
def test_a_pruned_layer_learns(queries):
    """Its weight is made anew by a hook before each call."""
    layer, x, visibility = EntityAttention(8, 2), *scene()
    prune.random_unstructured(layer.qkv, "weight", 0.5)
    for _ in range(2):
        out = layer(x, PRESENT, visibility, queries=queries)
        (gradient,) = torch.autograd.grad(out.sum(), layer.qkv.weight_orig)
        assert not gradient[layer.qkv.weight_mask == 0].any()
        with torch.no_grad():
            layer.qkv.weight_orig.sub_(gradient)
    assert not torch.allclose(out, layer(x, PRESENT, visibility, queries=queries))


def test_what_makes_a_projection_plain():
    def linear():
        return nn.Linear(4, 4, bias=False)

    assert is_plain(linear())
    assert not is_plain(nn.Linear(4, 4))
    assert not is_plain(Adapter(linear()))
    assert not is_plain(nn.utils.parametrizations.orthogonal(linear()))
    patched = linear()
    patched.forward = lambda x: x
    assert not is_plain(patched)
    hooked = linear()
    hooked.register_full_backward_hook(lambda *_: None)
    assert not is_plain(hooked)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not is_plain(linear())
    finally:
        handle.remove()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sight", [False, True])
def test_nobody_may_be_asked_for(dtype, sight):
    layer, (x, visibility) = EntityAttention(8, 2).to(dtype), scene()
    x = x.to(dtype).requires_grad_()
    nobody = torch.empty(2, 0, dtype=torch.int64)
    out = layer(x, PRESENT, visibility if sight else None, queries=nobody)
    assert out.shape == (2, 0, 8)
    out.sum().backward()
    assert not x.grad.any()


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("recorded", [False, True])
def test_autocast_has_gradients_on_every_path(queries, recorded):
    layer, x, visibility = EntityAttention(8, 2), *scene()
    wanted = layer(x, PRESENT, visibility, queries=queries)
    with torch.autocast("cpu", torch.bfloat16):
        out = outcome(layer, queries, recorded, x, visibility)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), wanted, rtol=0.1, atol=0.1)
    out.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


def test_a_score_that_overflows_shows():
    layer = EntityAttention(2, 1)
    with torch.no_grad():
        layer.qkv.weight.zero_()
        for row, value in ((0, 1.0), (2, -1.0), (4, 1.0)):
            layer.qkv.weight[row, 0] = value
    assert layer(torch.tensor([[[1e20, 0.0]]])).isnan().all()

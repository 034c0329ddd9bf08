"""A layer as one operation: the definition, group by group, with exact zeros both ways."""

import pytest
import torch

from maskrl.kernels.scenes import layer_plan
from maskrl.kernels.scenes.definition import Sight, layer_by_definition
from maskrl.kernels.scenes.layer import scene_layer


def parts(entities=6, scenes=7, dim=10, heads=2, width=8):
    generator = torch.Generator().manual_seed(entities)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    there = torch.rand(scenes, entities, generator=generator) < 0.7
    there[1] = False  # a scene that holds nothing
    mask = torch.rand(scenes, entities, entities, generator=generator) < 0.6
    weights = 0.4 * normal(3 * heads * width, dim), 0.4 * normal(dim, heads * width)
    tensors = normal(scenes, entities, dim), *weights
    return tensors, Sight(heads, width**-0.5, mask, there, there), normal(scenes, entities, dim)


def outcome(function, tensors, sight, upstream, dtype=torch.float32):
    leaves = [t.detach().to(dtype).requires_grad_() for t in tensors]
    out = function(*leaves, sight)
    return [out, *torch.autograd.grad(out, leaves, upstream.to(dtype))]


@pytest.mark.parametrize("rows", [1, 13, 4096])
@pytest.mark.parametrize("entities", [1, 6, 40])
def test_it_equals_the_definition_in_groups_of_any_size(monkeypatch, rows, entities):
    monkeypatch.setattr(layer_plan, "BATCH_ROWS", rows)
    tensors, sight, upstream = parts(entities)
    for sight_ in (sight, Sight(2, 0.3), Sight(2, 0.3, sight.permission[:1])):
        wanted = outcome(layer_by_definition, tensors, sight_, upstream, torch.float64)
        found = outcome(scene_layer, tensors, sight_, upstream)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), 1e30])
def test_what_is_not_there_changes_no_bit(rubbish):
    tensors, sight, upstream = parts()
    absent = ~sight.there.unsqueeze(-1)
    clean = outcome(scene_layer, tensors, sight, upstream)
    dirty_x = torch.where(absent, rubbish, tensors[0])
    dirty = outcome(
        scene_layer, (dirty_x, *tensors[1:]), sight, torch.where(absent, rubbish, upstream)
    )
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)
    for found in clean[:2]:
        assert (found[~sight.there] == 0).all()
        assert (found[sight.there] != 0).any()


def test_without_a_graph_it_is_the_same():
    tensors, sight, _ = parts()
    with_graph = scene_layer(tensors[0].requires_grad_(), *tensors[1:], sight)
    with torch.inference_mode():
        assert torch.equal(scene_layer(*tensors, sight), with_graph)


def test_second_derivatives():
    tensors, sight, _ = parts(scenes=3, entities=4)
    found = []
    for function, dtype in ((scene_layer, torch.float32), (layer_by_definition, torch.float64)):
        leaves = [(0.3 * t.detach()).to(dtype).requires_grad_() for t in tensors]
        out = function(*leaves, sight)
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)


def test_gradients_of_some_only():
    tensors, sight, upstream = parts()
    x, into, out_of = (t.detach() for t in tensors)
    whole = outcome(scene_layer, tensors, sight, upstream)
    into.requires_grad_()
    scene_layer(x, into, out_of, sight).backward(upstream)
    assert x.grad is None
    assert out_of.grad is None
    torch.testing.assert_close(into.grad, whole[2])


def test_a_mask_written_to_before_the_way_back_is_noticed():
    for which in ("permission", "there"):
        (x, into, out_of), sight, _ = parts()
        out = scene_layer(x, into.requires_grad_(), out_of, sight)
        getattr(sight, which).logical_not_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.sum().backward()


def test_hooks_may_give_back_saved_tensors_in_another_layout():
    tensors, sight, upstream = parts()
    wanted = outcome(scene_layer, tensors, sight, upstream)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.mT.contiguous(), lambda t: t.mT):
        found = outcome(scene_layer, tensors, sight, upstream)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)

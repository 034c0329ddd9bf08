"""One operation of torch: derivatives of derivatives, batched ones, and who is turned away."""

import pytest
import torch
from torch._dynamo import compiled_autograd
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from maskrl import set_backend
from maskrl.kernels.scenes.definition import Sight, attention_by_definition
from maskrl.kernels.scenes.function import fits, scene_attention, takes


@pytest.mark.parametrize("kind", ["joint", "apart", "shared"])
def test_second_derivatives_are_those_of_the_definition(draw_scene, kind):
    rows, memory, sight = draw_scene(kind, 3, 5, 8, "pair", True, True)
    found = []
    for function, dtype in (
        (scene_attention, torch.float32),
        (attention_by_definition, torch.float64),
    ):
        leaves = [t.detach().to(dtype).requires_grad_() for t in (rows, memory) if t is not None]
        out = function(leaves[0], leaves[1] if memory is not None else None, sight)
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)


def test_several_gradients_at_once(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    rows.requires_grad_()
    out = scene_attention(rows, None, sight)
    upstream = torch.randn(4, *out.shape)
    (batched,) = torch.autograd.grad(out, rows, upstream, is_grads_batched=True, retain_graph=True)
    for one, g in zip(batched, upstream, strict=True):
        torch.testing.assert_close(one, torch.autograd.grad(out, rows, g, retain_graph=True)[0])


def test_only_what_is_wanted_gets_a_gradient(draw_scene):
    rows, memory, sight = draw_scene("apart", 3, 5, 8, "pair", False, False)
    memory.requires_grad_()
    scene_attention(rows, memory, sight).sum().backward()
    assert rows.grad is None
    assert memory.grad is not None
    with torch.inference_mode():
        assert not scene_attention(rows, memory, sight).requires_grad


def test_inputs_in_any_layout(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    turned = rows.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(scene_attention(turned, None, sight), scene_attention(rows, None, sight))


def test_who_is_turned_away(draw_scene):
    rows, _, _ = draw_scene("joint", 5, 5, 8, "pair", True, True)
    assert takes(rows)
    assert not takes(rows.double())
    assert not takes(rows.bfloat16())
    assert not takes(rows[:0])
    assert not takes(rows.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes(rows)
    seen = []
    torch.func.vmap(lambda r: seen.append(takes(r)) or r)(rows)
    with torch.autograd.forward_ad.dual_level():
        seen.append(takes(rows))
    assert seen == [False, False]
    set_backend("reference")
    try:
        assert not takes(rows)
    finally:
        set_backend("auto")
    assert fits(128, 16)
    assert not fits(100_000, 16)


@pytest.mark.parametrize("which", ["permission", "looking", "there"])
def test_a_mask_written_to_before_the_way_back_is_noticed(draw_scene, which):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    out = scene_attention(rows.requires_grad_(), None, sight)
    getattr(sight, which).logical_not_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_masks_made_in_inference_mode_serve_a_graph(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    with torch.inference_mode():
        made = Sight(2, sight.scale, *(m.clone() for m in sight.saved()))
    rows.requires_grad_()
    found, wanted = (
        torch.autograd.grad(scene_attention(rows, None, s).sum(), rows) for s in (made, sight)
    )
    assert torch.equal(found[0], wanted[0])


def test_hooks_may_give_back_saved_tensors_in_another_layout(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    rows.requires_grad_()
    (wanted,) = torch.autograd.grad(scene_attention(rows, None, sight).square().sum(), rows)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.mT.contiguous(), lambda t: t.mT):
        out = scene_attention(rows, None, sight)
    # Of what is squared nothing is asked: its own hooks are not the point.
    (found,) = torch.autograd.grad(out, rows, 2 * out.detach())
    assert torch.equal(found, wanted)


def test_modes_that_make_other_tensors_or_count_operations_are_left_alone(draw_scene):
    rows, _, _ = draw_scene("joint", 5, 5, 8, "pair", True, True)
    with FlopCounterMode(display=False):
        assert not takes(rows)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert not takes(rows)
    assert takes(rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_traced_way_back_is_torchs_own(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 8, "pair", True, True)
    rows.requires_grad_()
    (wanted,) = torch.autograd.grad(scene_attention(rows, None, sight).sum(), rows)
    with compiled_autograd._enable(torch.compile(backend="eager")):
        scene_attention(rows, None, sight).sum().backward()
    torch.testing.assert_close(rows.grad, wanted)

"""The compiled layer against the definition in float64, for sizes that fill no vector or batch."""

import pytest
import torch

from maskrl.kernels.scenes import layer, layer_plan
from maskrl.kernels.scenes.definition import Sight, layer_by_definition
from maskrl.kernels.scenes.layer import scene_layer


def draw(scenes, entities, dim, heads, width, mask, some_absent):
    generator = torch.Generator().manual_seed(entities * dim + width)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    def flags(*shape):
        return torch.rand(shape, generator=generator) < 0.6

    shapes = {"none": None, "same": (scenes, 1, entities), "pair": (scenes, entities, entities)}
    there = flags(scenes, entities) if some_absent else None
    permission = None if shapes[mask] is None else flags(*shapes[mask])
    tensors = (
        normal(scenes, entities, dim),
        dim**-0.5 * normal(3 * heads * width, dim),
        (heads * width) ** -0.5 * normal(dim, heads * width),
    )
    sight = Sight(heads, width**-0.5, permission, there, there)
    return tensors, sight, normal(scenes, entities, dim)


def outcome(function, tensors, sight, upstream, dtype=torch.float32):
    leaves = [t.detach().to(dtype).requires_grad_() for t in tensors]
    out = function(*leaves, sight)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream.to(dtype))]


@pytest.mark.parametrize(
    ("dim", "heads", "width"), [(3, 1, 1), (20, 3, 5), (16, 2, 24), (64, 4, 16)]
)
@pytest.mark.parametrize("mask", ["none", "same", "pair"])
@pytest.mark.parametrize("some_absent", [False, True])
def test_it_equals_the_definition(dim, heads, width, mask, some_absent):
    for scenes, entities in ((1, 1), (30, 7), (5, 19), (3, 50), (2, 140)):
        tensors, sight, upstream = draw(scenes, entities, dim, heads, width, mask, some_absent)
        wanted = outcome(layer_by_definition, tensors, sight, upstream, torch.float64)
        found = outcome(scene_layer, tensors, sight, upstream)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("entities", [3, 7, 19, 50])
def test_what_memory_held_before_changes_no_bit(monkeypatch, entities):
    tensors, sight, upstream = draw(9, entities, 20, 3, 5, "pair", True)
    found = []
    for rubbish in (0.0, float("nan"), 1e30):
        made = layer_plan.LayerPlan._with_room.__func__

        def with_rubbish(cls, numbers, made=made, rubbish=rubbish):
            plan = made(cls, numbers)
            plan._room.fill_(rubbish)
            return plan

        def saved_rubbish(*arguments, saved=layer._saved, rubbish=rubbish):
            return tuple(t.fill_(rubbish) for t in saved(*arguments))

        with monkeypatch.context() as patch:
            patch.setattr(layer_plan.LayerPlan, "_with_room", classmethod(with_rubbish))
            patch.setattr(layer, "_saved", saved_rubbish)
            found.append(outcome(scene_layer, tensors, sight, upstream))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


def test_errors_of_sums_over_many_rows_stay_small():
    """Gradients of weights add up 40,000 rows; naively summed they would be off by more."""
    tensors, sight, _ = draw(5000, 8, 8, 1, 8, "none", False)
    tensors = (tensors[0].abs(), *tensors[1:])
    upstream = torch.ones_like(tensors[0])
    wanted = outcome(layer_by_definition, tensors, sight, upstream, torch.float64)
    found = outcome(scene_layer, tensors, sight, upstream)
    for a, b in zip(found[2:], wanted[2:], strict=True):
        assert ((a - b).abs() / b.abs().max()).max() < 2e-6

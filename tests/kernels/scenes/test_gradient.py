"""The compiled gradient against that of the definition in float64."""

import pytest
import torch

from maskrl.kernels.scenes.definition import Sight, attention_by_definition
from maskrl.kernels.scenes.function import scene_attention

SIZES = [(1, 1), (3, 5), (8, 8), (12, 9), (16, 33), (40, 70)]


def gradients(function, rows, memory, sight, upstream, dtype):
    leaves = [t.detach().to(dtype).requires_grad_() for t in (rows, memory) if t is not None]
    out = function(leaves[0], leaves[1] if memory is not None else None, sight)
    return torch.autograd.grad(out, leaves, upstream.to(dtype))


@pytest.mark.parametrize("kind", ["joint", "apart", "shared"])
@pytest.mark.parametrize("width", [1, 5, 8, 16, 24, 64])
def test_it_equals_the_gradient_of_the_definition(draw_scene, kind, width):
    for queries, keys in SIZES:
        for mask in ("none", "same", "pair"):
            for looking, there in ((False, False), (True, True)):
                rows, memory, sight = draw_scene(kind, queries, keys, width, mask, looking, there)
                upstream = torch.randn(*rows.shape[:2], sight.heads * width)
                found, wanted = (
                    gradients(f, rows, memory, sight, upstream, dtype)
                    for f, dtype in (
                        (scene_attention, torch.float32),
                        (attention_by_definition, torch.float64),
                    )
                )
                for a, b in zip(found, wanted, strict=True):
                    torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [8, 16])
def test_what_is_hidden_from_all_has_gradient_exactly_zero(draw_scene, width):
    rows, memory, _ = draw_scene("apart", 5, 7, width, "none", False, False)
    mask = torch.ones(3, 5, 7, dtype=torch.bool)
    mask[:, :, 4] = False
    mask[:, 2] = False  # a query that may attend to nothing
    sight = Sight(2, 0.25, mask)
    upstream = torch.randn(3, 5, 2 * width)
    of_rows, of_memory = gradients(scene_attention, rows, memory, sight, upstream, torch.float32)
    assert (scene_attention(rows, memory, sight)[:, 2] == 0).all()
    assert (of_rows[:, 2] == 0).all()
    assert (of_memory[:, 4] == 0).all()
    assert (of_memory[:, 3] != 0).any()


def test_no_number_in_what_is_not_there_reaches_anybody(draw_scene):
    """Neither from the rows nor from their upstream gradient."""
    rows, _, sight = draw_scene("joint", 9, 9, 16, "pair", False, True)
    sight = Sight(2, 0.25, sight.permission, sight.there, sight.there)
    absent = ~sight.there.unsqueeze(-1)
    upstream = torch.randn(3, 9, 32)
    clean = gradients(scene_attention, rows, None, sight, upstream, torch.float32)
    nan = float("nan")
    dirty = gradients(
        scene_attention,
        torch.where(absent, nan, rows),
        None,
        sight,
        torch.where(absent, nan, upstream),
        torch.float32,
    )
    assert torch.equal(clean[0], dirty[0])
    assert (clean[0][~sight.there] == 0).all()

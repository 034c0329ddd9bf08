"""The compiled forward pass against the definition in float64."""

import pytest
import torch

from maskrl.kernels.scenes.definition import Sight, attention_by_definition
from maskrl.kernels.scenes.function import scene_attention

SIZES = [(1, 1), (3, 5), (8, 8), (4, 12), (12, 9), (16, 33), (33, 17), (40, 70)]


@pytest.mark.parametrize("kind", ["joint", "apart", "shared"])
@pytest.mark.parametrize("width", [1, 5, 8, 16, 24, 64])
def test_it_equals_the_definition(draw_scene, kind, width):
    for queries, keys in SIZES:
        for mask in ("none", "same", "pair"):
            for looking, there in ((False, False), (True, False), (False, True), (True, True)):
                rows, memory, sight = draw_scene(kind, queries, keys, width, mask, looking, there)
                wanted = attention_by_definition(
                    rows.double(), None if memory is None else memory.double(), sight
                )
                found = scene_attention(rows, memory, sight)
                torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-6)
                if looking:
                    assert (found[~sight.looking] == 0).all()


def test_masks_may_be_shared_and_strided(draw_scene):
    rows, _, sight = draw_scene("joint", 6, 6, 8, "pair", False, False)
    shared = Sight(2, 0.3, sight.permission[:1])
    repeated = Sight(2, 0.3, sight.permission[:1].expand(3, -1, -1))
    turned = Sight(2, 0.3, sight.permission[:1].transpose(1, 2).contiguous().transpose(1, 2))
    one = scene_attention(rows, None, shared)
    for other in (repeated, turned):
        assert torch.equal(scene_attention(rows, None, other), one)


def test_large_scores_do_not_overflow():
    rows = torch.full((1, 3, 3), 1e18)
    rows[0, :, 2] = torch.tensor([1.0, 2.0, 3.0])
    out = scene_attention(rows, None, Sight(1, 1.0))
    torch.testing.assert_close(out.flatten(), torch.full((3,), 2.0))


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), 1e38])
def test_what_is_not_there_is_not_read(draw_scene, rubbish):
    rows, _, sight = draw_scene("joint", 9, 9, 16, "pair", False, True)
    sight = Sight(2, 0.25, sight.permission, sight.there, sight.there)
    dirty = torch.where(sight.there.unsqueeze(-1), rows, rubbish)
    assert torch.equal(scene_attention(dirty, None, sight), scene_attention(rows, None, sight))

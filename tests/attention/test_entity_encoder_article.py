"""The founding article's scenes: who attends to the scorpion behind its trees, and who not.

Panda, watermelon, scorpion and dragon as x, y and type. Trees hide the scorpion from the
three others and do not blind it. So their rows put exactly 0 on it, its own row is a proper
distribution over all four, and every row sums to 1.
"""

import pytest
import torch

import maskrl
from maskrl.attention import EntityAttention, EntityEncoder, observer_view, record_attention

PANDA, WATERMELON, SCORPION, DRAGON = range(4)
OTHERS = [PANDA, WATERMELON, DRAGON]


def scene(env_id, dtype=torch.float32):
    """Entities [4, 3], who is there, and who sees whom."""
    env = maskrl.make(env_id, features="xyt")
    obs, _ = env.reset(seed=0)
    names = env.get_wrapper_attr("entity_names")
    assert [name.lower() for name in names] == ["panda", "watermelon", "scorpion", "dragon"]
    x, present, visibility = (
        torch.from_numpy(obs[key].copy()) for key in ("entities", "entity_mask", "visibility")
    )
    return x.to(dtype), present, visibility


def maps_of(module, *inputs, **options):
    with record_attention(module) as maps:
        module(*inputs, **options)
    return list(maps)


def test_the_scenes_are_those_of_the_article():
    x, present, visibility = scene("panda-trees")
    assert x.tolist() == [[3, 0, 0], [2, 6, 1], [6, 4, 2], [6, 0, 3]]
    assert present.all()
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[OTHERS, SCORPION] = True
    assert torch.equal(visibility, ~hidden)
    x_open, _, sees_open = scene("panda-open")
    assert torch.equal(x_open, x)
    assert sees_open.all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(3))
def test_only_the_scorpion_attends_to_the_scorpion(seed, dtype):
    torch.manual_seed(seed)
    x, present, visibility = scene("panda-trees", dtype)
    tolerance = 2e-2 if dtype is torch.bfloat16 else 1e-6
    embedded = torch.nn.Linear(3, 16).to(dtype)(x / 6)
    layer = EntityAttention(16, 4).to(dtype)
    encoder = EntityEncoder(3, 16, depth=2, heads=4).to(dtype)
    for maps in (
        maps_of(layer, embedded, present, visibility),
        maps_of(encoder, x, present, visibility),
    ):
        for m in maps:  # [heads, 4, 4]
            assert (m[:, OTHERS, SCORPION] == 0).all()
            torch.testing.assert_close(
                m.sum(-1), torch.ones_like(m[..., 0]), rtol=0, atol=tolerance
            )
            assert (m[:, SCORPION] >= 0).all()
        assert (maps[0][:, SCORPION] > 0).all(), "it looks at all four"
    everyone = maps_of(layer, embedded, present)[0]
    assert (everyone[:, OTHERS, SCORPION] > 0).all(), "without trees they would"


def test_the_scorpion_moves_nobody_else():
    torch.manual_seed(0)
    x, present, visibility = scene("panda-trees", torch.float64)
    moved = x.clone()
    moved[SCORPION, :2] = torch.tensor([0.0, 5.0])
    encoder = EntityEncoder(3, 16, depth=3, heads=4).double()
    before, after = (encoder(s, present, visibility) for s in (x, moved))
    assert torch.equal(before[OTHERS], after[OTHERS])
    assert not torch.equal(before[SCORPION], after[SCORPION])
    view = observer_view(visibility, PANDA)
    assert torch.equal(encoder(x, present, view)[PANDA], encoder(moved, present, view)[PANDA])
    assert not torch.equal(encoder(x, present)[PANDA], encoder(moved, present)[PANDA])

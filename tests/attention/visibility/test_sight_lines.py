"""Lines of sight as tensors: those of the worlds, batched, whatever the size of the grid."""

import numpy as np
import pytest
import torch

import maskrl
from maskrl import geometry
from maskrl.attention.visibility import field_of_view, line_of_sight, radius
from maskrl.attention.visibility.sight_lines import TABLE_BYTES, _trace
from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError

SCORPION = 2
OPEN = torch.zeros(3, 4, dtype=torch.bool)  # height 3, width 4


def scenes(width, height, count=4, entities=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(width, (count, entities), generator=generator)
    y = torch.randint(height, (count, entities), generator=generator)
    occluders = torch.rand(count, height, width, generator=generator) < 0.2
    return torch.stack([x, y], -1), occluders


def traced_by_hand(positions, occluders):
    """Sight by a loop over Bresenham's line, from the smaller cell number to the larger."""
    height, width = occluders.shape
    size = len(positions)
    free = np.ones((size, size), bool)
    for i in range(size):
        for j in range(size):
            ends = sorted((int(positions[k, 1]), int(positions[k, 0])) for k in (i, j))
            (y, x), (y1, x1) = ends
            dx, dy = abs(x1 - x), -abs(y1 - y)
            error = dx + dy
            while (y, x) != (y1, x1):
                doubled = 2 * error
                if doubled >= dy:
                    error, x = error + dy, x + (1 if x < x1 else -1)
                if doubled <= dx:
                    error, y = error + dx, y + (1 if y < y1 else -1)
                if (y, x) != (y1, x1):
                    free[i, j] &= not occluders[y, x]
    return torch.from_numpy(free)


@pytest.mark.parametrize(
    ("width", "height"), [(7, 7), (1, 6), (9, 5), (12, 16), (1, 1), (2, 1), (30, 33)]
)
def test_it_is_the_line_of_the_worlds(width, height):
    """Among the sizes are some above the limit of tables, which are traced."""
    positions, occluders = scenes(width, height)
    found = line_of_sight(positions, occluders)
    assert torch.equal(found, found.transpose(-1, -2))
    for one, places, grid in zip(found, positions, occluders, strict=True):
        expected = geometry.line_of_sight(places.numpy(), grid.numpy())
        assert np.array_equal(one.numpy(), expected)
    assert torch.equal(found, _trace(positions, occluders))


def test_both_ways_are_tried():
    def bytes_of(cells):
        return cells**2 * geometry.words_for(cells) * 8

    assert bytes_of(12 * 16) <= TABLE_BYTES < bytes_of(30 * 33)


@pytest.mark.parametrize(("width", "height"), [(70, 64), (3, 90)])
def test_grids_beyond_any_table(width, height):
    positions, occluders = scenes(width, height, count=2, entities=6)
    occluders &= torch.rand(occluders.shape, generator=torch.Generator().manual_seed(3)) < 0.2
    found = line_of_sight(positions, occluders)
    for one, places, grid in zip(found, positions, occluders, strict=True):
        assert torch.equal(one, traced_by_hand(places.numpy(), grid.numpy()))
    assert found.any() and not found.all()


def test_hand_drawn():
    """A tree in the middle of 3 x 3: it hides what lies behind it, and is seen, and sees."""
    tree = torch.zeros(3, 3, dtype=torch.bool)
    tree[1, 1] = True
    places = torch.tensor([[0, 1], [2, 1], [2, 0], [1, 1]])
    expected = [[1, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    assert line_of_sight(places, tree).int().tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_pandas_own_sight(seed):
    """`panda` writes its visibility without this module: both agree over whole episodes."""
    env = maskrl.make("panda")
    observation, _ = env.reset(seed=seed)
    generator = np.random.default_rng(seed)
    hidden_pairs = 0
    for _ in range(40):
        scene = env.unwrapped.scene()
        occluders = torch.zeros(scene.height, scene.width, dtype=torch.bool)
        for x, y in scene.trees:
            occluders[y, x] = True
        present = torch.from_numpy(observation["entity_mask"])
        creatures = [scene.panda, scene.watermelon, scene.scorpion, scene.dragon]
        places = torch.full((len(present), 2), -99)
        places[:4] = torch.tensor(creatures)
        sees = line_of_sight(places[:4], occluders)
        sees[SCORPION] = True  # in ambush, trees hide it and do not blind it
        shown = torch.from_numpy(observation["visibility"])
        assert torch.equal(shown[:4, :4], sees)
        # All slots, padding included, from what the features say.
        half = torch.tensor([(scene.width - 1) / 2, (scene.height - 1) / 2])
        features = torch.from_numpy(observation["entities"][:, 6:8])
        places = torch.where(present[:, None], (features * half + half).round().long(), -99)
        everybody = line_of_sight(places, occluders, entity_mask=present)
        everybody[SCORPION] |= present
        assert torch.equal(shown, everybody)
        hidden_pairs += int((~everybody[:4, :4]).sum())
        allowed = np.flatnonzero(observation["action_mask"])
        observation, _, terminated, truncated, _ = env.step(int(generator.choice(allowed)))
        if terminated or truncated:
            observation, _ = env.reset()
    assert hidden_pairs > 0


def test_the_pandas_own_sight_where_views_are_limited():
    """Radius, cone and trees together, as tensors with one number per entity."""
    env = maskrl.make(
        "panda",
        width=9,
        height=8,
        panda_view_radius=4,
        panda_field_of_view=180,
        scorpion_view_radius=5,
        dragon_field_of_view=90,
    )
    observation, _ = env.reset(seed=5)
    generator = np.random.default_rng(5)
    infinite = float("inf")
    directed = 0
    for _ in range(60):
        scene = env.unwrapped.scene()
        occluders = torch.zeros(scene.height, scene.width, dtype=torch.bool)
        for x, y in scene.trees:
            occluders[y, x] = True
        present = torch.from_numpy(observation["entity_mask"])
        entities = torch.from_numpy(observation["entities"])
        half = torch.tensor([(scene.width - 1) / 2, (scene.height - 1) / 2])
        places = (entities[:, 6:8] * half + half).round().long()
        kinds = entities[:, :6].argmax(-1)
        faces = entities[:, -4:] @ torch.tensor([[0.0, -1], [0, 1], [-1, 0], [1, 0]])
        reach = torch.tensor([4, infinite, 5, infinite, infinite, infinite])[kinds]
        angle = torch.tensor([180.0, 360, 360, 90, 360, 360])[kinds]
        line = line_of_sight(places, occluders, entity_mask=present)
        line |= (kinds == SCORPION)[:, None] & present & present[:, None]
        near = radius(places, reach, metric="manhattan")
        expected = line & near & field_of_view(places, faces, angle)
        shown = torch.from_numpy(observation["visibility"])
        assert torch.equal(shown, expected)
        directed += int((shown != shown.T).sum())
        allowed = np.flatnonzero(observation["action_mask"])
        observation, _, terminated, truncated, _ = env.step(int(generator.choice(allowed)))
        if terminated or truncated:
            observation, _ = env.reset()
    assert directed > 0


def test_leading_dimensions_broadcast():
    positions, occluders = scenes(7, 7, count=6)
    each = line_of_sight(positions, occluders)
    assert torch.equal(
        line_of_sight(positions.view(2, 3, 9, 2), occluders.view(2, 3, 7, 7)), each.view(2, 3, 9, 9)
    )
    one_grid = line_of_sight(positions, occluders[0])
    assert torch.equal(one_grid[4], line_of_sight(positions[4], occluders[0]))
    one_scene = line_of_sight(positions[0], occluders)
    assert one_scene.shape == (6, 9, 9)
    assert torch.equal(one_scene[2], line_of_sight(positions[0], occluders[2]))
    present = torch.rand(6, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    masked = line_of_sight(positions[0], occluders[0], entity_mask=present)
    expected = line_of_sight(positions[0], occluders[0]) & present[:, None] & present[:, :, None]
    assert torch.equal(masked, expected)
    assert line_of_sight(positions[:0], occluders[:0]).shape == (0, 9, 9)
    assert line_of_sight(positions[:, :0], occluders).shape == (6, 0, 0)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_narrow_numbers_do_not_overflow(dtype):
    positions, occluders = scenes(12, 16)
    expected = line_of_sight(positions, occluders)
    assert torch.equal(line_of_sight(positions.to(dtype), occluders), expected)


@pytest.mark.parametrize("size", [7, 30])
def test_padding_may_stand_anywhere(size):
    positions, occluders = scenes(size, size, count=1)
    present = torch.ones(1, 9, dtype=torch.bool)
    present[0, 4] = False
    expected = line_of_sight(positions, occluders) & present[:, None] & present[:, :, None]
    for far in (-1, size, 2**62, -(2**63)):
        positions[0, 4] = far
        assert torch.equal(line_of_sight(positions, occluders, entity_mask=present), expected)


def test_inside_torch_compile():
    positions, occluders = scenes(7, 7)
    torch._dynamo.reset()
    compiled = torch.compile(line_of_sight, backend="eager", fullgraph=True)
    assert torch.equal(compiled(positions, occluders), line_of_sight(positions, occluders))


def test_nothing_is_changed_and_the_table_is_nobodys():
    positions, occluders = scenes(7, 7)
    before = positions.clone(), occluders.clone()
    with torch.inference_mode():
        line_of_sight(positions, occluders).zero_()
    assert line_of_sight(positions, occluders).any()
    assert torch.equal(positions, before[0]) and torch.equal(occluders, before[1])


def test_messages_name_what_is_wrong():
    place = torch.tensor([[0, 0], [3, 2]])
    with pytest.raises(
        MaskError, match=r"positions\[1\] is \[4, 0\]; expected x from 0 to 3 and y"
    ):
        line_of_sight(torch.tensor([[0, 0], [4, 0]]), OPEN)
    with pytest.raises(MaskError, match=r"positions\[0, 1\] is \[0, -1\].*entity_mask says so"):
        line_of_sight(torch.tensor([[[0, 0], [0, -1]]]), OPEN)
    with pytest.raises(MaskError, match="positions has dtype torch.float32; expected whole numb"):
        line_of_sight(place.float(), OPEN)
    with pytest.raises(MaskError, match="positions has type ndarray; expected a tensor"):
        line_of_sight(place.numpy(), OPEN)
    with pytest.raises(MaskShapeError, match=r"positions has shape \(2, 3\); expected \[..., E, 2"):
        line_of_sight(torch.zeros(2, 3).long(), OPEN)
    with pytest.raises(MaskDtypeError, match="occluders has dtype torch.int64"):
        line_of_sight(place, OPEN.long())
    with pytest.raises(MaskShapeError, match=r"occluders has shape \(4,\); expected \[..., H, W\]"):
        line_of_sight(place, OPEN[0])
    with pytest.raises(MaskShapeError, match=r"occluders has shape \(5, 3, 4\).*broadcast"):
        line_of_sight(place.expand(2, 2, 2), OPEN.expand(5, 3, 4))
    with pytest.raises(MaskShapeError, match=r"entity_mask has shape \(3,\) for 2 entities"):
        line_of_sight(place, OPEN, entity_mask=torch.ones(3, dtype=torch.bool))
    with pytest.raises(MaskError, match="occluders is on meta, positions on cpu"):
        line_of_sight(place, OPEN.to("meta"))

"""Radius and field of view against loops over pairs, and at their edges."""

import itertools
import math

import pytest
import torch

from maskrl.attention.visibility import causal, field_of_view, leaks, radius, team
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError

GRID = torch.tensor(list(itertools.product(range(-3, 4), repeat=2)))  # 49 places, [24] is (0, 0)
CENTRE = 24


def pairs(places, see):
    """A visibility from a Python function of two places and the observer's number."""
    listed = places.tolist()
    return torch.tensor(
        [[i == j or see(a, b, i) for j, b in enumerate(listed)] for i, a in enumerate(listed)]
    )


NORMS = {
    "euclidean": lambda d: sum(x * x for x in d) ** 0.5,
    "manhattan": lambda d: sum(abs(x) for x in d),
    "chebyshev": lambda d: max(abs(x) for x in d),
}


@pytest.mark.parametrize("metric", NORMS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.float64, torch.int8])
def test_radius_is_a_norm(metric, dimensions, dtype):
    generator = torch.Generator().manual_seed(dimensions)
    places = (torch.randn(8, dimensions, generator=generator) * 4).to(dtype)
    for distance in (0, 1, 3.3, math.inf):
        expected = pairs(
            places,
            lambda a, b, _: NORMS[metric]([x - y for x, y in zip(a, b, strict=True)]) <= distance,  # noqa: B023
        )
        assert torch.equal(radius(places, distance, metric=metric), expected)


def test_the_rim_of_a_radius_is_seen():
    """3-4-5 and 8-15-17 lie exactly on it, whatever the number they are given in."""
    places = torch.tensor([[0, 0], [3, 4], [-8, 15], [0, 17]])
    for dtype in (torch.int8, torch.int64, torch.float16, torch.float32, torch.float64):
        assert radius(places.to(dtype), 5)[0].tolist() == [True, True, False, False]
        assert radius(places.to(dtype), 17)[0].tolist() == [True, True, True, True]
    assert radius(places, 4.999)[0].tolist() == [True, False, False, False]
    far = torch.tensor([[0, 0], [2**30, 0], [-(2**30), 0]])  # squares beyond 2**53 and int64
    assert radius(far, 2**30)[1].tolist() == [True, True, False]
    assert radius(far, 2**31 - 1)[1].tolist() == [True, True, False]
    assert radius(far.float() * 1e20, 1e25)[0].tolist() == [True, False, False]


def test_each_entity_may_see_as_far_as_it_likes():
    places = torch.tensor([[0.0], [2.0], [5.0]])
    own = radius(places, torch.tensor([2, 9, 0]))
    assert own.int().tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 1]]
    batch = radius(places.expand(2, 3, 1), torch.tensor([[2.0], [5.0]]))
    assert torch.equal(batch[0], radius(places, 2)) and torch.equal(batch[1], radius(places, 5))


def test_what_has_no_place_is_alone():
    places = torch.tensor([[0.0, 0.0], [math.nan, 0.0], [math.inf, 0.0], [1.0, 1.0]])
    expected = torch.eye(4, dtype=torch.bool)
    expected[0, 3] = expected[3, 0] = True
    assert torch.equal(radius(places, 100), expected)


def cone(degrees, look):
    """What lies in a cone, by the angle between two vectors in whole-degree arithmetic."""

    def see(a, b, _):
        x, y = b[0] - a[0], b[1] - a[1]
        if (x, y) == (0, 0):
            return True
        turned = abs(math.degrees(math.atan2(y, x)) - math.degrees(math.atan2(look[1], look[0])))
        return min(turned, 360 - turned) <= degrees / 2 + 1e-9

    return see


@pytest.mark.parametrize("look", [(1, 0), (0, -1), (-1, 0), (1, 1), (-3, 2)])
@pytest.mark.parametrize("degrees", [0, 45, 90, 180, 270, 360])
def test_a_field_of_view_is_a_cone(look, degrees):
    places = GRID[::3]
    expected = pairs(places, cone(degrees, look))
    facing = torch.tensor(look).expand(len(places), 2)
    assert torch.equal(field_of_view(places, facing, degrees), expected)
    assert torch.equal(field_of_view(places, facing.double() * 0.3, degrees), expected)
    turn = torch.full((len(places),), math.degrees(math.atan2(look[1], look[0])))
    assert torch.equal(field_of_view(places, turn, degrees), expected)
    assert torch.equal(field_of_view(places.half(), turn + 720, degrees), expected)


def test_what_lies_on_the_edge_is_seen():
    """A quarter's edges are diagonals, and half of 45 degrees is not: counted on a 7 x 7 grid."""
    right = torch.tensor([[1.0, 0.0]])
    seen = field_of_view(GRID, right, 90)[CENTRE].view(7, 7)  # [x, y]
    assert seen.int().tolist() == [[0] * 7] * 3 + [
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
    ]
    assert field_of_view(GRID, right, 89.9)[CENTRE].sum() == 1 + 9
    half = field_of_view(GRID, right, 180)[CENTRE].view(7, 7)
    assert half[3:].all() and not half[:3].any()


def test_degrees_turn_from_x_towards_y():
    places = torch.tensor([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
    for seen, degrees in enumerate((0, 90, 180, 270), 1):
        facing = torch.full((5,), float(degrees))
        assert field_of_view(places, facing, 20)[0].nonzero().flatten().tolist() == [0, seen]


def test_who_looks_nowhere_sees_its_own_place():
    places = torch.tensor([[0, 0], [1, 0], [0, 0]])
    for nowhere in (0.0, math.nan):
        facing = torch.full((3, 2), nowhere)
        expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
        assert field_of_view(places, facing, 359).int().tolist() == expected
        assert field_of_view(places, facing, 360).all()


def test_cones_and_radii_of_their_own():
    places = torch.tensor([[0, 0], [4, 0], [-1, 0]])
    facing = torch.tensor([[1, 0], [-1, 0], [-1, 0]])
    angle, reach = torch.tensor([90, 90, 360]), torch.tensor([9.0, 4.0, 1.0])
    expected = [[1, 1, 0], [1, 1, 0], [1, 0, 1]]
    assert field_of_view(places, facing, angle, radius=reach).int().tolist() == expected
    both = field_of_view(places, facing, 90) & radius(places, 4)
    assert torch.equal(field_of_view(places, facing, 90, radius=4), both)


def test_leading_dimensions_and_padding():
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(2, 3, 5, 2, generator=generator)
    facing = torch.randn(2, 3, 5, 2, generator=generator)
    present = torch.rand(2, 3, 5, generator=generator) < 0.7
    both = present.unsqueeze(-1) & present.unsqueeze(-2)
    for build in (
        lambda p, f, **k: radius(p, 1.5, **k),
        lambda p, f, **k: field_of_view(p, f, 100, **k),
    ):
        whole = build(places, facing)
        assert whole.shape == (2, 3, 5, 5)
        assert torch.equal(whole[1, 2], build(places[1, 2], facing[1, 2]))
        assert torch.equal(build(places, facing, entity_mask=present), whole & both)
        garbage = torch.where(present[..., None], places, math.nan)
        assert torch.equal(build(garbage, facing, entity_mask=present), whole & both)
        assert build(places[:, :, :0], facing[:, :, :0]).shape == (2, 3, 0, 0)
    one = field_of_view(places, facing[:1, :1, :1], 100)  # all look the same way
    assert torch.equal(one, field_of_view(places, facing[:1, :1, :1].expand(2, 3, 5, 2), 100))


def test_builders_join():
    """And and or of tensors; a time within which a past is seen."""
    time, side = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 0, 1])
    recent = causal(time) & radius(time[:, None], 1)
    assert recent.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert leaks(recent, 2).any() and not leaks(causal(time), 9).any()
    assert (recent | team(side)).int().tolist() == [
        [1, 0, 1, 0],
        [1, 1, 0, 1],
        [1, 1, 1, 0],
        [0, 1, 1, 1],
    ]


def test_inside_torch_compile():
    torch._dynamo.reset()

    def build(places, facing):
        return radius(places, 2.0) & field_of_view(places, facing, 90, radius=3)

    compiled = torch.compile(build, backend="eager", fullgraph=True)
    facing = torch.ones(49, 2)
    assert torch.equal(compiled(GRID, facing), build(GRID, facing))


PLACES = torch.zeros(2, 3, 2)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: radius(PLACES, -1),
            ConfigError,
            "radius: distance is -1; expected a number of at",
        ),
        (lambda: radius(PLACES, math.nan), ConfigError, "radius: distance is nan"),
        (lambda: radius(PLACES, "far"), ConfigError, "distance is 'far'; expected a number, or"),
        (lambda: radius(PLACES, None), ConfigError, "distance is None"),
        (lambda: radius(PLACES, True), ConfigError, "distance is True"),
        (
            lambda: radius(PLACES, torch.tensor([1.0, -2.0, 1.0])),
            ConfigError,
            r"distance\[1\] is -2.0; expected numbers of at least 0",
        ),
        (
            lambda: radius(PLACES, torch.ones(2)),
            MaskShapeError,
            r"distance has shape \(2,\), positions \(2, 3, 2\); expected \(2, 3\)",
        ),
        (lambda: radius(PLACES, torch.ones(3, dtype=torch.bool)), MaskError, "distance has dtype"),
        (lambda: radius(PLACES, torch.ones(3, device="meta")), MaskError, "distance is on meta"),
        (lambda: radius(PLACES, 1, metric="max"), ConfigError, "metric is 'max'; expected one of"),
        (lambda: radius(PLACES[0, 0], 1), MaskShapeError, r"positions has shape \(2,\); expected"),
        (lambda: radius(PLACES > 0, 1), MaskError, "positions has dtype torch.bool"),
        (lambda: radius([[0, 1]], 1), MaskError, "positions has type list; expected a tensor"),
        (
            lambda: radius(PLACES, 1, entity_mask=torch.ones(3)),
            MaskDtypeError,
            "radius: entity_mask has dtype torch.float32",
        ),
        (
            lambda: radius(PLACES, 1, entity_mask=torch.ones(5, 3, dtype=torch.bool)),
            MaskShapeError,
            r"entity_mask has shape \(5, 3\), the scene leading dimensions \(2,\)",
        ),
        (
            lambda: field_of_view(torch.zeros(3, 3), torch.zeros(3, 2), 90),
            MaskShapeError,
            r"positions has shape \(3, 3\); expected \[..., E, 2\], columns x and y",
        ),
        (
            lambda: field_of_view(PLACES, torch.zeros(3), 90),
            MaskShapeError,
            r"facing has shape \(3,\), positions \(2, 3, 2\).*tells directions from degrees",
        ),
        (
            lambda: field_of_view(PLACES, torch.zeros(2, 4), 90),
            MaskShapeError,
            r"facing has shape \(2, 4\).*expected \(2, 3\)",
        ),
        (
            lambda: field_of_view(PLACES, torch.zeros(2, 3, 3), 90),
            MaskShapeError,
            r"facing has shape \(2, 3, 3\)",
        ),
        (
            lambda: field_of_view(PLACES, torch.zeros(2, 3), 361),
            ConfigError,
            "angle is 361.0; expected the width of the whole cone",
        ),
        (lambda: field_of_view(PLACES, torch.zeros(2, 3), -1), ConfigError, "angle is -1"),
        (
            lambda: field_of_view(PLACES, torch.zeros(2, 3), 90, radius=-1),
            ConfigError,
            "field_of_view: radius is -1",
        ),
        (
            lambda: field_of_view(PLACES, torch.zeros(2, 3, device="meta"), 90),
            MaskError,
            "facing is on meta, positions on cpu",
        ),
    ],
)
def test_messages_name_what_is_wrong(build, error, message):
    with pytest.raises(error, match=message):
        build()

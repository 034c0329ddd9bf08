"""Visibility from where entities are: within a radius, and within a field of view.

Distances and angles are computed in float64, so that what lies exactly on the
edge of a grid's radius or cone is seen. Both may differ between entities, and
then sight is directed. Join them with others by `&` and `|`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from maskrl.attention.visibility.checks import (
    amount_per_entity,
    check_broadcast,
    exact,
    place_tensor,
    real_tensor,
    same_device,
    with_padding,
)
from maskrl.errors import ConfigError, MaskShapeError

Metric = Literal["euclidean", "manhattan", "chebyshev"]

EDGE = 1e-5
"""Degrees by which a cone is wider than asked, because directions of float32 are rounded."""


def radius(
    positions: Tensor,
    distance: float | Tensor,
    *,
    metric: Metric = "euclidean",
    entity_mask: Tensor | None = None,
) -> Tensor:
    """Entities see what is at most so far away.

    Args:
        positions: [..., E, D], whole or real numbers, any number of coordinates.
        distance: How far entity i sees, what is exactly there included: a number, or a tensor
            [..., E] with one per entity. 0 is its own place, infinity everything.
        metric: "euclidean"; "manhattan", the sum over coordinates; or "chebyshev", the largest of
            them (a square on a grid).
        entity_mask: bool [..., E], False = padding, whose position is not read. None: no padding.

    Returns:
        bool [..., E, E], True = j is within i's distance. Symmetric for one distance.

    Raises:
        ConfigError: `metric` is unknown; `distance` is negative, NaN or no number.
        MaskError: `positions` is no tensor of numbers, or tensors are on different devices.
        MaskDtypeError: `entity_mask` is not boolean.
        MaskShapeError: A tensor does not fit.

    Empty rows:
        The rows of padding. Everybody else sees itself, even with NaN as its position.

    Example:
        >>> places = torch.tensor([[0, 0], [3, 4], [6, 8]])
        >>> radius(places, 5).int().tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    positions = place_tensor("radius", positions)
    if metric not in get_args(Metric):
        raise ConfigError(
            f"radius: metric is {metric!r}; expected one of {', '.join(get_args(Metric))}."
        )
    amount = amount_per_entity("radius", "distance", distance, positions)
    return with_padding("radius", _within(_offsets(positions), amount, metric), entity_mask)


def field_of_view(
    positions: Tensor,
    facing: Tensor,
    angle: float | Tensor,
    *,
    radius: float | Tensor | None = None,
    entity_mask: Tensor | None = None,
) -> Tensor:
    """Entities see what lies in a cone before them.

    Args:
        positions: [..., E, 2], columns x and y, whole or real numbers.
        facing: Where each entity looks. With as many dimensions as `positions`, directions
            [..., E, 2] of any length, such as a last move; with one less, angles [..., E] in
            degrees from the x axis towards the y axis: 0 looks along x, 90 along y, which is
            downwards where y grows downwards. Dimensions of size 1 repeat.
        angle: Width of the whole cone in degrees, its edges included: 90 is 45 to either side, 360
            all around. A number, or a tensor [..., E] with one per entity.
        radius: How far it sees (Euclidean), as `distance` of `radius`. None: any distance.
        entity_mask: bool [..., E], False = padding, whose numbers are not read. None: no padding.

    Returns:
        bool [..., E, E], True = j lies in i's cone. What stands in i's own place is seen. A
        direction of length 0 or NaN looks nowhere: it sees no other place, unless all around.

    Raises:
        ConfigError: `angle` or `radius` is negative, NaN or no number; `angle` is above 360.
        MaskError: Not tensors of numbers, or on different devices.
        MaskDtypeError: `entity_mask` is not boolean.
        MaskShapeError: A tensor does not fit.

    Empty rows:
        The rows of padding. Everybody else sees itself.

    Example:
        >>> places = torch.tensor([[0, 0], [2, 0], [-2, 0]])
        >>> facing = torch.tensor([[1, 0], [0, 1], [1, 0]])  # the second looks away from both
        >>> field_of_view(places, facing, 90).int().tolist()
        [[1, 1, 0], [0, 1, 0], [1, 1, 1]]
    """
    operation = "field_of_view"
    positions = place_tensor(operation, positions, plane=True)
    looks = _directions(operation, facing, positions)
    width = amount_per_entity(operation, "angle", angle, positions)
    if not torch.compiler.is_compiling() and (width > 360).any():
        raise ConfigError(
            f"{operation}: angle is {width.max().item()}; expected the width of the whole cone in "
            "degrees, at most 360."
        )
    width = width.unsqueeze(-1)
    offsets = _offsets(positions)  # [..., i, j, 2], from i to j
    ahead, aside = looks.unsqueeze(-2), offsets
    along = (ahead * aside).sum(-1)
    across = ahead[..., 0] * aside[..., 1] - ahead[..., 1] * aside[..., 0]
    turned = torch.atan2(across.abs(), along).mul_(180 / math.pi)
    somewhere = (ahead != 0).any(-1)
    visible = (somewhere & (turned <= width / 2 + EDGE)) | (width >= 360)
    visible = visible | (offsets == 0).all(-1)
    if radius is not None:
        reach = amount_per_entity(operation, "radius", radius, positions)
        visible = visible & _within(offsets, reach, "euclidean")
    return with_padding(operation, visible, entity_mask)


def _offsets(positions: Tensor) -> Tensor:
    """How to come from i to j: float64 [..., i, j, D]."""
    places = exact(positions)
    return places.unsqueeze(-3) - places.unsqueeze(-2)


def _within(offsets: Tensor, distance: Tensor, metric: str) -> Tensor:
    """Which offsets [..., i, j, D] are no longer than i's distance [..., i]."""
    distance = distance.unsqueeze(-1)
    if metric == "chebyshev":
        return offsets.abs().amax(-1) <= distance
    if metric == "manhattan":
        return offsets.abs().sum(-1) <= distance
    return offsets.square().sum(-1) <= distance.square()  # of whole numbers without a rounding


def _directions(operation: str, facing: Any, positions: Tensor) -> Tensor:
    """Directions [..., E, 2] from directions or angles; the number of dimensions tells which."""
    shape = "[..., E, 2] (directions) or [..., E] (degrees)"
    facing = real_tensor(operation, "facing", facing, shape, 1)
    same_device(operation, "facing", facing, "positions", positions)
    if facing.ndim == positions.ndim and facing.shape[-1] == 2:
        check_broadcast(operation, "facing", facing, tuple(positions.shape), "positions", positions)
        return exact(facing)
    if facing.ndim == positions.ndim - 1:
        check_broadcast(
            operation, "facing", facing, tuple(positions.shape[:-1]), "positions", positions
        )
        degrees = exact(facing)
        turns = degrees * (math.pi / 180)
        return torch.stack([turns.cos(), turns.sin()], -1)
    raise MaskShapeError(
        f"{operation}: facing has shape {tuple(facing.shape)}, positions "
        f"{tuple(positions.shape)}; expected {shape}, with the leading dimensions of positions "
        "written out: their number tells directions from degrees."
    )

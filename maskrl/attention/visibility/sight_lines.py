"""Who has a free line of sight to whom on a grid with occluders, as tensors.

The lines are those of `maskrl.geometry`, which the worlds use. Small grids read
its table, which lies on the device of the positions as a tensor; on large ones,
and under `torch.compile`, all lines are traced at once, step by step.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from maskrl.attention.visibility.checks import (
    joint_lead,
    place_tensor,
    present_tensor,
    same_device,
    with_padding,
)
from maskrl.errors import MaskError, MaskShapeError
from maskrl.geometry import WORD_BITS, cells_between, words_for
from maskrl.masks.check import check_mask

TABLE_BYTES = 2**24
"""Largest table that is built: 22 x 22 cells. Above, lines are traced."""


def line_of_sight(
    positions: Tensor, occluders: Tensor, *, entity_mask: Tensor | None = None
) -> Tensor:
    """Entities see one another where nothing on the line between them is in the way.

    The line joins the centres of two cells and is traced from the one with the smaller number
    y * W + x, so that sight is symmetric. What stands on its ends never blocks: a tree is seen,
    and sees.

    Args:
        positions: Whole numbers [..., E, 2], columns x (to the right) and y (downwards).
        occluders: bool [..., H, W], True where a cell blocks sight; indexed [y, x]. Leading
            dimensions broadcast with those of `positions`: one grid may serve all scenes.
        entity_mask: bool [..., E], False = padding, whose position is not read and may lie
            anywhere. None: no padding.

    Returns:
        bool [..., E, E], symmetric.

    Raises:
        MaskError: `positions` are not whole numbers, one of them lies outside the grid (which is
            not looked at under `torch.compile`), or tensors are on different devices.
        MaskDtypeError: `occluders` or `entity_mask` is not boolean.
        MaskShapeError: A tensor does not fit.

    Empty rows:
        The rows of padding. Everybody else sees itself.

    Example:
        >>> tree = torch.tensor([[False, True, False]])  # one row of three cells
        >>> line_of_sight(torch.tensor([[0, 0], [1, 0], [2, 0]]), tree).int().tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    operation = "line_of_sight"
    positions = place_tensor(operation, positions, plane=True)
    if positions.is_floating_point():
        raise MaskError(
            f"{operation}: positions has dtype {positions.dtype}; expected whole numbers, the "
            "columns x and y of cells. Round them as the grid means it, then call .long()."
        )
    shape = tuple(getattr(occluders, "shape", ()))
    occluders = check_mask(operation, "occluders", occluders, shape or (1, 1), data="the grid")
    if len(shape) < 2 or 0 in shape[-2:]:
        raise MaskShapeError(
            f"{operation}: occluders has shape {shape}; expected [..., H, W], True where a cell "
            "blocks sight."
        )
    same_device(operation, "occluders", occluders, "positions", positions)
    places = positions.long()
    pairs = places[..., 0].unsqueeze(-1).expand(*places.shape[:-1], places.shape[-2])
    lead = joint_lead(operation, "occluders", occluders, 2, pairs)
    present = None
    if entity_mask is not None:
        present = present_tensor(operation, entity_mask, places.shape[-2], positions)
        lead = torch.broadcast_shapes(lead, joint_lead(operation, "entity_mask", present, 1, pairs))
        places = torch.where(present.unsqueeze(-1), places, 0)
    height, width = shape[-2:]
    compiling = torch.compiler.is_compiling()
    if not compiling:
        _check_inside(operation, places, width, height)
    places = places.expand(*lead, *places.shape[-2:])
    occluders = occluders.expand(*lead, height, width)
    small = words_for(width * height) * (width * height) ** 2 * 8 <= TABLE_BYTES
    free = _look_up(places, occluders) if small and not compiling else _trace(places, occluders)
    return with_padding(operation, free, present)


def _check_inside(operation: str, places: Tensor, width: int, height: int) -> None:
    """Refuse a place outside the grid: its number would be that of another cell."""
    size = torch.tensor([width, height], device=places.device)
    outside = ((places < 0) | (places >= size)).any(-1)
    if outside.any():
        first = tuple(int(i) for i in outside.nonzero()[0])
        raise MaskError(
            f"{operation}: positions{list(first)} is {places[first].tolist()}; expected x from 0 "
            f"to {width - 1} and y from 0 to {height - 1}. Slots without an entity may hold "
            "anything where entity_mask says so."
        )


@lru_cache(maxsize=32)
def _table(width: int, height: int, device: torch.device) -> Tensor:
    """The cells that each line crosses: int64 [cells, cells, words], 64 cells a word."""
    with torch.inference_mode(False):
        return torch.from_numpy(cells_between(width, height).view("int64").copy()).to(device)


def _look_up(places: Tensor, occluders: Tensor) -> Tensor:
    """Which lines are free, by the table of the grid."""
    height, width = occluders.shape[-2:]
    table = _table(width, height, places.device)
    cells = places[..., 1] * width + places[..., 0]
    between = table[cells.unsqueeze(-1), cells.unsqueeze(-2)]  # [..., E, E, words]
    free: Tensor = ((between & _words(occluders)[..., None, None, :]) == 0).all(-1)
    return free


def _words(occluders: Tensor) -> Tensor:
    """The blocking cells as bits: bool [..., H, W] to int64 [..., words]."""
    flat = occluders.flatten(-2)
    words = words_for(flat.shape[-1])
    flat = torch.nn.functional.pad(flat, (0, words * WORD_BITS - flat.shape[-1]))
    bits = flat.unflatten(-1, (words, WORD_BITS)).long()
    # Distinct bits: the sum is their union, and bit 63 is the sign.
    shifted: Tensor = bits << torch.arange(WORD_BITS, device=occluders.device)
    return shifted.sum(-1)


def _trace(places: Tensor, occluders: Tensor) -> Tensor:
    """Which lines are free, all traced at once: the loop of `geometry` with a tensor per number."""
    height, width = occluders.shape[-2:]
    blocks = occluders.flatten(-2)
    cells = places[..., 1] * width + places[..., 0]
    one, other = torch.broadcast_tensors(cells.unsqueeze(-1), cells.unsqueeze(-2))
    start, end = torch.minimum(one, other), torch.maximum(one, other)
    x, y = start % width, start // width
    dx, dy = (end % width - x).abs(), -(end // width - y).abs()
    step_x, step_y = (end % width - x).sign(), (end // width - y).sign()
    error = dx + dy
    free = torch.ones_like(start, dtype=torch.bool)
    for _ in range(max(width, height) - 2):  # the longest line has so many cells between its ends
        doubled = 2 * error
        across, down = doubled >= dy, doubled <= dx
        error = error + torch.where(across, dy, 0) + torch.where(down, dx, 0)
        x = x + torch.where(across, step_x, 0)
        y = y + torch.where(down, step_y, 0)
        underway = (x - start % width).abs() + (y - start // width).abs() < dx - dy
        here = torch.where(underway, y * width + x, start)
        blocked = blocks.gather(-1, here.flatten(-2)).view_as(here)
        free &= ~(underway & blocked)
    return free

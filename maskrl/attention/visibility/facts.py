"""Visibility from facts about entities: who is there, who hides, whose team, what came first.

Each builder returns bool [..., E, E], True = entity i may attend to entity j,
and takes any leading dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.attention.visibility.checks import (
    entity_tensor,
    real_tensor,
    square_tensor,
    with_padding,
)
from maskrl.errors import MaskError, MaskShapeError


def from_padding(entity_mask: Tensor) -> Tensor:
    """Every entity that is there sees every entity that is there.

    Args:
        entity_mask: bool [..., E], False = padding.

    Returns:
        bool [..., E, E].

    Raises:
        MaskDtypeError: The mask is not boolean.

    Empty rows:
        The rows of padding.

    Example:
        >>> from_padding(torch.tensor([True, True, False])).int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    entity_mask = entity_tensor("from_padding", "entity_mask", entity_mask)
    return entity_mask.unsqueeze(-1) & entity_mask.unsqueeze(-2)


def hidden(entity_mask: Tensor, hides: Tensor) -> Tensor:
    """Some entities are hidden from all but themselves, and see everybody.

    Only what looks at a hidden entity changes. Its own row stays proper: an outer product of
    `~hides` with itself would blind it as well, and leave its attention undefined.

    Args:
        entity_mask: bool [..., E], False = padding.
        hides: bool [..., E], True = no other entity sees this one.

    Returns:
        bool [..., E, E].

    Raises:
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: `hides` has another number of entities, or does not broadcast.

    Empty rows:
        The rows of padding.

    Example:
        >>> everyone = torch.ones(3, dtype=torch.bool)
        >>> hidden(everyone, torch.tensor([False, False, True])).int().tolist()
        [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    """
    entity_mask = entity_tensor("hidden", "entity_mask", entity_mask)
    hides = entity_tensor("hidden", "hides", hides)
    if hides.shape[-1] != entity_mask.shape[-1]:
        raise MaskShapeError(
            f"hidden: hides has shape {tuple(hides.shape)}, entity_mask "
            f"{tuple(entity_mask.shape)}; expected the same number of entities."
        )
    try:
        shape = torch.broadcast_shapes(entity_mask.shape, hides.shape)
    except RuntimeError:
        raise MaskShapeError(
            f"hidden: hides has shape {tuple(hides.shape)}, entity_mask "
            f"{tuple(entity_mask.shape)}; expected leading dimensions that broadcast."
        ) from None
    return from_padding(entity_mask.expand(shape)) & self_visible((~hides).unsqueeze(-2))


def self_visible(visibility: Tensor) -> Tensor:
    """The same visibility, with every entity seeing itself.

    Attention layers do this by themselves; it is for reading and drawing a visibility.

    Args:
        visibility: bool [..., E, E], or [..., 1, E] for one row that holds for all.

    Returns:
        bool [..., E, E].

    Raises:
        MaskDtypeError: `visibility` is not boolean.
        MaskShapeError: Its last two dimensions differ.

    Empty rows:
        None remain, not even those of padding.
    """
    visibility = square_tensor("self_visible", visibility, one_row=True)
    entities = visibility.shape[-1]
    return visibility | torch.eye(entities, dtype=torch.bool, device=visibility.device)


def team(ids: Tensor, *, entity_mask: Tensor | None = None) -> Tensor:
    """Entities of one team see one another.

    Nothing leaks through it at any depth: whom my team sees is my team.

    Args:
        ids: Whole numbers or bool [..., E], equal for those of one team.
        entity_mask: bool [..., E], False = padding, whose id is not read. None: no padding.

    Returns:
        bool [..., E, E], symmetric.

    Raises:
        MaskError: `ids` is no tensor, or holds real numbers.
        MaskDtypeError: `entity_mask` is not boolean.
        MaskShapeError: `ids` has no entity axis, or `entity_mask` does not fit.

    Empty rows:
        The rows of padding.

    Example:
        >>> team(torch.tensor([7, 7, 9])).int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    if isinstance(ids, Tensor) and ids.dtype is torch.bool:
        ids = ids.long()  # two teams
    ids = real_tensor("team", "ids", ids, "[..., E]", 1)
    if ids.is_floating_point():
        raise MaskError(f"team: ids has dtype {ids.dtype}; expected whole numbers [..., E].")
    ids = ids.long()  # torch compares few unsigned numbers
    return with_padding("team", ids.unsqueeze(-1) == ids.unsqueeze(-2), entity_mask)


def causal(order: Tensor, *, entity_mask: Tensor | None = None) -> Tensor:
    """Entities see what came before them or with them.

    For tokens of a history, messages or events. Nothing leaks through it at any depth: what came
    before my past is in my past.

    Args:
        order: [..., E], when each entity came, in whole or real numbers. Their order in the tensor
            does not matter. NaN has no time: it sees itself only and nobody sees it.
        entity_mask: bool [..., E], False = padding, whose time is not read. None: no padding.

    Returns:
        bool [..., E, E], True = j is not later than i.

    Raises:
        MaskError: `order` is no tensor of numbers.
        MaskDtypeError: `entity_mask` is not boolean.
        MaskShapeError: `order` has no entity axis, or `entity_mask` does not fit.

    Empty rows:
        The rows of padding.

    Example:
        >>> causal(torch.tensor([0, 2, 1])).int().tolist()
        [[1, 0, 0], [1, 1, 1], [1, 0, 1]]
    """
    order = real_tensor("causal", "order", order, "[..., E]", 1)
    order = order if order.is_floating_point() else order.long()
    return with_padding("causal", order.unsqueeze(-1) >= order.unsqueeze(-2), entity_mask)

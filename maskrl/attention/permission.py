"""The effective permission of a scene, in the form that attention kernels need.

Entity i may attend to entity j if both are there and i sees j or is j:
`entity_mask_i & entity_mask_j & (visibility_ij | i == j)`. Rows of padding
permit nothing, and no kernel has an answer for that; here they are left open
(padding holds zeros and nobody reads its rows), and `present` tells which rows
of the result count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskrl.attention.index import Index, select_rows
from maskrl.attention.visibility import depth_safe_edges
from maskrl.errors import MaskShapeError
from maskrl.masks.check import check_mask


@dataclass(frozen=True)
class Permission:
    """Who may attend to whom, with no row empty.

    Attributes:
        opened: bool [..., E, E], or [..., 1, E] where every row is the same, or None where
            everything is permitted. True = may attend. Rows of padding are not empty.
        present: bool [..., E], False = padding: its rows are to be replaced by 0. None if there
            is no padding.
    """

    opened: Tensor | None
    present: Tensor | None

    def rows(self, rows: Index | None) -> Permission:
        """The permission of some entities: `opened` [..., Q or 1, E], `present` [..., Q]."""
        if rows is None:
            return self
        opened, present = self.opened, self.present
        if opened is not None and opened.shape[-2] > 1:
            opened = select_rows(opened, rows)
        if present is not None:
            present = select_rows(present.unsqueeze(-1), rows).squeeze(-1)
        return Permission(opened, present)

    def depth_safe(self) -> Permission:
        """The permission for the second layer on: what i's neighbours see, i sees too."""
        if self.opened is None or self.opened.shape[-2] == 1:
            return self  # everybody sees the same
        return Permission(depth_safe_edges(self.opened), self.present)

    def zero_absent(self, x: Tensor) -> Tensor:
        """The scene x [..., E, D] with 0 in the rows of padding."""
        return x if self.present is None else torch.where(self.present.unsqueeze(-1), x, 0.0)

    def effective(self, x: Tensor, rows: Index | None = None) -> Tensor:
        """The permission as it is meant, rows of padding empty.

        Args:
            x: [..., E, D], the scene.
            rows: Entities that look, all if None.

        Returns:
            bool [..., Q, E]; without `rows` also [..., 1, E], where every row is the same.
        """
        own = self.rows(rows)
        opened = own.opened
        if opened is None:
            looking = rows.shape[-1] if isinstance(rows, Tensor) else 1
            return torch.ones(looking, x.shape[-2], dtype=torch.bool, device=x.device)
        return opened if own.present is None else opened & own.present.unsqueeze(-1)


def permission_for(
    operation: str, x: Tensor, entity_mask: Any, visibility: Any
) -> tuple[Permission, tuple[int, ...]]:
    """Check the masks of a scene and join them.

    Args:
        operation: How messages call the caller.
        x: [..., E, D].
        entity_mask: bool [..., E] or None, leading dimensions broadcasting to those of x.
        visibility: bool [..., E, E] or None. Its leading dimensions broadcast with those of x, in
            both directions: x [B, 1, E, D] with visibility [B, N, E, E] gives N views of a scene.

    Returns:
        The permission, and the leading dimensions of the result.

    Raises:
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask does not fit x.
    """
    if x.ndim < 2:
        raise MaskShapeError(
            f"{operation}: x has shape {tuple(x.shape)}; expected [..., entities, features]."
        )
    return permission_of_shape(operation, x.shape[:-1], x.device, entity_mask, visibility)


def permission_of_shape(
    operation: str,
    slots: Sequence[int],
    device: torch.device,
    entity_mask: Any,
    visibility: Any,
) -> tuple[Permission, tuple[int, ...]]:
    """`permission_for` a scene of which only the shape [..., E] of its slots is known."""
    lead, entities = tuple(slots[:-1]), slots[-1]
    present = None
    if entity_mask is not None:
        present = check_mask(
            operation, "entity_mask", entity_mask, slots, device=device, data="entities"
        )
    if visibility is None:
        if present is None:
            return Permission(None, None), lead
        # A scene without any entity is opened: its rows are padding and count nowhere.
        return Permission(_without_empty_rows(present).unsqueeze(-2), present), lead
    shape = tuple(getattr(visibility, "shape", ()))
    joint = _joint_lead(lead, shape)
    visibility = check_mask(
        operation,
        "visibility",
        visibility,
        (*joint, entities, entities),
        device=device,
        data="pairs of entities",
    )
    if shape[-2:] != (entities, entities):
        raise MaskShapeError(
            f"{operation}: visibility has shape {shape}; expected [..., {entities}, {entities}], "
            f"True = entity i may attend to entity j. One row for all is an entity_mask."
        )
    if present is not None:
        visibility = visibility & present.unsqueeze(-2)
    itself = torch.eye(entities, dtype=torch.bool, device=device)
    return Permission(visibility | itself, present), joint


def _without_empty_rows(present: Tensor) -> Tensor:
    return present | ~present.any(-1, keepdim=True)


def _joint_lead(lead: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leading dimensions of scene and visibility; those of the scene if they do not fit."""
    try:
        return tuple(torch.broadcast_shapes(lead, shape[:-2]))
    except RuntimeError:
        return lead

"""Who may attend to whom: builders of `visibility` [..., E, E], True = i sees j.

Visibility is directed: an ambusher sees whom it hides from. Attention layers
add by themselves that every entity sees itself and that padding neither sees
nor is seen. Stacked layers leak along paths (i sees k, k sees j, so after two
layers j moves i); `observer_view` and `depth_safe` are the two cures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maskrl.attention.index import check_index, select_rows
from maskrl.errors import MaskShapeError
from maskrl.masks.check import check_mask


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
    entity_mask = _entities("from_padding", "entity_mask", entity_mask)
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
    entity_mask = _entities("hidden", "entity_mask", entity_mask)
    hides = _entities("hidden", "hides", hides)
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
    visibility = _square("self_visible", visibility, one_row=True)
    entities = visibility.shape[-1]
    return visibility | torch.eye(entities, dtype=torch.bool, device=visibility.device)


def observer_view(visibility: Tensor, observer: int | Tensor | None = None) -> Tensor:
    """The scene as one observer knows it: only what it sees, seen by whom it sees.

    `view[j, k] = V[i, j] & V[i, k]` for observer i, with V[i, i] True, and no other row of V: the
    view depends on nothing but what the observer sees. Whatever the number of layers, no path
    leads out of it. This is what an acting policy attends under: in a world the visibility itself
    moves, and other rows of V would tell the observer what happens out of its sight.

    Args:
        visibility: bool [..., E, E], True = i sees j.
        observer: One index for the whole batch; or int64 [..., N] with N observers, leading
            dimensions broadcasting to those of `visibility`; or None for all E of them.

    Returns:
        bool [..., E, E] for one index, otherwise one view per observer, [..., N, E, E].

    Raises:
        MaskDtypeError: `visibility` is not boolean.
        MaskShapeError: `visibility` is not square, or an index is out of range.

    Empty rows:
        The rows of what the observer does not see. An observer that is padding gets the view of
        its row as given and itself; attention with an `entity_mask` closes it.

    Example:
        >>> chain = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
        >>> observer_view(chain, 0).int().tolist()  # 1 sees 2, but 0 does not
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    visibility = _square("observer_view", visibility)
    lead, entities = visibility.shape[:-2], visibility.shape[-1]
    seen = visibility | torch.eye(entities, dtype=torch.bool, device=visibility.device)
    if observer is not None:
        index = check_index("observer_view", "observer", observer, entities, lead)
        if isinstance(index, int):
            seen = seen[..., index, :]
        else:
            seen = select_rows(seen, index)
    return seen.unsqueeze(-1) & seen.unsqueeze(-2)


def depth_safe(visibility: Tensor) -> Tensor:
    """Only edges along which nothing leaks: i to j where all that j sees, i sees too.

    Used from the second layer on (the first may use the whole visibility), it keeps what i does
    not see out of i's output through any number of layers. It is one computation for all
    observers, where `observer_view` is one for each; in exchange, i learns from a missing edge
    *that* j sees more than i does, but never *what*. So it is for critics and analysis.

    Args:
        visibility: bool [..., E, E]. Every entity counts as seeing itself.

    Returns:
        bool [..., E, E], a part of `visibility`.

    Raises:
        MaskDtypeError: `visibility` is not boolean.
        MaskShapeError: `visibility` is not square.

    Empty rows:
        Only rows that were empty.

    Example:
        >>> chain = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
        >>> depth_safe(chain).int().tolist()  # 0 sees 1, which sees 2, which 0 does not see
        [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    """
    return depth_safe_edges(_square("depth_safe", visibility))


def depth_safe_edges(visibility: Tensor) -> Tensor:
    """`depth_safe` without checks."""
    entities = visibility.shape[-1]
    sees = visibility | torch.eye(entities, dtype=torch.bool, device=visibility.device)
    # leaks[i, j] counts what j sees and i does not; whole numbers are exact in float32.
    leaks = torch.matmul((~sees).float(), sees.float().transpose(-1, -2))
    return visibility & (leaks == 0)


def _entities(operation: str, name: str, m: Any) -> Tensor:
    """A boolean tensor with at least an entity axis."""
    shape = tuple(m.shape) if hasattr(m, "shape") else ()
    return check_mask(operation, name, m, shape or (1,), data="the scene")


def _square(operation: str, visibility: object, *, one_row: bool = False) -> Tensor:
    """A boolean tensor [..., E, E], or [..., 1, E] where one row holds for all."""
    visibility = _entities(operation, "visibility", visibility)
    shape = tuple(visibility.shape)
    if len(shape) < 2 or not (shape[-2] == shape[-1] or (one_row and shape[-2] == 1)):
        raise MaskShapeError(
            f"{operation}: visibility has shape {shape}; expected [..., E, E], True = i sees j."
        )
    return visibility

"""What stacked layers may attend to: the view of one observer, and the edges that leak nothing.

Stacked layers leak along paths: i sees k, k sees j, so after two layers j moves
i. `observer_view` and `depth_safe` are the two cures; `maskrl.attention.leaks`
finds the paths.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskrl.attention.index import check_index, select_rows
from maskrl.attention.visibility.checks import square_tensor


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
    visibility = square_tensor("observer_view", visibility)
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
    return depth_safe_edges(square_tensor("depth_safe", visibility))


def depth_safe_edges(visibility: Tensor) -> Tensor:
    """`depth_safe` without checks."""
    entities = visibility.shape[-1]
    sees = visibility | torch.eye(entities, dtype=torch.bool, device=visibility.device)
    # leaks[i, j] counts what j sees and i does not; whole numbers are exact in float32.
    leaks = torch.matmul((~sees).float(), sees.float().transpose(-1, -2))
    return visibility & (leaks == 0)

"""What each observer sees of a scene, gathered: small scenes in place of masked large ones.

Under an `observer_view` an observer's row depends on the entities that it sees and on no
others, and among those everybody may attend to everybody. So the encoder may as well run on
them alone: the numbers are the same, and the work goes with what is seen and not with what
is there. The observer comes first, the others follow in the order of their slots.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Views(NamedTuple):
    """Who is seen by R observers, at most K each.

    Attributes:
        index: int64 `[R, K]`, entities of the scene: the observer, then whom it sees, then the
            observer again where there is padding.
        present: bool `[R, K]`, False = padding; all of it where the observer is not there.
    """

    index: Tensor
    present: Tensor


def views_of(seen: Tensor, observer: Tensor) -> Views:
    """Gather what observers see.

    Args:
        seen: bool `[R, E]`, whom each sees; itself or not is the same.
        observer: int64 `[R]`, which entity each is.

    Returns:
        Views with K the largest number of entities that one of them sees, at least 1.

    Example:
        >>> seen = torch.tensor([[True, False, True, True], [False, False, False, False]])
        >>> views_of(seen, torch.tensor([2, 1])).index.tolist()
        [[2, 0, 3], [1, 1, 1]]
    """
    rows = torch.arange(len(seen), device=seen.device)
    others = seen.clone()
    others[rows, observer] = False
    counts = others.sum(1)
    row, entity = others.nonzero(as_tuple=True)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(row), device=seen.device) - first[row] + 1
    size = 1 + (int(counts.max()) if len(counts) else 0)
    index = observer.unsqueeze(1).repeat(1, size)
    index[row, place] = entity
    present = torch.arange(size, device=seen.device) <= counts.unsqueeze(1)
    return Views(index, present)


def rows_of(x: Tensor, row: Tensor, index: Tensor) -> Tensor:
    """What scenes hold for some entities: x `[B, E, ...]` at `index` `[R, K]` of entries `row`.

    Returns:
        `[R, K, ...]`.
    """
    flat = row.unsqueeze(1) * x.shape[1] + index
    return x.flatten(0, 1).index_select(0, flat.flatten()).view(*index.shape, *x.shape[2:])

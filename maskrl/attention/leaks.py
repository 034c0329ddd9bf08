"""Which hidden entities reach an observer through stacked layers, and along which path.

Attention that is masked by the same visibility in every layer carries along
paths: 0 sees 1 and 1 sees 2, so after two layers 2 moves 0. `leaks` marks every
such pair of a batch of graphs at the price of a few matrix products;
`explain_leak` names the shortest path of each. Both speak of
`EntityEncoder(depth_safe=False)`: under an `observer_view`, or with
`depth_safe=True`, nothing leaks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maskrl.attention.index import check_index
from maskrl.attention.visibility.checks import square_tensor, with_padding
from maskrl.errors import ConfigError, MaskShapeError

Pooling = Literal["mean", "max", "attention", "self"]
LEVELS: dict[Pooling | None, int] = {None: 0, "self": 0, "mean": 1, "max": 1, "attention": 1}
"""How many layers a pooling counts for: "self" takes a row, the others mix rows once more."""


@dataclass(frozen=True)
class Leak:
    """A hidden entity that reaches an observer, and the shortest path on which it does.

    Attributes:
        path: Slots from the observer to the hidden entity; each sees the next one.
        names: What the entities of the path are called, in its order.
        pooled: Whether the last step is the pooling's.
    """

    path: tuple[int, ...]
    names: tuple[str, ...]
    pooled: bool = False

    @property
    def observer(self) -> int:
        """Whose output moves."""
        return self.path[0]

    @property
    def hidden(self) -> int:
        """Which entity moves it, though the observer does not see it."""
        return self.path[-1]

    @property
    def layer(self) -> int:
        """In which layer, counted from 1, it arrives; the pooling counts as one more."""
        return len(self.path) - 1

    def __str__(self) -> str:
        first, *through, last = (
            f"{name} {slot}" for name, slot in zip(self.names, self.path, strict=True)
        )
        listed = " and ".join([", ".join(through[:-1]), through[-1]] if through[1:] else through)
        where = f"in the pooling after layer {self.layer - 1}" if self.pooled else None
        return f"{first} reads {last} through {listed} {where or f'at layer {self.layer}'}"


def leaks(
    visibility: Tensor,
    depth: int,
    *,
    entity_mask: Tensor | None = None,
    pool: Pooling | None = None,
) -> Tensor:
    """Who moves whom, though it is hidden from it, when every layer is masked alike.

    Entity j reaches i through `depth` layers exactly if a path of at most `depth` steps leads from
    i to j, each step from one entity to another that it sees.

    Args:
        visibility: bool [..., E, E], True = i sees j. Every entity counts as seeing itself.
        depth: Number of attention layers.
        entity_mask: bool [..., E], False = padding, through which no path leads. None: no padding.
        pool: How the rows are pooled for an observer; None and "self" pool nothing, the others
            count as one more layer.

    Returns:
        bool [..., E, E], True = j moves the output for i, and i does not see j.

    Raises:
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask does not fit.
        MaskError: The masks are on different devices.
        ConfigError: `depth` is no positive whole number, or `pool` is unknown.

    Empty rows:
        Padding neither moves anything nor is moved: its rows and columns are False.

    Example:
        >>> chain = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
        >>> leaks(chain, depth=2).nonzero().tolist()
        [[0, 2]]
    """
    steps = _steps("leaks", depth, pool)
    sees = _graph("leaks", visibility, entity_mask)
    return _reach(sees, steps) & ~sees


def explain_leak(
    visibility: Tensor,
    depth: int,
    *,
    observer: int | None = None,
    entity_mask: Tensor | None = None,
    names: Sequence[str | None] | None = None,
    pool: Pooling | None = None,
) -> list[Leak]:
    """Every leak of one graph, with the path it takes; the shortest paths first.

    Args:
        visibility: bool [E, E], True = i sees j. Every entity counts as seeing itself.
        depth: Number of attention layers.
        observer: Explain only what reaches this slot. None: every observer.
        entity_mask: bool [E], False = padding. None: no padding.
        names: One per slot, None where there is none: "panda" is then told as "panda 0". Without
            names slots are told as "entity 0".
        pool: How the rows are pooled, as in `leaks`.

    Returns:
        One `Leak` per pair that `leaks` marks, by length of path, then observer, then hidden
        entity. Of several shortest paths the one whose slots come first. `str` of it is a sentence.

    Raises:
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask, `observer` or the number of names does not fit, or `visibility`
            holds more than one graph.
        ConfigError: `depth` is no positive whole number, or `pool` is unknown.

    Empty rows:
        Padding is on no path, neither as an observer nor in between.

    Example:
        >>> chain = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
        >>> print(explain_leak(chain, 2, names=["panda", "watermelon", "scorpion"])[0])
        panda 0 reads scorpion 2 through watermelon 1 at layer 2
    """
    steps = _steps("explain_leak", depth, pool)
    if isinstance(visibility, Tensor) and visibility.ndim > 2:
        raise MaskShapeError(
            f"explain_leak: visibility has shape {tuple(visibility.shape)}; expected one graph "
            "[E, E]. Index the one to explain, such as visibility[0]; `leaks` takes batches."
        )
    sees = _graph("explain_leak", visibility, entity_mask)
    if sees.ndim > 2:
        raise MaskShapeError(
            f"explain_leak: entity_mask has more than one row for one graph; expected "
            f"[{sees.shape[-1]}]."
        )
    entities = sees.shape[-1]
    called = _names(names, entities)
    observers: Sequence[int] = range(entities)
    if observer is not None:
        index = check_index("explain_leak", "observer", observer, entities, ())
        if isinstance(index, Tensor):
            raise MaskShapeError(
                f"explain_leak: observer has shape {tuple(index.shape)}; expected one whole "
                "number, or None for every observer."
            )
        observers = [index]
    graph = sees.cpu().numpy()
    found = [
        Leak(path, tuple(called[slot] for slot in path), pooled=len(path) - 1 > depth)
        for i in observers
        for path in _shortest_paths(graph, i, steps)
    ]
    return sorted(found, key=lambda leak: (leak.layer, leak.observer, leak.hidden))


def _reach(sees: Tensor, steps: int) -> Tensor:
    """Who is reached in at most so many steps: a power of the graph, by repeated squaring."""
    steps = max(1, min(steps, sees.shape[-1] - 1))  # no shortest path is longer
    reached: Tensor | None = None
    # Numbers of paths: sums of zeros and ones, where only being positive counts.
    power = sees.float()
    while True:
        if steps & 1:
            reached = power if reached is None else _joined(reached, power)
        steps >>= 1
        if not steps:
            break
        power = _joined(power, power)
    return (power if reached is None else reached) > 0


def _joined(first: Tensor, second: Tensor) -> Tensor:
    return torch.matmul(first, second).clamp_(max=1.0)


def _shortest_paths(
    graph: npt.NDArray[np.bool_], observer: int, steps: int
) -> list[tuple[int, ...]]:
    """The first shortest path to everything that is reached but not seen, breadth first."""
    paths: dict[int, tuple[int, ...]] = {observer: (observer,)}
    waiting = deque([observer])
    while waiting:
        slot = waiting.popleft()
        if len(paths[slot]) > steps:
            break
        for further in np.flatnonzero(graph[slot]).tolist():
            if further not in paths:
                paths[further] = (*paths[slot], further)
                waiting.append(further)
    return [path for path in paths.values() if len(path) > 2]


def _graph(operation: str, visibility: object, entity_mask: object) -> Tensor:
    """Who sees whom, itself included; padding sees nobody, not even itself."""
    return with_padding(operation, square_tensor(operation, visibility), entity_mask)


def _steps(operation: str, depth: object, pool: Pooling | None) -> int:
    """How many steps a path may have: the layers, and one for a pooling that mixes rows."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ConfigError(f"{operation}: depth is {depth!r}; expected a positive whole number.")
    if pool is not None and pool not in get_args(Pooling):
        raise ConfigError(
            f"{operation}: pool is {pool!r}; expected None or one of "
            f"{', '.join(get_args(Pooling))}."
        )
    return depth + LEVELS[pool]


def _names(names: Sequence[str | None] | None, entities: int) -> list[str]:
    if names is None:
        return ["entity"] * entities
    if isinstance(names, str) or len(names) != entities:
        got = f"{names!r}" if isinstance(names, str) else f"{len(names)} names"
        raise MaskShapeError(
            f"explain_leak: names has {got}; expected a list of {entities}, one per entity slot."
        )
    return [name or "entity" for name in names]

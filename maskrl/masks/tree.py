"""`ActionTree`: which parts an action has, and on which earlier parts each depends.

In many games an action is a type and then its parameters: a move has a direction, an
attack has a target, and waiting has neither. The tree says so once, as plain data: an
environment offers it as its attribute `action_tree`, a policy builds its distribution
from it, and a checkpoint keeps it as JSON. It holds no tensor and imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.arrays import BoolArray

FLAT_MASK = "action_mask"
"""The entry with one row of allowed choices per head, joined: `[..., sum(nvec)]`."""


@dataclass(frozen=True)
class Head:
    """One part of an action: a choice between `size` alternatives.

    Attributes:
        name: How masks, logits and messages call it.
        size: Number of choices.
        relevant: Under which earlier choices the head counts: the name of an earlier head
            and its choices, as in `{"type": (1, 4)}`. All entries must hold, and the earlier
            heads must count themselves. Empty: always. A head that does not count adds
            nothing to log-probability and entropy, and any value of it is as good.
        mask_by: The earlier head that selects this head's row of a mask table
            `[..., size of that head, size]`; None: one row whatever was chosen.
        logits_by: The earlier head that selects this head's row of a table of logits.
        choices: Names of the choices, for pictures and messages; empty if they have none.
    """

    name: str
    size: int
    relevant: Mapping[str, Sequence[int]] = field(default_factory=dict)
    mask_by: str | None = None
    logits_by: str | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without the other heads, and copy it."""
        if not isinstance(self.name, str) or not self.name or ":" in self.name:
            raise ConfigError(f"Head: name is {self.name!r}; expected a word without ':'.")
        if isinstance(self.size, bool) or not isinstance(self.size, int | np.integer):
            raise ConfigError(f"Head {self.name!r}: size is {self.size!r}; expected an integer.")
        if self.size < 1:
            raise ConfigError(f"Head {self.name!r}: size is {self.size}; expected at least 1.")
        if self.choices and len(self.choices) != self.size:
            raise ConfigError(
                f"Head {self.name!r}: {len(self.choices)} names for {self.size} choices."
            )
        frozen = _relevance(self.name, self.relevant)
        object.__setattr__(self, "size", int(self.size))
        object.__setattr__(self, "relevant", frozen)
        object.__setattr__(self, "choices", tuple(self.choices))


class ActionTree:
    """The heads of an action, in the order in which they are chosen.

    Args:
        heads: Each may depend on those before it.

    Attributes:
        heads: As given.
        names: Name of every head.
        nvec: Number of choices of every head, as in a MultiDiscrete space.
        parents: Per head, the positions of the earlier heads that it depends on directly.
        derived: Room for what others derive from the tree and want to derive once.

    Raises:
        ConfigError: A name occurs twice, or a head depends on one that does not come before
            it, or on a choice that one does not have.

    Reference:
        Vinyals et al., Grandmaster level in StarCraft II using multi-agent reinforcement
        learning, Nature 575 (2019), methods, "Action space".

    Example:
        >>> tree = ActionTree(Head("type", 2), Head("target", 5, relevant={"type": [1]}))
        >>> tree.nvec, tree.parents
        ((2, 5), ((), (0,)))
    """

    def __init__(self, *heads: Head) -> None:
        if len(heads) == 1 and isinstance(heads[0], Sequence):
            heads = tuple(heads[0])
        if not heads or not all(isinstance(head, Head) for head in heads):
            raise ConfigError(f"ActionTree: expected one Head after another, got {heads!r}.")
        self.heads = tuple(heads)
        self.names = tuple(head.name for head in heads)
        self.nvec = tuple(head.size for head in heads)
        repeated = [name for i, name in enumerate(self.names) if name in self.names[:i]]
        if repeated:
            raise ConfigError(f"ActionTree: two heads are called {repeated[0]!r}.")
        self._position = {name: k for k, name in enumerate(self.names)}
        self.derived: dict[Any, Any] = {}
        self.parents = tuple(self._parents(k) for k in range(len(heads)))

    def _parents(self, k: int) -> tuple[int, ...]:
        """Check the earlier heads that head k names, and return their positions."""
        head = self.heads[k]
        named = [*head.relevant, *(by for by in (head.mask_by, head.logits_by) if by is not None)]
        for name in named:
            if self._position.get(name, k) >= k:
                raise ConfigError(
                    f"ActionTree: head {head.name!r} depends on {name!r}; expected one of the "
                    f"heads before it, {list(self.names[:k])}."
                )
        for name, choices in head.relevant.items():
            size = self.nvec[self._position[name]]
            beyond = [c for c in choices if not 0 <= c < size]
            if beyond or not choices:
                raise ConfigError(
                    f"ActionTree: head {head.name!r} is relevant when {name!r} is "
                    f"{list(choices)}; expected choices from 0 to {size - 1}, at least one."
                )
        return tuple(sorted({self._position[name] for name in named}))

    def position(self, name: str) -> int:
        """Position of the head of this name.

        Raises:
            ConfigError: There is none.
        """
        if name not in self._position:
            raise ConfigError(f"ActionTree: no head {name!r}; the heads are {list(self.names)}.")
        return self._position[name]

    @property
    def logits_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Per head `(size,)`, or `(size of the head it goes by, size)` for a table of logits."""
        return tuple(self._table_shape(head.logits_by, head.size) for head in self.heads)

    @property
    def logits_size(self) -> int:
        """How many logits a network gives for one action: those of all heads and tables."""
        return sum(math.prod(shape) for shape in self.logits_shapes)

    @property
    def mask_shapes(self) -> dict[str, tuple[int, ...]]:
        """Entries of an observation that mask this action, with their shapes.

        `"action_mask"` has one row per head, joined; `"action_mask:<head>"` is the table of
        a head whose mask goes by an earlier choice. A choice is allowed where both say so.
        """
        tables = {
            f"{FLAT_MASK}:{head.name}": self._table_shape(head.mask_by, head.size)
            for head in self.heads
            if head.mask_by is not None
        }
        return {FLAT_MASK: (sum(self.nvec),), **tables}

    def _table_shape(self, by: str | None, size: int) -> tuple[int, ...]:
        return (size,) if by is None else (self.nvec[self._position[by]], size)

    def relevant(self, actions: Any) -> BoolArray:
        """Which heads count in each action.

        Args:
            actions: Integers `[..., K]`.

        Returns:
            bool `[..., K]`.

        Raises:
            MaskShapeError: The last dimension is not K.
        """
        actions = self._as_actions(actions)
        counts = np.ones(actions.shape, np.bool_)
        for k, head in enumerate(self.heads):
            for name, choices in head.relevant.items():
                p = self._position[name]
                counts[..., k] &= counts[..., p] & _is_one_of(actions[..., p], choices)
        return counts

    def settled(self, actions: Any) -> npt.NDArray[Any]:
        """The actions `[..., K]` with choice 0 in every head that does not count.

        This is what tables go by: any value of a head that does not count is as good.
        """
        return np.where(self.relevant(actions), self._as_actions(actions), 0)

    def allows(self, actions: Any, masks: Mapping[str, Any]) -> BoolArray:
        """Whether every head that counts makes an allowed choice; for environments.

        Args:
            actions: Integers `[..., K]`.
            masks: Boolean arrays under the names of `mask_shapes`, whose leading dimensions
                broadcast with those of `actions`; what is missing allows everything.

        Returns:
            bool `[...]`.

        Raises:
            MaskShapeError: The last dimension of `actions` is not K.
        """
        actions = self._as_actions(actions)
        counts = self.relevant(actions)
        settled = self.settled(actions)
        good = np.ones(actions.shape[:-1], np.bool_)
        starts = np.concatenate([[0], np.cumsum(self.nvec)])
        for k, head in enumerate(self.heads):
            inside = (actions[..., k] >= 0) & (actions[..., k] < head.size)
            choice = np.where(inside, actions[..., k], 0)
            allowed = inside
            if FLAT_MASK in masks:
                row = np.asarray(masks[FLAT_MASK])[..., starts[k] : starts[k + 1]]
                allowed = allowed & _picked(row, choice)
            table = masks.get(f"{FLAT_MASK}:{head.name}")
            if table is not None and head.mask_by is not None:
                by = self._position[head.mask_by]
                table = np.asarray(table)
                place = np.clip(settled[..., by], 0, self.nvec[by] - 1) * head.size + choice
                allowed = allowed & _picked(table.reshape(*table.shape[:-2], -1), place)
            good = good & (allowed | ~counts[..., k])
        return good

    def _as_actions(self, actions: Any) -> np.ndarray:
        whole: np.ndarray = np.asarray(actions)
        if whole.ndim == 0 or whole.shape[-1] != len(self.heads):
            raise MaskShapeError(
                f"ActionTree: actions has shape {whole.shape}; expected [..., {len(self.heads)}], "
                f"one choice for each of {list(self.names)}."
            )
        return whole

    def to_json(self) -> list[dict[str, Any]]:
        """The tree as plain data; `from_json` reads it."""
        return [
            {
                "name": head.name,
                "size": head.size,
                "relevant": {name: list(choices) for name, choices in head.relevant.items()},
                "mask_by": head.mask_by,
                "logits_by": head.logits_by,
                "choices": list(head.choices),
            }
            for head in self.heads
        ]

    @classmethod
    def from_json(cls, description: Sequence[Mapping[str, Any]]) -> ActionTree:
        """The tree that `to_json` described."""
        return cls(*(Head(**{**of, "choices": tuple(of.get("choices", ()))}) for of in description))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the heads, and nothing derived from them."""
        return ActionTree, self.heads

    def __eq__(self, other: object) -> bool:
        """Whether both have equal heads in the same order."""
        return isinstance(other, ActionTree) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        """Equal trees have equal hashes."""
        return hash((self.names, self.nvec, self.parents))

    def __repr__(self) -> str:
        """Name heads, sizes and what each depends on."""
        parts = []
        for head, parents in zip(self.heads, self.parents, strict=True):
            by = f" by {', '.join(self.names[p] for p in parents)}" if parents else ""
            parts.append(f"{head.name}[{head.size}]{by}")
        return f"ActionTree({'; '.join(parts)})"


def _relevance(name: str, relevant: Any) -> dict[str, tuple[int, ...]]:
    """Copy the relevance of a head, if it is names of heads with choices."""
    frozen: dict[str, tuple[int, ...]] = {}
    for other, given in relevant.items() if isinstance(relevant, Mapping) else [("", None)]:
        choices: list[Any] = list(given) if isinstance(given, Iterable) else [None]
        # Neither booleans, which would be read as choices 0 and 1, nor fractions.
        if any(np.asarray(c).dtype.kind not in "iu" or np.ndim(c) > 0 for c in choices):
            raise ConfigError(
                f"Head {name!r}: relevant is {relevant!r}; expected the names of earlier heads, "
                f"each with a sequence of its choices, as in {{'type': [1, 4]}}."
            )
        frozen[other] = tuple(int(c) for c in choices)
    return frozen


def _is_one_of(values: np.ndarray, choices: Sequence[int]) -> BoolArray:
    """Whether values are among a head's choices; of a few, comparing each is fastest."""
    if len(choices) > 8:
        return np.isin(values, choices)
    found: BoolArray = values == choices[0]
    for choice in choices[1:]:
        found |= values == choice
    return found


def _picked(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pick from rows `[..., n]` the entry at `index` `[...]`; leading dimensions broadcast."""
    lead = np.broadcast_shapes(rows.shape[:-1], index.shape)
    rows = np.broadcast_to(rows, (*lead, rows.shape[-1]))
    picked: np.ndarray = np.take_along_axis(rows, np.broadcast_to(index, lead)[..., None], -1)
    return picked[..., 0]

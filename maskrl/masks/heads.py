"""`ActionHeads`: the parts of an action, and what masks say about each of them.

A discrete action has one head, a multi-discrete one several, a multi-binary one a head
of two choices per bit, and a tree has heads that count only after some earlier choices.
How many choices a head had, whether the one it made was allowed, whether a step was
forced or took no decision at all: all of it is defined here, once, for training,
evaluation and reports. numpy only; masks come under the names of the observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.arrays import BoolArray
from maskrl.masks.tree import FLAT_MASK, ActionTree

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ActionHeads:
    """The heads of one action.

    Attributes:
        nvec: Number of choices of every head, K of them.
        shape: Of one action as the environment takes it: () for a discrete one.
        binary: Whether a head is one bit; its two choices are 0 and 1.
        tree: On which earlier choices a head depends, None where heads are independent.

    Raises:
        ConfigError: Tree and sizes contradict each other.
    """

    nvec: tuple[int, ...]
    shape: tuple[int, ...] = ()
    binary: bool = False
    tree: ActionTree | None = None

    def __post_init__(self) -> None:
        """Check the tree against the sizes."""
        if self.tree is not None and self.tree.nvec != self.nvec:
            raise ConfigError(
                f"action_tree: its heads {dict(zip(self.tree.names, self.tree.nvec, strict=True))} "
                f"do not fit the sizes {list(self.nvec)} of the action space; expected "
                "MultiDiscrete(tree.nvec)"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """What messages call the heads: their names in the tree, or their positions."""
        if self.tree is not None:
            return self.tree.names
        return tuple(str(k) for k in range(len(self.nvec)))

    @property
    def mask_shapes(self) -> dict[str, tuple[int, ...]]:
        """Entries of an observation that mask this action, with their shapes."""
        return {FLAT_MASK: (sum(self.nvec),)} if self.tree is None else self.tree.mask_shapes

    def flat(self, actions: Any) -> IntArray:
        """Actions `[..., *shape]` with their heads in one row: int64 `[..., K]`.

        Raises:
            MaskShapeError: The last dimensions are not those of an action.
        """
        actions = np.asarray(actions)
        kept = actions.ndim - len(self.shape)
        if kept < 0 or actions.shape[kept:] != self.shape:
            raise MaskShapeError(
                f"actions: got shape {actions.shape}; expected [..., "
                f"{', '.join(map(str, self.shape))}]"
            )
        flat: IntArray = actions.reshape(*actions.shape[:kept], len(self.nvec)).astype(np.int64)
        return flat

    def counting(self, actions: Any) -> BoolArray:
        """Which heads count in actions `[..., *shape]`: bool `[..., K]`; all without a tree."""
        flat = self.flat(actions)
        return np.ones(flat.shape, np.bool_) if self.tree is None else self.tree.relevant(flat)

    def row(self, head: int, masks: Mapping[str, Any], actions: Any) -> BoolArray:
        """What one head may choose after the earlier choices of each action.

        Args:
            head: Position of the head.
            masks: Under the names of `mask_shapes`, with the leading dimensions of the
                actions; the flat one also as `[..., K, 2]` for bits. What is missing allows
                everything.
            actions: `[..., *shape]`.

        Returns:
            bool `[..., size of the head]`, not to be written to.
        """
        return self._row(head, masks, self.flat(actions))

    def _row(self, head: int, masks: Mapping[str, Any], flat: IntArray) -> BoolArray:
        size = self.nvec[head]
        lead = flat.shape[:-1]
        row = np.broadcast_to(np.bool_(True), (*lead, size))
        if FLAT_MASK in masks:
            start = sum(self.nvec[:head])
            joined = np.asarray(masks[FLAT_MASK]).reshape(*lead, sum(self.nvec))
            row = joined[..., start : start + size]
        if self.tree is None or (by := self.tree.heads[head].mask_by) is None:
            return row
        table = masks.get(f"{FLAT_MASK}:{self.names[head]}")
        if table is None:
            return row
        table = np.asarray(table)
        before = np.clip(flat[..., self.tree.position(by)], 0, table.shape[-2] - 1)
        chosen: BoolArray = np.take_along_axis(table, before[..., None, None], -2)[..., 0, :]
        return row & chosen

    def judge(self, masks: Mapping[str, Any], actions: Any) -> Judgement:
        """What the masks say about actions `[..., *shape]`; masks as in `row`."""
        flat = self.flat(actions)
        allowed = np.zeros(flat.shape, np.bool_)
        counts = np.zeros(flat.shape, np.int64)
        for head, size in enumerate(self.nvec):
            row = self._row(head, masks, flat)
            choice = flat[..., head]
            inside = (choice >= 0) & (choice < size)
            index = np.where(inside, choice, 0)[..., None]
            allowed[..., head] = inside & np.take_along_axis(row, index, -1)[..., 0]
            counts[..., head] = row.sum(-1)
        relevant = np.ones(flat.shape, np.bool_) if self.tree is None else self.tree.relevant(flat)
        return Judgement(relevant, allowed, counts, self.nvec)


@dataclass(frozen=True)
class Judgement:
    """What masks say about a batch of actions.

    Attributes:
        relevant: bool `[..., K]`, the head counts in this action.
        allowed: bool `[..., K]`, the mask allows the head's choice.
        counts: int64 `[..., K]`, between how many choices the head could choose.
        nvec: Number of choices of every head.
    """

    relevant: BoolArray
    allowed: BoolArray
    counts: IntArray
    nvec: tuple[int, ...]

    @property
    def decides(self) -> BoolArray:
        """Heads that count and could choose: bool `[..., K]`."""
        decides: BoolArray = self.relevant & (self.counts > 0)
        return decides

    @property
    def stuck(self) -> BoolArray:
        """Heads that count and could choose nothing: bool `[..., K]`."""
        stuck: BoolArray = self.relevant & (self.counts == 0)
        return stuck

    @property
    def idle(self) -> BoolArray:
        """Steps in which no head took a decision: bool `[...]`."""
        return np.asarray(~self.decides.any(-1))

    @property
    def illegal(self) -> BoolArray:
        """Actions in which a head that decides chose what its mask disallows: bool `[...]`."""
        return np.asarray((self.decides & ~self.allowed).any(-1))

    @property
    def forced(self) -> BoolArray:
        """Steps with a decision in which no head had more than one choice: bool `[...]`."""
        decides = self.decides
        return np.asarray(decides.any(-1) & (~decides | (self.counts == 1)).all(-1))

    @property
    def share(self) -> npt.NDArray[np.float64]:
        """Share of choices allowed, the mean over the heads that count: `[...]` in [0, 1]."""
        shares = np.where(self.relevant, self.counts / np.asarray(self.nvec), 0.0)
        mean: npt.NDArray[np.float64] = shares.sum(-1) / np.maximum(self.relevant.sum(-1), 1)
        return mean

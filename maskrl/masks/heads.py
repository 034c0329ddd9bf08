"""What masks say about actions with several heads: numpy only, no torch.

An action is a row of choices, one per head. Its heads are given as sizes (MultiDiscrete;
MultiBinary as pairs; Discrete as one head) or as an `ActionTree`, where a head's mask may
go by an earlier choice and a head may not count at all. Evaluators, buffers and
environments' wrappers count here which choices were allowed, which were against the mask
and which were no choice; the random valid agent draws here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.errors import MaskShapeError
from maskrl.masks.arrays import BoolArray
from maskrl.masks.tree import FLAT_MASK, ActionTree

IntArray = npt.NDArray[np.int64]
Heads = Sequence[int] | ActionTree
"""Number of choices of each head, or the tree that says how they depend on each other."""


@dataclass(frozen=True)
class Choices:
    """What the masks said about actions that were taken; K heads.

    Attributes:
        sizes: Number of choices of each head, allowed or not.
        relevant: bool `[..., K]`, the head counts in this action.
        allowed: int64 `[..., K]`, how many choices the head had, given the choices of the
            same action before it.
        taken: bool `[..., K]`, its choice was one of those.
    """

    sizes: tuple[int, ...]
    relevant: BoolArray
    allowed: IntArray
    taken: BoolArray

    @property
    def empty(self) -> BoolArray:
        """Heads that count and had nothing allowed, so that they idle: bool `[..., K]`."""
        return np.asarray(self.relevant & (self.allowed == 0))

    @property
    def idle(self) -> BoolArray:
        """Actions in which no head had a choice to make: bool `[...]`."""
        return np.asarray(~(self.relevant & (self.allowed > 0)).any(axis=-1))

    @property
    def illegal(self) -> BoolArray:
        """Actions with a head that counts and chose against its mask: bool `[...]`.

        Empty rows:
            A head whose mask allows nothing idles; that is not against the mask.
        """
        return np.asarray((self.relevant & ~self.taken & (self.allowed > 0)).any(axis=-1))

    @property
    def forced(self) -> BoolArray:
        """Where there was exactly one action, one choice for each head that counts: bool `[...]`.

        Empty rows:
            Heads that idle decide nothing; where all do, nothing is forced.
        """
        single = self.relevant & (self.allowed == 1)
        several = self.relevant & (self.allowed > 1)
        return np.asarray(single.any(axis=-1) & ~several.any(axis=-1))

    @property
    def allowed_share(self) -> npt.NDArray[np.float64]:
        """Share of allowed choices among all choices, of the heads that count: float64 `[...]`."""
        sizes = np.asarray(self.sizes, np.int64)
        allowed = np.where(self.relevant, self.allowed, 0).sum(axis=-1)
        all_of_them = np.where(self.relevant, sizes, 0).sum(axis=-1)
        return np.asarray(allowed / np.maximum(all_of_them, 1), np.float64)


def choices_of(actions: Any, masks: Mapping[str, Any], heads: Heads) -> Choices:
    """Look up what the masks said about actions.

    Args:
        actions: Integers `[..., K]`; a choice that its head does not have counts as disallowed.
        masks: Boolean arrays with the leading dimensions of `actions`, under the names of an
            observation: `"action_mask"` `[..., sum(nvec)]` or `[..., n, 2]`, and for a tree the
            tables `"action_mask:<head>"`. What is missing allows everything.
        heads: Sizes of the heads, or the tree.

    Raises:
        MaskShapeError: Actions or masks have another shape.

    Example:
        >>> choices_of([1, 0], {"action_mask": np.array([True, False, True])}, (2, 1)).taken
        array([False,  True])
    """
    actions = _as_actions(actions, heads)
    relevant = relevant_heads(actions, heads)
    keep = _masks_along(actions, relevant, masks, heads)
    nvec = sizes_of(heads)
    starts = starts_of(heads)
    inside = (actions >= 0) & (actions < np.asarray(nvec))
    place = np.where(inside, actions, 0) + starts
    return Choices(
        sizes=nvec,
        relevant=relevant,
        allowed=np.add.reduceat(keep, starts, axis=-1, dtype=np.int64),
        taken=inside & np.take_along_axis(keep, place, axis=-1),
    )


def masks_along(actions: Any, masks: Mapping[str, Any], heads: Heads) -> BoolArray:
    """The row of allowed choices that each head chose from, given the choices before it.

    Args:
        actions: Integers `[..., K]`.
        masks: As in `choices_of`.
        heads: Sizes of the heads, or the tree.

    Returns:
        bool `[..., sum(nvec)]`: the flat mask, and for a head with a table also the table's
        row for the choice that it goes by. May be the mask itself: do not write into it.

    Raises:
        MaskShapeError: Actions or masks have another shape.
    """
    actions = _as_actions(actions, heads)
    return _masks_along(actions, relevant_heads(actions, heads), masks, heads)


def _masks_along(
    actions: IntArray, relevant: BoolArray, masks: Mapping[str, Any], heads: Heads
) -> BoolArray:
    """As `masks_along`, of actions whose heads that count `[..., K]` are known."""
    keep = flat_mask(masks, heads, actions.shape[:-1])
    if not isinstance(heads, ActionTree):
        return keep
    actions = np.where(relevant, actions, 0)  # what tables go by
    parts = [
        _row(keep[..., start : start + size], masks, heads, k, actions)
        for k, (start, size) in enumerate(zip(starts_of(heads), heads.nvec, strict=True))
    ]
    return np.concatenate(parts, axis=-1)


def random_actions(
    masks: Mapping[str, Any],
    heads: Heads,
    rng: np.random.Generator,
    batch_shape: tuple[int, ...] = (),
) -> IntArray:
    """Draw every head uniformly from its allowed choices, one head after the other.

    Args:
        masks: As in `choices_of`, with the leading dimensions `batch_shape`.
        heads: Sizes of the heads, or the tree: tables go by the choices already drawn, and
            heads that do not count get 0.
        rng: Where the draws come from.
        batch_shape: Leading dimensions of what is drawn.

    Returns:
        int64 `[*batch_shape, K]`.

    Raises:
        MaskShapeError: A mask has another shape.

    Empty rows:
        A head that allows nothing gets 0.
    """
    keep = flat_mask(masks, heads, batch_shape)
    draws = rng.random(keep.shape)
    nvec = sizes_of(heads)
    actions = np.zeros((*batch_shape, len(nvec)), np.int64)
    for k, (start, size) in enumerate(zip(starts_of(heads), nvec, strict=True)):
        row = keep[..., start : start + size]
        if isinstance(heads, ActionTree):
            row = _row(row, masks, heads, k, actions)
        actions[..., k] = np.where(row, draws[..., start : start + size], -1.0).argmax(axis=-1)
        if isinstance(heads, ActionTree):
            actions[..., k] *= heads.relevant(actions)[..., k]
    return actions


def relevant_heads(actions: Any, heads: Heads) -> BoolArray:
    """Which heads count in each action `[..., K]`: all of them, unless a tree says otherwise."""
    actions = _as_actions(actions, heads)
    if isinstance(heads, ActionTree):
        return heads.relevant(actions)
    return np.ones(actions.shape, np.bool_)


def sizes_of(heads: Heads) -> tuple[int, ...]:
    """Number of choices of each head."""
    return heads.nvec if isinstance(heads, ActionTree) else tuple(int(n) for n in heads)


def starts_of(heads: Heads) -> IntArray:
    """Where each head's part of a flat row begins: int64 `[K]`.

    >>> starts_of((2, 5, 3))
    array([0, 2, 7])
    """
    return np.cumsum((0, *sizes_of(heads)[:-1]), dtype=np.int64)


def flat_mask(masks: Mapping[str, Any], heads: Heads, batch_shape: tuple[int, ...]) -> BoolArray:
    """The flat mask of all heads; one that allows everything where there is none.

    Args:
        masks: As in `choices_of`.
        heads: Sizes of the heads, or the tree.
        batch_shape: Leading dimensions.

    Returns:
        bool `[*batch_shape, sum(nvec)]`; a view of the mask, or all True.

    Raises:
        MaskShapeError: The mask has another shape.
    """
    nvec = sizes_of(heads)
    shape = (*batch_shape, sum(nvec))
    if (given := masks.get(FLAT_MASK)) is None:
        return np.ones(shape, np.bool_)
    given = np.asarray(given)
    pairs = (*batch_shape, len(nvec), 2)
    if given.shape != shape and not (given.shape == pairs and set(nvec) == {2}):
        raise MaskShapeError(
            f"{FLAT_MASK} has shape {given.shape}; expected {shape}, one entry for every choice "
            f"of the heads {list(nvec)}."
        )
    return given.reshape(shape)


def _row(
    row: BoolArray, masks: Mapping[str, Any], tree: ActionTree, k: int, actions: IntArray
) -> BoolArray:
    """The allowed choices `[..., size]` of head k of a tree, after the choices before it."""
    head = tree.heads[k]
    table = masks.get(f"{FLAT_MASK}:{head.name}")
    if table is None or head.mask_by is None:
        return row
    table = np.asarray(table)
    parent = tree.position(head.mask_by)
    expected = (*actions.shape[:-1], tree.nvec[parent], head.size)
    if table.shape != expected:
        raise MaskShapeError(
            f"{FLAT_MASK}:{head.name} has shape {table.shape}; expected {expected}, a row for "
            f"every choice of {head.mask_by!r}."
        )
    by = np.clip(actions[..., parent], 0, tree.nvec[parent] - 1)
    return np.asarray(row & np.take_along_axis(table, by[..., None, None], axis=-2)[..., 0, :])


def _as_actions(actions: Any, heads: Heads) -> IntArray:
    count = len(sizes_of(heads))
    actions = np.asarray(actions)
    if actions.ndim == 0 or actions.shape[-1] != count:
        raise MaskShapeError(
            f"actions has shape {actions.shape}; expected [..., {count}], one choice per head."
        )
    return np.asarray(actions, np.int64)

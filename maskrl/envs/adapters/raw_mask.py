"""The shapes in which foreign environments write an action mask, brought to one flat row.

Accepted besides a flat row of zeros and ones: one row per head of a multi-discrete or
multi-binary space, and a mapping from every action's number to its flag. Ids of actions are
not accepted here, because [0, 1] could be ids or flags: they are pointed out. Nor is one
number per bit of a multi-binary action, unless its convention was named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.arrays import BoolArray
from maskrl.masks.binary import as_binary_mask_array

BinaryConvention = Literal["pairs", "gymnasium"]
"""How masks of bits are written: (may be 0, may be 1), or 0, 1, and 2 for a free bit."""


def action_heads(action_space: spaces.Space[Any], name: str) -> tuple[int, ...]:
    """Number of choices per head of an action space; one head for a Discrete space.

    Raises:
        ConfigError: The space takes no action mask.
    """
    if isinstance(action_space, spaces.Discrete):
        return (int(action_space.n),)
    if isinstance(action_space, spaces.MultiDiscrete):
        return tuple(int(n) for n in action_space.nvec.reshape(-1))
    if isinstance(action_space, spaces.MultiBinary):
        return (2,) * int(np.prod(action_space.shape))
    raise ConfigError(
        f"environment {name!r}: its action space {action_space} takes no action mask; "
        "Discrete, MultiDiscrete and MultiBinary do."
    )


def first_action(action_space: spaces.Space[Any]) -> np.ndarray:
    """Number of the first action (per head): 0 unless the space has a `start`."""
    return np.asarray(getattr(action_space, "start", 0), dtype=np.int64)


def head_shape(action_space: spaces.Space[Any]) -> tuple[int, ...]:
    """The shape in which an action's heads are laid out; () for a Discrete space."""
    return () if isinstance(action_space, spaces.Discrete) else tuple(action_space.shape or ())


def from_zero(action_space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The same action space with actions numbered from 0 and heads in one row."""
    if isinstance(action_space, spaces.Discrete):
        return spaces.Discrete(int(action_space.n))
    if isinstance(action_space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(action_space.nvec.reshape(-1))
    if isinstance(action_space, spaces.MultiBinary):
        return spaces.MultiBinary(int(np.prod(action_space.shape)))
    return action_space


def to_space(action: Any, action_space: spaces.Space[Any]) -> Any:
    """An action counted from 0, heads in one row, as the environment's own space has it.

    Args:
        action: A number, or one number per head.
        action_space: Discrete, MultiDiscrete or MultiBinary.

    Returns:
        An int, or a new array of the space's shape and type.
    """
    if isinstance(action_space, spaces.Discrete):
        return int(action) + int(action_space.start)
    row = np.array(action).reshape(action_space.shape or ())
    return (row + first_action(action_space)).astype(action_space.dtype)


def flat_row(
    raw: Any,
    heads: Sequence[int],
    shape: tuple[int, ...] | None = None,
    first: np.ndarray | int = 0,
) -> Any:
    """Bring a raw mask to one row where its form says unmistakably how.

    Args:
        raw: As the environment gave it; values are checked elsewhere.
        heads: Choices per head.
        shape: How heads are laid out, as `head_shape` tells; one row where there are several.
        first: Number of the first action, as `first_action` tells: a mapping's keys may begin
            there or at 0.

    Returns:
        `raw` itself where it is a flat row already, or in no form known here.

    Raises:
        MaskShapeError: A mapping that does not name each action once.
    """
    if isinstance(raw, Mapping):
        n_actions = sum(heads)
        numbers = {int(action) for action in raw if _is_int(action)}
        starts = {0, int(first)} if np.ndim(first) == 0 else {0}
        if len(raw) != n_actions or not any(
            numbers == set(range(start, start + n_actions)) for start in starts
        ):
            last = max(starts)
            raise MaskShapeError(
                f"action_mask is a mapping with {len(raw)} keys, expected each of the action "
                f"numbers {last} to {last + n_actions - 1} once."
            )
        return [raw[action] for action in sorted(raw, key=int)]
    if isinstance(raw, np.ndarray) and raw.dtype == object:
        raw = raw.tolist()  # what it holds is looked at, not how it is held
    if shape is None:
        shape = (len(heads),) if len(heads) > 1 else ()
    rows = _rows(raw, shape) if shape else []
    if rows and all(_is_row(row) and len(row) == n for row, n in zip(rows, heads, strict=True)):
        return [flag for row in rows for flag in row]
    return raw


def _rows(raw: Any, shape: tuple[int, ...]) -> list[Any]:
    """What lies in nested sequences of this shape, in order; empty where they are of another."""
    level = [raw]
    for length in shape:
        if not all(_is_row(part) and len(part) == length for part in level):
            return []
        level = [inner for part in level for inner in part]
    return level


def check_convention(convention: str, action_space: spaces.Space[Any], allowed: int) -> None:
    """Refuse a way of writing masks of bits that is none, or that contradicts other settings.

    Raises:
        ConfigError: It is unknown, is named for actions that are no bits, or for a mask in
            which 1 means forbidden.
    """
    if convention not in get_args(BinaryConvention):
        raise ConfigError(
            f"binary_convention: expected 'pairs' (may be 0, may be 1) or 'gymnasium' (0 = must "
            f"be 0, 1 = must be 1, 2 = free), got {convention!r}"
        )
    if convention == "pairs":
        return
    if not isinstance(action_space, spaces.MultiBinary):
        raise ConfigError(
            f"binary_convention: {convention!r} is about masks of MultiBinary actions, and the "
            f"action space is {action_space}"
        )
    if allowed != 1:
        raise ConfigError(
            "binary_convention: in Gymnasium's convention 0, 1 and 2 are values of a bit, so "
            "mask_allowed=0 has no meaning; leave one of the two out"
        )


def gymnasium_pairs(raw: Any, shape: tuple[int, ...]) -> BoolArray:
    """Gymnasium's 0/1/2 mask of a MultiBinary space as one row of pairs: bool `[2 n]`.

    Args:
        raw: As the environment gave it.
        shape: Of the space.

    Raises:
        MaskDtypeError: It holds other values.
        MaskShapeError: It has another shape.
    """
    pairs = as_binary_mask_array(raw)
    if pairs.shape[:-1] not in (shape, (int(np.prod(shape)),)):
        raise MaskShapeError(
            f"action_mask has shape {pairs.shape[:-1]}, expected {shape}: 0, 1 or 2 for each bit."
        )
    return pairs.reshape(-1)


def binary_hint(raw: Any, action_space: spaces.Space[Any]) -> str:
    """What one number per bit may have meant; the end of a message, empty for other masks."""
    row = _plain_row(raw)
    if row is None or not isinstance(action_space, spaces.MultiBinary):
        return ""
    if row.size != int(np.prod(action_space.shape)):
        return ""
    return (
        " One number per bit can mean two things. If it is Gymnasium's convention (0 = must be "
        "0, 1 = must be 1, 2 = free), say so with binary_convention='gymnasium'. If it says "
        "which bits may be 1, give pairs (may be 0, may be 1) instead: "
        "np.stack([np.ones_like(m), m], axis=-1)."
    )


def ids_hint(raw: Any, n_actions: int) -> str:
    """Say so where a mask looks like a list of allowed actions; the end of a message."""
    row = _plain_row(raw)
    if row is None or row.ndim != 1 or row.dtype.kind not in "iu":
        return ""
    ids = row.tolist()
    if not 0 < len(ids) < n_actions or len(set(ids)) < len(ids):
        return ""
    if min(ids) < 0 or max(ids) >= n_actions:
        return ""
    return (
        " It looks like a list of allowed action ids: say so with mask_form='ids', or give one "
        "flag per action instead (mask = np.zeros(n, bool); mask[ids] = True)."
    )


def shape_hint(raw: Any, n_actions: int) -> str:
    """What a mask of the wrong shape probably is; the end of a message."""
    row = _plain_row(raw)
    if row is None:
        return ""
    if row.ndim > 1 and row.size == n_actions:
        return " It has the right number of entries: flatten it in the order of the actions."
    return ids_hint(raw, n_actions) or " Expected one entry per action."


def _plain_row(raw: Any) -> np.ndarray | None:
    if not _is_row(raw):
        return None
    try:
        row = np.asarray(raw)
    except ValueError:  # rows of uneven lengths
        return None
    return None if row.dtype == object else row


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)

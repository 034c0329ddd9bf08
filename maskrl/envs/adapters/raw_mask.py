"""The shapes in which foreign environments write an action mask, brought to one flat row.

Accepted besides a flat row of zeros and ones: one row per head of a multi-discrete or
multi-binary space, and a mapping from every action's number to its flag. A list of
action ids is not accepted, because [0, 1] could be ids or flags: it is pointed out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.errors import ConfigError, MaskShapeError


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


def from_zero(action_space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The same action space with actions numbered from 0."""
    if isinstance(action_space, spaces.Discrete):
        return spaces.Discrete(int(action_space.n))
    if isinstance(action_space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(action_space.nvec)
    return action_space


def flat_row(raw: Any, heads: Sequence[int]) -> Any:
    """Bring a raw mask to one row where its form says unmistakably how.

    Args:
        raw: As the environment gave it; values are checked elsewhere.
        heads: Choices per head.

    Returns:
        `raw` itself where it is a flat row already, or in no form known here.

    Raises:
        MaskShapeError: A mapping that does not name each action once.
    """
    if isinstance(raw, Mapping):
        n_actions = sum(heads)
        if {int(action) for action in raw if _is_int(action)} != set(range(n_actions)) or len(
            raw
        ) != n_actions:
            raise MaskShapeError(
                f"action_mask is a mapping with {len(raw)} keys, expected each of the action "
                f"numbers 0 to {n_actions - 1} once."
            )
        return [raw[action] for action in sorted(raw, key=int)]
    rows = list(raw) if len(heads) > 1 and _is_row(raw) and len(raw) == len(heads) else []
    if rows and all(_is_row(row) and len(row) == n for row, n in zip(rows, heads, strict=True)):
        return [flag for row in rows for flag in row]
    return raw


def ids_hint(raw: Any, n_actions: int) -> str:
    """Says so where a mask looks like a list of allowed actions; the end of a message."""
    row = _plain_row(raw)
    if row is None or row.ndim != 1 or row.dtype.kind not in "iu":
        return ""
    ids = row.tolist()
    if not 0 < len(ids) < n_actions or len(set(ids)) < len(ids):
        return ""
    if min(ids) < 0 or max(ids) >= n_actions:
        return ""
    return (
        " It looks like a list of allowed action ids: give one flag per action instead "
        "(mask = np.zeros(n, bool); mask[ids] = True)."
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

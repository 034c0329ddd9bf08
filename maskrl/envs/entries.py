"""The entries of a Dict observation: which are masks, which features, by their names alone.

Masks are reserved names, tables of masks begin with `action_mask:`, and everything else is
a feature, but for `agent_cells` of a team, which says where agents are and who they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.errors import ConfigError, MaskDtypeError
from maskrl.masks.tree import FLAT_MASK

MASK_KEYS = (
    "action_mask",
    "next_action_mask",
    "entity_mask",
    "visibility",
    "agent_mask",
    "alive",
    "valid",
)
"""Names of an observation's entries that are masks, beside tables `action_mask:<head>`."""

TABLE_PREFIX = f"{FLAT_MASK}:"
"""What the name of a mask begins with whose row goes by an earlier choice."""

AGENT_CELLS = "agent_cells"
"""Where a team's agents are on its grid: neither mask nor feature, and only there."""


def mask_space(*shape: int) -> spaces.Box:
    """The space of a mask: a boolean `Box`, which stays boolean when it is batched.

    >>> mask_space(6).dtype, mask_space(6).shape
    (dtype('bool'), (6,))
    """
    dtype: Any = np.bool_  # Gymnasium's annotation leaves bool out
    return spaces.Box(0, 1, shape, dtype=dtype)


def is_mask_key(key: str) -> bool:
    """Whether an observation's entry of this name is a mask.

    >>> is_mask_key("action_mask"), is_mask_key("action_mask:target"), is_mask_key("speed")
    (True, True, False)
    """
    return key in MASK_KEYS or key.startswith(TABLE_PREFIX)


def feature_keys(observation_space: spaces.Space[Any]) -> tuple[str, ...]:
    """Names of the entries of a Dict space that are features, in the space's order."""
    entries = entries_of(observation_space)
    place = AGENT_CELLS if "agent_mask" in entries else None
    return tuple(key for key in entries if not is_mask_key(key) and key != place)


def mask_keys(observation_space: spaces.Space[Any]) -> tuple[str, ...]:
    """Names of the entries of a Dict space that are masks, in the space's order."""
    return tuple(key for key in entries_of(observation_space) if is_mask_key(key))


def entries_of(observation_space: spaces.Space[Any]) -> Mapping[str, spaces.Space[Any]]:
    """The entries of a Dict space by their names.

    Raises:
        ConfigError: It is another space.
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ConfigError(
            f"observation_space: expected a gymnasium.spaces.Dict, got {observation_space}. "
            "Masks are entries of a Dict observation; maskrl.make wraps other observations."
        )
    return observation_space.spaces


def require_boolean_masks(observation_space: spaces.Space[Any], operation: str) -> None:
    """Refuse a Dict space one of whose masks is not boolean.

    Raises:
        MaskDtypeError: One is not; the message names it.
    """
    for key in mask_keys(observation_space):
        entry = entries_of(observation_space)[key]
        if not isinstance(entry, spaces.Box) or entry.dtype != np.bool_:
            raise MaskDtypeError(
                f"{operation}: observation_space[{key!r}] must be Box(0, 1, shape, dtype=bool), "
                f"got {entry}. Declare it with maskrl.envs.contract.mask_space."
            )

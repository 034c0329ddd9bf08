"""What every environment promises once it is inside maskrl.

Observations are a `gymnasium.spaces.Dict`. Masks are ordinary entries of it under
reserved names, each a boolean `Box`, so that vector environments, buffers and
checkpoints carry them with no second channel; every other entry is a feature.
Vector environments reset in the step that ends an episode (SAME_STEP). The functions
here read such spaces and such infos, and say clearly what is wrong with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError

MASK_KEYS = (
    "action_mask",
    "next_action_mask",
    "entity_mask",
    "visibility",
    "agent_mask",
    "alive",
    "valid",
)
"""Names of an observation's entries that are masks; every other name is a feature."""

MASKS_ENOUGH = ("action_mask", "entity_mask", "agent_mask")
"""An environment needs at least one of these to be a masked one."""

OBSERVER_INDEX = 0
"""The entity that acts: entity scenes are seen through this entity's eyes."""


@dataclass(frozen=True)
class EnvDescription:
    """What a trainer must know about one (unbatched) pair of spaces.

    Attributes:
        action_kind: "discrete", "multi_discrete" or "multi_binary".
        n_actions: Number of logits: n, sum(nvec) or 2 n.
        nvec: Number of choices per head; `(n,)` for a discrete space.
        features: Names of the entries that are no masks, in the space's order.
        masks: Names of the entries that are masks, in the space's order.
        observer_index: The entity that acts.
    """

    action_kind: str
    n_actions: int
    nvec: tuple[int, ...]
    features: tuple[str, ...]
    masks: tuple[str, ...]
    observer_index: int = OBSERVER_INDEX

    @property
    def has_action_mask(self) -> bool:
        """Whether some actions are disallowed at some times."""
        return "action_mask" in self.masks

    @property
    def has_entities(self) -> bool:
        """Whether the observation is a scene of entities with an `entity_mask`."""
        return "entities" in self.features and "entity_mask" in self.masks


def mask_space(*shape: int) -> spaces.Box:
    """The space of a mask: a boolean `Box`, which stays boolean when it is batched.

    >>> mask_space(6).dtype, mask_space(6).shape
    (dtype('bool'), (6,))
    """
    dtype: Any = np.bool_  # Gymnasium's annotation leaves bool out
    return spaces.Box(0, 1, shape, dtype=dtype)


def feature_keys(observation_space: spaces.Space[Any]) -> tuple[str, ...]:
    """Names of the entries of a Dict space that are features, in the space's order."""
    return tuple(key for key in _entries(observation_space) if key not in MASK_KEYS)


def mask_keys(observation_space: spaces.Space[Any]) -> tuple[str, ...]:
    """Names of the entries of a Dict space that are masks, in the space's order."""
    return tuple(key for key in _entries(observation_space) if key in MASK_KEYS)


def describe(
    observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> EnvDescription:
    """Read the spaces of one environment (for a vector environment: the `single_` ones).

    Raises:
        NoMaskError: None of action, entity and agent mask is there.
        MaskDtypeError: A mask's space is not boolean.
        MaskShapeError: The action mask does not fit the action space.
        ConfigError: The observation is no Dict, or the action space takes no mask.
    """
    masks = mask_keys(observation_space)
    if not set(masks) & set(MASKS_ENOUGH):
        raise NoMaskError(
            "describe: the observation space has none of the entries "
            f"{', '.join(MASKS_ENOUGH)}; its entries are {list(_entries(observation_space))}. "
            "Give the environment one as mask_space(n), or wrap it in "
            "maskrl.envs.adapters.gymnasium_info.MaskFromInfo if its mask is in info."
        )
    for key in masks:
        entry = _entries(observation_space)[key]
        if not isinstance(entry, spaces.Box) or entry.dtype != np.bool_:
            raise MaskDtypeError(
                f"describe: observation_space[{key!r}] must be Box(0, 1, shape, dtype=bool), "
                f"got {entry}. Declare it with maskrl.envs.contract.mask_space."
            )
    kind, nvec = _action_heads(action_space)
    n_actions = int(sum(nvec))
    if "action_mask" in masks and "agent_mask" not in masks:
        shape = _entries(observation_space)["action_mask"].shape
        allowed_shapes = [(n_actions,)] + ([(len(nvec), 2)] if kind == "multi_binary" else [])
        if shape not in allowed_shapes:
            raise MaskShapeError(
                f"describe: action_mask has shape {shape}, the action space {action_space} needs "
                f"{' or '.join(map(str, allowed_shapes))}: one entry per action."
            )
    return EnvDescription(kind, n_actions, nvec, feature_keys(observation_space), masks)


def final_observations(infos: Mapping[str, Any], index: np.ndarray) -> dict[str, np.ndarray]:
    """Last observations of the episodes that ended in this step.

    Our own vector environments give a Dict of batched arrays, Gymnasium's give an
    object array of Dicts; this returns the same for both.

    Args:
        infos: The infos of a vector environment's step.
        index: [n] int, the sub-environments that ended.

    Returns:
        Per key a fresh array [n, ...].

    Raises:
        ConfigError: The infos hold no final observation: not a SAME_STEP environment.
    """
    final = infos.get("final_obs")
    if final is None:
        raise ConfigError(
            "final_observations: infos has no 'final_obs'. The vector environment must reset in "
            f"SAME_STEP mode; its infos have the keys {sorted(infos)}."
        )
    index = np.asarray(index, dtype=np.int64)
    if isinstance(final, Mapping):
        return {key: np.asarray(value)[index] for key, value in final.items()}
    rows = [final[i] for i in index]
    missing = [int(i) for i, row in zip(index, rows, strict=True) if row is None]
    if missing:
        raise ConfigError(
            f"final_observations: sub-environment {missing[0]} has no final observation: "
            "its episode did not end in this step."
        )
    keys = rows[0].keys() if rows else ()
    return {key: np.stack([np.asarray(row[key]) for row in rows]) for key in keys}


def require_same_step(venv: VectorEnv[Any, Any, Any]) -> None:
    """Refuse a vector environment that does not reset in the step that ends an episode.

    Raises:
        ConfigError: `metadata["autoreset_mode"]` is missing or another mode.
    """
    mode = venv.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.SAME_STEP:
        raise ConfigError(
            f"{type(venv).__name__}: autoreset mode is {mode}, expected AutoresetMode.SAME_STEP. "
            "Build it with maskrl.make_vec, or with "
            "SyncVectorEnv(..., autoreset_mode=AutoresetMode.SAME_STEP)."
        )


def can_save_state(venv: VectorEnv[Any, Any, Any]) -> bool:
    """Whether `get_state` and `set_state` are there and would continue the same trajectory."""
    able = getattr(venv, "can_save_state", True)
    has_both = callable(getattr(venv, "get_state", None)) and callable(
        getattr(venv, "set_state", None)
    )
    return has_both and bool(able() if callable(able) else able)


def _entries(observation_space: spaces.Space[Any]) -> Mapping[str, spaces.Space[Any]]:
    if not isinstance(observation_space, spaces.Dict):
        raise ConfigError(
            f"observation_space: expected a gymnasium.spaces.Dict, got {observation_space}. "
            "Masks are entries of a Dict observation; maskrl.make wraps other observations."
        )
    return observation_space.spaces


def _action_heads(action_space: spaces.Space[Any]) -> tuple[str, tuple[int, ...]]:
    if isinstance(action_space, spaces.Discrete):
        if action_space.start != 0:
            raise ConfigError(
                f"action_space: {action_space} starts at {action_space.start}; actions must be "
                "numbered from 0. maskrl.make shifts them."
            )
        return "discrete", (int(action_space.n),)
    if isinstance(action_space, spaces.MultiDiscrete):
        if action_space.nvec.ndim != 1 or action_space.start.any():
            raise ConfigError(
                f"action_space: {action_space} must have one dimension and start at 0."
            )
        return "multi_discrete", tuple(int(n) for n in action_space.nvec)
    if isinstance(action_space, spaces.MultiBinary):
        return "multi_binary", (2,) * int(np.prod(action_space.shape))
    raise ConfigError(
        f"action_space: {action_space} takes no action mask; "
        "Discrete, MultiDiscrete and MultiBinary do."
    )

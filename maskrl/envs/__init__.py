"""Environments with masks: the contract, the registry, adapters and games. No torch here.

Importing this registers maskrl's own environments, also with Gymnasium under the
namespace `maskrl/`, by name only: a game is imported when one is made.
"""

from __future__ import annotations

from maskrl.envs import games, presets
from maskrl.envs.adapters.detect import MaskConvention, find_convention
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.contract import (
    MASK_KEYS,
    OBSERVER_INDEX,
    EnvDescription,
    action_tree_of,
    can_save_state,
    describe,
    feature_keys,
    final_observations,
    is_mask_key,
    mask_keys,
    mask_space,
)
from maskrl.envs.registry import (
    EnvEntry,
    env_ids,
    find_entry,
    make,
    make_vec,
    parse_env_id,
    register,
)

games.register_games()
presets.register_foreign()

__all__ = [
    "MASK_KEYS",
    "OBSERVER_INDEX",
    "EnvDescription",
    "EnvEntry",
    "MaskConvention",
    "action_tree_of",
    "adapt",
    "can_save_state",
    "describe",
    "env_ids",
    "feature_keys",
    "final_observations",
    "find_convention",
    "find_entry",
    "is_mask_key",
    "make",
    "make_vec",
    "mask_keys",
    "mask_space",
    "parse_env_id",
    "register",
]

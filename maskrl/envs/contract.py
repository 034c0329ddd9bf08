"""What every environment promises once it is inside maskrl.

Observations are a `gymnasium.spaces.Dict`. Masks are ordinary entries of it under
reserved names, each a boolean `Box`, so that vector environments, buffers and checkpoints
carry them with no second channel; every other entry is a feature. How the parts of an
action depend on each other is an attribute, `action_tree`. Vector environments reset in
the step that ends an episode (SAME_STEP). What is wrong with others is said clearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from maskrl.envs.entries import (
    MASK_KEYS,
    TABLE_PREFIX,
    entries_of,
    feature_keys,
    is_mask_key,
    mask_keys,
    mask_space,
    require_boolean_masks,
)
from maskrl.envs.teams import TeamDescription, describe_team, is_team
from maskrl.errors import ConfigError, MaskShapeError, NoMaskError
from maskrl.masks.heads import Heads
from maskrl.masks.tree import FLAT_MASK, ActionTree

__all__ = [
    "CANDIDATES",
    "MASKS_ENOUGH",
    "MASK_KEYS",
    "OBSERVER_INDEX",
    "TABLE_PREFIX",
    "EnvDescription",
    "action_tree_of",
    "attribute_of",
    "can_save_state",
    "describe",
    "describe_env",
    "feature_keys",
    "final_observations",
    "gives_agent_rewards",
    "is_mask_key",
    "mask_keys",
    "mask_space",
    "require_same_step",
]

CANDIDATES = "candidates"
"""The entry with one row of features per candidate: the action is the index of one."""

MASKS_ENOUGH = ("action_mask", "entity_mask", "agent_mask")
"""An environment needs at least one of these to be a masked one."""

OBSERVER_INDEX = 0
"""The entity that acts: entity scenes are seen through this entity's eyes."""


@dataclass(frozen=True)
class EnvDescription:
    """What a trainer must know about one (unbatched) pair of spaces.

    Attributes:
        action_kind: "discrete", "candidates" (discrete, with features of every choice),
            "multi_discrete", "tree", "multi_binary" or "team".
        n_actions: Number of choices of all heads together: n, sum(nvec) or 2 n.
        nvec: Number of choices per head; `(n,)` for a discrete space. Of a team, the heads of
            all agents, in the order of the flattened action.
        features: Names of the entries that are no masks, in the space's order.
        masks: Names of the entries that are masks, in the space's order.
        observer_index: The entity that acts.
        action_tree: On which earlier choices a head depends; None where heads are independent.
            Of a team, the tree of one agent.
        team: What there is to know about agents; None where one agent acts.
    """

    action_kind: str
    n_actions: int
    nvec: tuple[int, ...]
    features: tuple[str, ...]
    masks: tuple[str, ...]
    observer_index: int = OBSERVER_INDEX
    action_tree: ActionTree | None = None
    team: TeamDescription | None = None

    @property
    def heads(self) -> Heads:
        """The heads of an action, as `maskrl.masks.heads` takes them; of a team, of one agent."""
        if self.team is not None:
            return self.team.heads
        return self.nvec if self.action_tree is None else self.action_tree

    @property
    def is_single_choice(self) -> bool:
        """Whether an action is one number."""
        return self.action_kind in ("discrete", "candidates")

    @property
    def has_action_mask(self) -> bool:
        """Whether some actions are disallowed at some times."""
        return "action_mask" in self.masks

    @property
    def has_entities(self) -> bool:
        """Whether the observation is a scene of entities with an `entity_mask`."""
        return "entities" in self.features and "entity_mask" in self.masks


def describe(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    action_tree: ActionTree | None = None,
    *,
    max_agents: int | None = None,
) -> EnvDescription:
    """Read the spaces of one environment (for a vector environment: the `single_` ones).

    Args:
        observation_space: A Dict with masks; with an `agent_mask` it is a team's.
        action_space: Discrete, MultiDiscrete or MultiBinary; see `describe_team` for teams.
        action_tree: The environment's attribute of this name, as from `action_tree_of`.
        max_agents: As in `describe_team`.

    Raises:
        NoMaskError: None of action, entity and agent mask is there, or one that the tree
            needs is missing.
        MaskDtypeError: A mask's space is not boolean.
        MaskShapeError: The action mask does not fit the action space or the tree.
        ConfigError: The observation is no Dict, the action space takes no mask, the tree does
            not fit it, there is a table of a mask and no tree, or candidates do not fit.
    """
    entries = entries_of(observation_space)
    masks = mask_keys(observation_space)
    if not set(masks) & set(MASKS_ENOUGH):
        raise NoMaskError(
            "describe: the observation space has none of the entries "
            f"{', '.join(MASKS_ENOUGH)}; its entries are {list(entries)}. "
            "Give the environment one as mask_space(n), or wrap it in "
            "maskrl.envs.adapters.gymnasium_info.MaskFromInfo if its mask is in info."
        )
    require_boolean_masks(observation_space, "describe")
    if is_team(observation_space):
        return _describe_agents(
            describe_team(observation_space, action_space, action_tree, max_agents=max_agents)
        )
    kind, nvec = _action_heads(action_space)
    n_actions = int(sum(nvec))
    if action_tree is not None:
        _require_tree(action_tree, action_space, observation_space)
        kind = "tree"
    elif tables := [key for key in masks if key.startswith(TABLE_PREFIX)]:
        raise ConfigError(
            f"describe: the observation has the table {tables[0]!r}, and the environment has no "
            "action_tree that says by which choice its rows go. Give it an attribute "
            "action_tree = maskrl.ActionTree(...), or take the table away."
        )
    if "action_mask" in masks:
        shape = entries["action_mask"].shape
        allowed_shapes = [(n_actions,)] + ([(len(nvec), 2)] if kind == "multi_binary" else [])
        if shape not in allowed_shapes:
            raise MaskShapeError(
                f"describe: action_mask has shape {shape}, the action space {action_space} needs "
                f"{' or '.join(map(str, allowed_shapes))}: one entry per action."
            )
    if CANDIDATES in entries:
        _require_candidates(entries[CANDIDATES], kind, action_space)
        kind = "candidates"
    return EnvDescription(
        kind, n_actions, nvec, feature_keys(observation_space), masks, action_tree=action_tree
    )


def describe_env(env: Any) -> EnvDescription:
    """Read an environment or vector environment, attributes included, through its wrappers.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`.

    Raises:
        NoMaskError, MaskDtypeError, MaskShapeError, ConfigError: As `describe`.
    """
    most = {int(number) for number in attribute_of(env, "max_agents") if number is not None}
    if len(most) > 1:
        raise ConfigError(f"max_agents: sub-environments differ: {sorted(most)}")
    vector = isinstance(env, VectorEnv)
    return describe(
        env.single_observation_space if vector else env.observation_space,
        env.single_action_space if vector else env.action_space,
        action_tree_of(env),
        max_agents=most.pop() if most else None,
    )


def gives_agent_rewards(env: Any) -> bool:
    """Whether agents have rewards of their own, as `agent_rewards` reads them from infos.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`; asked through its wrappers.
    """
    said = attribute_of(env, "gives_agent_rewards")
    return bool(said) and all(said)


def action_tree_of(env: Any) -> ActionTree | None:
    """The `action_tree` of an environment or vector environment, through its wrappers.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`.

    Returns:
        The tree; None where there is none.

    Raises:
        ConfigError: The attribute is something else, or sub-environments have several trees.
    """
    trees = [tree for tree in attribute_of(env, "action_tree") if tree is not None]
    for tree in trees:
        if not isinstance(tree, ActionTree):
            raise ConfigError(
                f"action_tree: {type(env.unwrapped).__name__} has a {type(tree).__name__} there, "
                "expected a maskrl.ActionTree"
            )
        if tree != trees[0]:
            raise ConfigError(f"action_tree: sub-environments differ: {trees[0]} and {tree}")
    return trees[0] if trees else None


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


def _describe_agents(team: TeamDescription) -> EnvDescription:
    """What there is to know about a team, in the words for one agent."""
    slots = team.form == "slots"
    one = team.nvec
    heads = one * team.n_places if slots else tuple(n for n in one for _ in range(team.n_places))
    return EnvDescription(
        "team",
        sum(heads),
        heads,
        team.features,
        team.masks,
        action_tree=team.action_tree,
        team=team,
    )


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


def attribute_of(env: Any, name: str) -> list[Any]:
    """An attribute of an environment, or of all its sub-environments; empty if it has none.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`; asked through its wrappers.
        name: Name of the attribute.
    """
    layer = env
    while isinstance(layer, VectorEnv):
        if hasattr(layer, name):
            return [getattr(layer, name)]
        if callable(elsewhere := getattr(layer, "attribute_values", None)):
            return list(elsewhere(name))  # its environments are in other processes
        if isinstance(layer, SyncVectorEnv | AsyncVectorEnv):
            # asked for first, because a missing attribute ends the process of an asynchronous one
            there = layer.call("has_wrapper_attr", name)
            return list(layer.get_attr(name)) if all(there) else []
        layer = getattr(layer, "env", None)
    if isinstance(layer, gymnasium.Env) and layer.has_wrapper_attr(name):
        return [layer.get_wrapper_attr(name)]
    return []


def _require_tree(
    tree: ActionTree, action_space: spaces.Space[Any], observation_space: spaces.Space[Any]
) -> None:
    """Refuse a tree that contradicts the spaces."""
    nvec = action_space.nvec if isinstance(action_space, spaces.MultiDiscrete) else None
    if nvec is None or tuple(nvec.reshape(-1)) != tree.nvec:
        raise ConfigError(
            f"describe: {tree} does not fit the action space {action_space}; expected "
            f"MultiDiscrete({list(tree.nvec)}), which is MultiDiscrete(tree.nvec)"
        )
    entries = entries_of(observation_space)
    for key in entries:
        if key.startswith(TABLE_PREFIX) and key not in tree.mask_shapes:
            raise ConfigError(
                f"describe: the observation has the table {key!r}, and no head of {tree} takes "
                f"one of this name; the tree's masks are {list(tree.mask_shapes)}. A head takes a "
                "table if it says mask_by=..."
            )
    needed = tree.mask_shapes
    if len(needed) == 1 and FLAT_MASK not in entries:
        return  # everything is allowed, as without an action mask in other spaces
    for key, shape in needed.items():
        if key not in entries:
            raise NoMaskError(
                f"describe: {tree} needs the entry {key!r} of shape {shape}, and the observation "
                f"has none; its entries are {list(entries)}. Where everything is allowed, give it "
                "as all True, or let the head have no mask_by."
            )
        if entries[key].shape != shape:
            raise MaskShapeError(
                f"describe: {key} has shape {entries[key].shape}, {tree} needs {shape}"
                + (": (choices of the head it goes by, choices)." if len(shape) == 2 else ".")
            )


def _require_candidates(
    entry: spaces.Space[Any], kind: str, action_space: spaces.Space[Any]
) -> None:
    """Refuse an entry of candidates that the action does not choose from."""
    shape = entry.shape if isinstance(entry, spaces.Box) else None
    if kind != "discrete" or shape is None or len(shape) != 2:
        raise ConfigError(
            f"describe: the entry {CANDIDATES!r} is {entry} and the action space {action_space}; "
            "expected Box [C, features] and Discrete(C): the action is the index of a candidate. "
            "If the entry means something else, give it another name."
        )
    if shape[0] != int(action_space.n):  # type: ignore[attr-defined]
        raise ConfigError(
            f"describe: there are {shape[0]} rows of {CANDIDATES!r} and {action_space}; expected "
            "one action per candidate. Pad with rows that action_mask disallows."
        )

"""Gymnasium environments whose mask is in `info`, in the observation or behind a method.

Each wrapper puts the masks into a Dict observation as boolean entries, checks every
mask that it is handed (values, length, presence), copies everything, because some
environments change their arrays in place, and counts the actions executed against the
mask that it gave out. `adapt` finds out which of the three an environment is. Actions may
have one head, several, or an `action_tree`, whose tables lie beside the mask.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.adapters.still_watch import POLARITY, Watch, begin_watch, look
from maskrl.envs.adapters.team_observation import TeamMasks
from maskrl.envs.contract import MASKS_ENOUGH, action_tree_of, is_mask_key, mask_space
from maskrl.envs.teams import is_team
from maskrl.errors import ConfigError, MaskError, MaskShapeError, NoMaskError
from maskrl.masks.arrays import as_mask_array
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import FLAT_MASK


class MaskWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Base of the wrappers: a Dict observation with boolean masks, everything copied.

    A subclass says where the raw action mask comes from. Users read `illegal_actions`,
    the number of actions executed against the mask handed out (heads that may choose
    nothing are not counted: there every choice is an idle one).

    Args:
        env: The environment.
        where: Where its action mask is, for messages.
        name: What messages call the environment; its id or class name otherwise.
        allowed: The value that means "allowed" in its masks, 1 or 0.
        gives_action_mask: False where it has other masks only.
        binary_convention: How masks of MultiBinary actions are written: "pairs" (may be 0,
            may be 1), or "gymnasium" (0 = must be 0, 1 = must be 1, 2 = free).

    Raises:
        ConfigError: The action space takes no mask, or a setting does not fit it.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        where: str,
        *,
        name: str | None = None,
        allowed: int = 1,
        gives_action_mask: bool = True,
        binary_convention: raw_mask.BinaryConvention = "pairs",
    ) -> None:
        super().__init__(env)
        raw_mask.check_convention(binary_convention, env.action_space, allowed)
        self.binary_convention = binary_convention
        self.where = where
        self.name = name or name_of(env)
        self.allowed = allowed
        self.illegal_actions = 0
        inner = env.observation_space
        self._is_dict = isinstance(inner, spaces.Dict)
        entries = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"observation": inner}
        self._shapes = {key: entries[key].shape or () for key in entries if is_mask_key(key)}
        self._heads: tuple[int, ...] = ()
        self._tree = action_tree_of(env)
        if gives_action_mask:
            self._heads = raw_mask.action_heads(env.action_space, self.name)
            plain = raw_mask.from_zero(env.action_space)
            if plain != env.action_space:
                self.action_space = plain
            if "agent_mask" not in entries:  # per agent, a mask keeps the shape it came with
                self._shapes[FLAT_MASK] = (sum(self._heads),)
                if self._tree is not None:
                    self._shapes.update(self._tree.mask_shapes)
        self.observation_space = spaces.Dict(
            {**entries, **{key: mask_space(*shape) for key, shape in self._shapes.items()}}
        )
        self._handed_out: dict[str, np.ndarray] = {}
        self._watch: Watch | None = begin_watch()
        self._step = 0
        self._episode = 0

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """The environment's own action mask as it came, or None where there is none."""
        raise ConfigError(f"{type(self).__name__} does not say where the action mask is.")

    def raw_table(self, name: str, observation: Any, info: Mapping[str, Any]) -> Any:
        """The raw mask table of an action tree by its name, `"action_mask:<head>"`, or None.

        Asked for where `raw_action_mask` gave no mapping with all masks of the tree.
        """
        return observation.get(name) if isinstance(observation, Mapping) else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset; the observation carries the masks."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        self._episode += 1
        return self.observe(observation, info), info

    def observe(self, observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        """The Dict observation of a state that goes on, from the environment's own two.

        `reset` uses it; call it yourself after setting the environment's inner state by
        hand, so that observation, masks and the count of illegal actions follow.
        """
        return self._observe(observation, info, over=False)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step; an action that the mask handed out before disallows is counted."""
        if self._handed_out and self._is_illegal(action):
            self.illegal_actions += 1
        given = raw_mask.to_space(action, self.env.action_space) if self._heads else action
        try:
            observation, reward, terminated, truncated, info = self.env.step(given)
        except Exception as error:
            raise ConfigError(self._crash(action, given, error)) from error
        self._step += 1
        over = bool(terminated or truncated)
        seen = self._observe(observation, info, over=over)
        if self._watch is not None:
            keep = self._handed_out.get(FLAT_MASK)
            forbids = keep is not None and not keep.all()
            self._watch = look(self._watch, self.name, action, seen, forbids=forbids)
        return seen, float(reward), bool(terminated), bool(truncated), info

    def _observe(self, observation: Any, info: Mapping[str, Any], *, over: bool) -> dict[str, Any]:
        raw = dict(observation) if self._is_dict else {"observation": observation}
        if FLAT_MASK in self._shapes:
            raw |= self._raw_masks(observation, info)
        entries = {
            key: self._mask(key, value, over) if key in self._shapes else _copy(value)
            for key, value in raw.items()
        }
        if FLAT_MASK in self._shapes:
            masks = {key: entries[key] for key in entries if key.startswith(FLAT_MASK)}
            flat = masks[FLAT_MASK].ndim == 1
            self._handed_out = {k: m.copy() for k, m in masks.items()} if flat else {}
        return entries

    def _raw_masks(self, observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        """The action mask and the tables of a tree, as they came."""
        raw = self.raw_action_mask(observation, info)
        if self._tree is None:
            return {FLAT_MASK: raw}
        if isinstance(raw, Mapping) and FLAT_MASK in raw:
            return {name: raw.get(name) for name in self._tree.mask_shapes}
        tables = [name for name in self._tree.mask_shapes if name != FLAT_MASK]
        found = {name: self.raw_table(name, observation, info) for name in tables}
        return {FLAT_MASK: raw, **found}

    def _mask(self, key: str, raw: Any, over: bool) -> np.ndarray:
        shape = self._shapes[key]
        if raw is None:
            if over:
                return np.zeros(shape, dtype=np.bool_)  # nothing is allowed after an episode
            raise NoMaskError(
                f"{self._place()}: {key} is missing from {self._source(key)}, and the episode is "
                "not over. An environment must give its mask at every step."
            )
        try:
            if key == FLAT_MASK and self.binary_convention == "gymnasium":
                keep = raw_mask.gymnasium_pairs(raw, raw_mask.head_shape(self.env.action_space))
            else:
                flat = key == FLAT_MASK and len(shape) == 1  # of a team it has a row per agent
                row = self._flat_row(raw) if flat else raw
                keep = as_mask_array(row, allowed=self.allowed, name=key)
        except MaskError as error:
            hint = self._hint(raw, raw_mask.ids_hint) if key == FLAT_MASK else ""
            place = f"{self._place()}, {self._source(key)}"
            raise type(error)(f"{place}: {error}{hint}") from error
        if keep.shape != shape:
            hint = self._hint(raw, raw_mask.shape_hint) if key == FLAT_MASK else ""
            raise MaskShapeError(
                f"{self._place()}: {key} from {self._source(key)} has shape {keep.shape}, "
                f"expected {shape}.{hint}"
            )
        return keep

    def _flat_row(self, raw: Any) -> Any:
        return raw_mask.flat_row(raw, self._heads, raw_mask.head_shape(self.env.action_space))

    def _hint(self, raw: Any, general: Callable[[Any, int], str]) -> str:
        if self.binary_convention == "gymnasium":
            return ""
        return raw_mask.binary_hint(raw, self.env.action_space) or general(raw, sum(self._heads))

    def _is_illegal(self, action: Any) -> bool:
        keep = self._handed_out[FLAT_MASK]
        if isinstance(self.action_space, spaces.Discrete):
            return not keep[int(action)] and bool(keep.any())
        heads = self._heads if self._tree is None else self._tree
        row = np.asarray(action, dtype=np.int64).reshape(-1)
        return bool(choices_of(row, self._handed_out, heads).illegal)

    def _crash(self, action: Any, given: Any, error: Exception) -> str:
        keep = self._handed_out.get(FLAT_MASK)
        discrete = keep is not None and isinstance(self.action_space, spaces.Discrete)
        allowed = discrete and bool(keep[int(action)])  # type: ignore[index]
        return f"{self._place()}: step({given}) fails: {type(error).__name__}: {error}." + (
            f" The mask handed out allows this action. {POLARITY}" if allowed else ""
        )

    def _source(self, key: str) -> str:
        return self.where if key.startswith(FLAT_MASK) else "the observation"

    def _place(self) -> str:
        return f"environment {self.name!r}, episode {self._episode}, step {self._step}"


class MaskFromInfo(MaskWrapper):
    """Takes the action mask from `info[key]`; see `MaskWrapper` for what it does with it.

    Args:
        env: The environment.
        key: Name of the entry in info.
        name: What messages call the environment.
        allowed: The value that means "allowed", 1 or 0.
        binary_convention: As in `MaskWrapper`.

    Raises:
        NoMaskError: (from reset and step) The entry is missing though the episode goes on.
        MaskDtypeError: It holds other values than 0 and 1.
        MaskShapeError: Its length is not the number of actions.

    Empty rows: passed on; a trainer stops at them and names environment and step.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        key: str = "action_mask",
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
    ) -> None:
        self.key = key
        super().__init__(
            env,
            f"info[{key!r}]",
            name=name,
            allowed=allowed,
            binary_convention=binary_convention,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """`info[key]`, or None."""
        return info.get(self.key)

    def raw_table(self, name: str, observation: Any, info: Mapping[str, Any]) -> Any:
        """`info["<key>:<head>"]`, or None."""
        return info.get(self.key + name.removeprefix(FLAT_MASK))


class MaskFromObservation(MaskWrapper):
    """Takes all masks from a Dict observation, whatever type they have there."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
    ) -> None:
        super().__init__(
            env,
            "the observation",
            name=name,
            allowed=allowed,
            gives_action_mask=FLAT_MASK in _dict_keys(env),
            binary_convention=binary_convention,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """`observation["action_mask"]`, or None."""
        return observation.get(FLAT_MASK)


class MaskFromMethod(MaskWrapper):
    """Takes the action mask from a method `action_masks()`, after every reset and step.

    The method of an environment with an `action_tree` whose masks have tables returns a
    mapping from the names of `action_tree.mask_shapes` to the masks.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
    ) -> None:
        super().__init__(
            env,
            "action_masks()",
            name=name,
            allowed=allowed,
            binary_convention=binary_convention,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """What `action_masks()` returns now."""
        return self.env.get_wrapper_attr("action_masks")()


def adapt(
    env: gymnasium.Env[Any, Any],
    *,
    name: str | None = None,
    mask_key: str = "action_mask",
    mask_allowed: int = 1,
    binary_convention: raw_mask.BinaryConvention = "pairs",
) -> gymnasium.Env[Any, Any]:
    """Give an environment the Dict observation with masks, from wherever it has them.

    Looked for, in this order: an entry of a Dict observation, `info[mask_key]` of one
    probing reset, a method `action_masks()`, an entity mask alone. A team's are all in its
    observation.

    Args:
        env: The environment.
        name: What messages call it.
        mask_key: Name of the mask in info.
        mask_allowed: The value that means "allowed" in its masks, 1 or 0.
        binary_convention: As in `MaskWrapper`.

    Raises:
        NoMaskError: None is there; the message says what was looked at.
        ConfigError: Its first reset fails, or it and a setting contradict each other.
    """
    name = name or name_of(env)
    settings: dict[str, Any] = {"allowed": mask_allowed, "binary_convention": binary_convention}
    if is_adapted(env):
        return env
    if is_team(env.observation_space):
        return TeamMasks(env, name=name, allowed=mask_allowed)
    keys = _dict_keys(env)
    if FLAT_MASK in keys:
        return MaskFromObservation(env, name=name, **settings)
    try:
        _, info = env.reset()
    except Exception as error:
        raise ConfigError(
            f"environment {name!r}: its first reset() fails: {type(error).__name__}: {error}"
        ) from error
    if mask_key in info:
        return MaskFromInfo(env, key=mask_key, name=name, **settings)
    if _has_method(env, "action_masks"):
        return MaskFromMethod(env, name=name, **settings)
    if keys & set(MASKS_ENOUGH):
        return MaskFromObservation(env, name=name, **settings)
    raise NoMaskError(
        f"environment {name!r} offers no mask. Looked for: an entry {', '.join(MASKS_ENOUGH)} of "
        f"a Dict observation ({_seen(keys, env)}); info[{mask_key!r}] at reset (info has "
        f"{sorted(map(str, info)) or 'no keys'}); a method action_masks() (there is none). If "
        "info holds the mask under another name, name it: "
        f"{name}?mask_key=NAME"
    )


def is_adapted(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether masks are checked and copied somewhere around this environment."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, MaskWrapper | TeamMasks):
            return True
        env = env.env
    return isinstance(env, ParallelTeam)


def name_of(env: gymnasium.Env[Any, Any]) -> str:
    """What to call an environment in messages: its id, or its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _dict_keys(env: gymnasium.Env[Any, Any]) -> set[str]:
    space = env.observation_space
    return set(space.spaces) if isinstance(space, spaces.Dict) else set()


def _seen(keys: set[str], env: gymnasium.Env[Any, Any]) -> str:
    space = env.observation_space
    kind = f"{type(space).__name__}{space.shape or ''}"
    return f"it has {sorted(keys)}" if keys else f"the observation is no Dict but a {kind}"


def _has_method(env: gymnasium.Env[Any, Any], name: str) -> bool:
    try:
        return callable(env.get_wrapper_attr(name))
    except AttributeError:
        return False


def _copy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return value if isinstance(value, int | float | str) else copy.deepcopy(value)

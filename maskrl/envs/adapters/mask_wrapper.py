"""The wrapper that puts foreign masks into a Dict observation as boolean entries.

It checks every mask that it is handed (values, length, presence), copies everything,
because some environments change their arrays in place, and counts the actions executed
against the mask that it gave out. Subclasses say where the mask comes from. Actions may
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
from maskrl.envs.adapters.detect import MaskConvention, name_of, read_row
from maskrl.envs.adapters.mask_form import Form, dtype_of
from maskrl.envs.adapters.mask_sources import Missing, Source
from maskrl.envs.adapters.still_watch import POLARITY, Watch, begin_watch, look
from maskrl.envs.contract import action_tree_of, is_mask_key, mask_space
from maskrl.errors import ConfigError, MaskError, MaskrlError, MaskShapeError, NoMaskError
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
        source: What kind of place that is.
        key: Name of the entry, method, attribute or function there.
        name: What messages call the environment; its id or class name otherwise.
        allowed: The value that means "allowed" in its masks, 1 or 0.
        form: "mask", "dict" or "none_all" for flags, "ids" for numbers of actions.
        missing: "error", or "all" if None or an absent mask allows everything.
        gives_action_mask: False where it has other masks only.
        binary_convention: How masks of MultiBinary actions are written: "pairs" (may be 0,
            may be 1), or "gymnasium" (0 = must be 0, 1 = must be 1, 2 = free).
        note: What else `mask_convention` tells.

    Raises:
        ConfigError: The action space takes no mask, or a setting does not fit it.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        where: str,
        *,
        source: Source,
        key: str = FLAT_MASK,
        name: str | None = None,
        allowed: int = 1,
        form: Form = "mask",
        missing: Missing = "error",
        gives_action_mask: bool = True,
        binary_convention: raw_mask.BinaryConvention = "pairs",
        note: str = "",
    ) -> None:
        super().__init__(env)
        raw_mask.check_convention(binary_convention, env.action_space, allowed)
        self.binary_convention = binary_convention
        self.where = where
        self.source: Source = source
        self.key = key
        self.form: Form = form
        self.missing: Missing = missing
        self.note = note
        self.dtype = ""
        self._arguments: tuple[str, ...] | None = None
        self.name = name or name_of(env)
        self.allowed = allowed
        self.illegal_actions = 0
        inner = env.observation_space
        self._is_dict = isinstance(inner, spaces.Dict)
        entries = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"observation": inner}
        if source == "observation" and key != FLAT_MASK:
            entries.pop(key)
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

    @property
    def mask_convention(self) -> MaskConvention:
        """Where the mask is and how it is written; its dtype is known after the first reset."""
        return MaskConvention(
            self.source,
            self.key,
            self.dtype,
            self.allowed,
            self.form,
            note=self.note,
            missing=self.missing,
            arguments=self._arguments or (),
            binary_convention=self.binary_convention,
        )

    def take_over(self, convention: MaskConvention) -> None:
        """Take what else is known from a convention that was found before."""
        self.dtype = convention.dtype
        if convention.source in ("method", "callable"):
            self._arguments = convention.arguments

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
        return self._observe(observation, info)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step; an action that the mask handed out before disallows is counted.

        Raises:
            ConfigError: There is no such action, or the environment's own step fails.
        """
        if self._heads and isinstance(self.action_space, spaces.Discrete):
            self._require_action(action)
        if self._handed_out and self._is_illegal(action):
            self.illegal_actions += 1
            self._watch = None  # what is not allowed may well change nothing
        given = raw_mask.to_space(action, self.env.action_space) if self._heads else action
        try:
            observation, reward, terminated, truncated, info = self.env.step(given)
        except Exception as error:
            raise ConfigError(self._crash(action, given, error)) from error
        self._step += 1
        seen = self._observe(observation, info, bool(terminated), bool(truncated))
        if self._watch is not None:
            keep = self._handed_out.get(FLAT_MASK)
            forbids = keep is not None and not keep.all()
            self._watch = look(self._watch, self.name, action, seen, forbids=forbids)
        return seen, self._number(reward), bool(terminated), bool(truncated), info

    def _require_action(self, action: Any) -> None:
        """Check that an action is the number of one.

        Raises:
            ConfigError: It is none.
        """
        try:
            if 0 <= int(action) < self._heads[0]:
                return
        except (TypeError, ValueError):
            pass
        raise ConfigError(
            f"{self._place()}: step was given the action {action!r}; expected one number from 0 to "
            f"{self._heads[0] - 1}"
        )

    def _number(self, reward: Any) -> float:
        """A reward as a plain number.

        Raises:
            ConfigError: It is none.
        """
        try:
            return float(reward)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self._place()}: step gave the reward {reward!r}; expected one number ({error})"
            ) from error

    def _observe(
        self,
        observation: Any,
        info: Mapping[str, Any],
        terminated: bool = False,
        truncated: bool = False,
    ) -> dict[str, Any]:
        raw = dict(observation) if self._is_dict else {"observation": observation}
        if FLAT_MASK in self._shapes:
            raw |= self._raw_masks(observation, info, terminated)
            if self.source == "observation" and self.key != FLAT_MASK:
                raw.pop(self.key, None)
            self.dtype = self.dtype or dtype_of(raw[FLAT_MASK])
        entries = {
            key: self._mask(key, value, terminated, truncated)
            if key in self._shapes
            else _copy(value)
            for key, value in raw.items()
        }
        if FLAT_MASK in self._shapes:
            masks = {key: entries[key] for key in entries if key.startswith(FLAT_MASK)}
            flat = masks[FLAT_MASK].ndim == 1
            self._handed_out = {k: m.copy() for k, m in masks.items()} if flat else {}
        return entries

    def _raw_masks(
        self, observation: Any, info: Mapping[str, Any], terminated: bool
    ) -> dict[str, Any]:
        """The action mask and the tables of a tree, as they came."""
        try:
            raw = self.raw_action_mask(observation, info)
        except MaskrlError:
            raise
        except Exception as error:
            if not terminated:  # after the end some refuse to say what is allowed
                raise ConfigError(
                    f"{self._place()}: {self.where} fails: {type(error).__name__}: {error}"
                ) from error
            raw = None
        if self._tree is None:
            return {FLAT_MASK: raw}
        if isinstance(raw, Mapping) and FLAT_MASK in raw:
            return {name: raw.get(name) for name in self._tree.mask_shapes}
        tables = [name for name in self._tree.mask_shapes if name != FLAT_MASK]
        found = {name: self.raw_table(name, observation, info) for name in tables}
        return {FLAT_MASK: raw, **found}

    def _mask(self, key: str, raw: Any, terminated: bool, truncated: bool) -> np.ndarray:
        shape = self._shapes[key]
        if raw is None:
            if self.missing == "all" and not terminated and key.startswith(FLAT_MASK):
                return np.ones(shape, dtype=np.bool_)
            if terminated or truncated:
                return np.zeros(shape, dtype=np.bool_)  # nothing is allowed after an episode
            raise NoMaskError(
                f"{self._place()}: {key} is missing from {self._source(key)}, and the episode is "
                "not over. An environment must give its mask at every step; if it leaves the mask "
                "out where everything is allowed, say so with mask_missing='all'."
            )
        if (terminated or truncated) and _is_empty(raw):
            return np.zeros(shape, dtype=np.bool_)
        try:
            if key != FLAT_MASK or len(shape) != 1:  # of a team it has a row per agent
                keep = as_mask_array(raw, allowed=self.allowed, name=key)
            else:
                keep = read_row(
                    raw,
                    self.form,
                    self.env.action_space,
                    self._heads,
                    allowed=self.allowed,
                    binary_convention=self.binary_convention,
                )
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

    def _hint(self, raw: Any, general: Callable[[Any, int], str]) -> str:
        if self.binary_convention == "gymnasium" or self.form == "ids":
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


def _copy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return value if isinstance(value, int | float | str) else copy.deepcopy(value)


def _is_empty(raw: Any) -> bool:
    try:
        return len(raw) == 0
    except TypeError:  # a single number, or an iterator
        return False

"""Vector environments of every kind, made to keep the contract: SAME_STEP, masks, copies.

Gymnasium knows three ways to begin the next episode. Ours is SAME_STEP: the step that ends
one gives the first observation of the next, and `infos["final_obs"]` the last of the old.
Under DISABLED the caller resets; under NEXT_STEP the step after the end resets, ignores its
action and is no transition. Here both reset at once, in the step that ends the episode, so
that nothing has to be dropped and every mask stands beside the observation that it is of.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.detect import MaskConvention, announce
from maskrl.envs.adapters.mask_sources import MaskSettings, Missing
from maskrl.envs.adapters.raw_mask import BinaryConvention
from maskrl.envs.adapters.vector_masks import NO_STACK, VectorMasks
from maskrl.envs.adapters.written_over import (
    RepeatedEnds,
    SharedMasks,
    gives_the_same_arrays,
)
from maskrl.envs.contract import MASKS_ENOUGH, action_tree_of, can_save_state
from maskrl.envs.entries import entries_of, mask_keys, require_boolean_masks
from maskrl.envs.env_state import pack_envs, unpack_envs
from maskrl.envs.vector_infos import merged_infos, rows_of_infos
from maskrl.errors import ConfigError, MaskrlError
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import FLAT_MASK

RESET_MASK = "reset_mask"
"""The option by which Gymnasium's vector environments reset some of their environments."""


def as_same_step(
    venv: VectorEnv[Any, Any, Any],
    *,
    name: str | None = None,
    mask_key: str | None = None,
    mask_source: Literal["observation", "info", "method", "attribute"] | None = None,
    mask_fn: Callable[..., Any] | str | None = None,
    mask_form: Literal["mask", "ids", "dict"] | None = None,
    mask_missing: Missing = "error",
    mask_allowed: int = 1,
    binary_convention: BinaryConvention = "pairs",
) -> VectorEnv[Any, Any, Any]:
    """A vector environment as maskrl's trainers take it, whoever made it.

    One that keeps the contract is returned as it is. Of all others masks are looked for in
    the observation, in infos and behind methods, as `maskrl.make` does for one environment,
    and episodes follow each other in SAME_STEP mode. The same environments give the same
    transitions, bit for bit, whichever mode they were built in.

    Args:
        venv: `SyncVectorEnv`, `AsyncVectorEnv` or another one. Under NEXT_STEP it must
            reset some of its environments by `options={"reset_mask": ...}`, as Gymnasium's do,
            unless it has only one.
        name: What messages call it.
        mask_key: Name of the mask's entry, method or attribute; the usual names if None.
        mask_source: The only kind of place to look at.
        mask_fn: Refused: a function that computes a mask is given to single environments.
        mask_form: "mask" (flags), "ids" or "dict"; read off the first mask if None.
        mask_missing: "error", or "all" if a mask that is None or absent allows everything.
        mask_allowed: The value that means allowed, 1 or 0.
        binary_convention: How masks of MultiBinary actions are written.

    Raises:
        NoMaskError: It offers none of action, entity and agent mask.
        ConfigError: Its metadata names no autoreset mode, or one in which it cannot be made
            to reset in the same step; or a setting does not fit.
    """
    settings = MaskSettings(
        mask_key, mask_source, mask_fn, mask_form, mask_missing, mask_allowed, binary_convention
    )
    name = name or (venv.spec.id if venv.spec is not None else type(venv.unwrapped).__name__)
    mode = venv.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise ConfigError(
            f"{name}: metadata['autoreset_mode'] is {mode!r}, expected one of Gymnasium's "
            "AutoresetMode: without it nobody knows to which episode an observation belongs"
        )
    if settings == MaskSettings() and keeps_contract(venv):
        return venv
    layer = venv.unwrapped
    if (
        mode is AutoresetMode.NEXT_STEP
        and isinstance(layer, AsyncVectorEnv)
        and not layer.shared_memory
        and venv.num_envs > 1
    ):
        raise ConfigError(
            f"{name}: an AsyncVectorEnv without shared memory in NEXT_STEP mode resets an "
            "environment a second time after it was reset alone. Build it with "
            "autoreset_mode=AutoresetMode.SAME_STEP, or with shared_memory=True"
        )
    same = SameStep(venv, mode, settings, name)
    announce(name, same.mask_convention)
    return same


def keeps_contract(venv: VectorEnv[Any, Any, Any]) -> bool:
    """Whether a vector environment can be trained on as it is.

    It resets in SAME_STEP mode, its observation is a Dict with boolean masks, and what it
    hands out is not written over at its next step, as far as that can be told.
    """
    if venv.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
        return False
    try:
        keys = mask_keys(venv.single_observation_space)
        require_boolean_masks(venv.single_observation_space, "as_same_step")
    except MaskrlError:
        return False
    own_copies = bool(getattr(venv.unwrapped, "copy", True))
    if not (own_copies and set(keys) & set(MASKS_ENOUGH)):
        return False
    return not gives_the_same_arrays(venv)


class SameStep(VectorWrapper[Any, Any, Any, Any, Any]):
    """A foreign vector environment that resets in the step that ends an episode.

    Args:
        env: In any of Gymnasium's modes.
        mode: That mode.
        settings: What the caller says about its masks.
        name: What messages call it.

    Attributes:
        illegal_actions: Actions executed against the masks handed out.

    What the environment below offers besides is reached through it.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        mode: AutoresetMode,
        settings: MaskSettings,
        name: str,
    ) -> None:
        super().__init__(env)
        self.name = name
        self.mode = mode
        self.illegal_actions = 0
        self._masks = VectorMasks(env, settings, name)
        self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = self._masks.space
        self.observation_space = batch_space(self._masks.space, env.num_envs)
        self._given_space = env.single_action_space
        if self._masks.heads:
            plain = raw_mask.from_zero(self._given_space)
            if plain != self._given_space:
                self.single_action_space = plain
                self.action_space = batch_space(plain, env.num_envs)
        self._heads = action_tree_of(env) or self._masks.heads
        self._flat = bool(self._masks.heads)
        # whether an environment that is reset alone leaves the others alone is known of these
        self._is_gymnasiums = isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        self._seen: dict[str, np.ndarray] = {}
        self._ends: RepeatedEnds | None = None
        self._shared: SharedMasks | None = None
        if mode is AutoresetMode.SAME_STEP:
            if self._masks.source == "info":
                self._shared = SharedMasks(self._masks.layer, self._masks.key, name)
            if not isinstance(env.unwrapped, SyncVectorEnv):
                self._ends = RepeatedEnds(name)

    @property
    def mask_convention(self) -> MaskConvention:
        """Where the masks are and how they are written."""
        return self._masks.convention

    def __getattr__(self, name: str) -> Any:
        """Public attributes of the environment below."""
        if name.startswith("_") or name == "env":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.env, name)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`."""
        rows = None
        if options is not None and RESET_MASK in options:
            rows = np.array(options[RESET_MASK], np.bool_)
            options = {**options, RESET_MASK: rows.copy()}  # Gymnasium takes it out of the Dict
        observation, infos = self._call("reset", seed=seed, options=options)
        seen = self._masks.observe(observation, infos, rows=rows)
        if rows is not None:
            seen = _chosen(rows, seen, self._seen)
        return self._hand_out(seen), dict(infos)

    def step(
        self, actions: Any
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step; where an episode ends, the observation is the first of the next one."""
        self._count_illegal(actions)
        given = self._as_given(actions)
        observation, rewards, terminated, truncated, infos = self._call("step", given)
        rewards = np.array(rewards, np.float64)
        terminated, truncated = np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        ended = terminated | truncated
        if self.mode is AutoresetMode.SAME_STEP:
            if self._shared is not None:
                self._shared.check()
            seen, final = self._masks.observe(observation, infos), None
            if ended.any():
                final = self._masks.observe_final(infos, terminated, truncated)
                infos = {**infos, "final_obs": final, "_final_obs": ended.copy()}
            if self._ends is not None:
                self._ends.look(seen, final, ended)
            return self._hand_out(seen), rewards, terminated, truncated, dict(infos)
        seen = self._masks.observe(observation, infos, terminated=terminated, truncated=truncated)
        if ended.any():
            begun, began = self._begin(ended, given, seen)
            final_info = rows_of_infos(infos, ended)
            infos = merged_infos(rows_of_infos(infos, ~ended), began, self.num_envs)
            infos["final_obs"], infos["_final_obs"] = _only(ended, seen), ended.copy()
            infos["final_info"], infos["_final_info"] = final_info, ended.copy()
            seen = _chosen(ended, begun, seen)
        return self._hand_out(seen), rewards, terminated, truncated, dict(infos)

    def _begin(
        self, ended: np.ndarray, actions: Any, seen: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[Any, Any]]:
        """Begin the next episode where one ended: observations, right in these rows, and infos."""
        if self.mode is AutoresetMode.NEXT_STEP and ended.all():
            # every environment ignores its action and resets
            observation, _, _, _, infos = self._call("step", actions)
        else:
            observation, infos = self._call("reset", options={RESET_MASK: ended.copy()})
        begun = self._masks.observe(observation, infos, rows=ended)
        if not self._is_gymnasiums:
            self._refuse_others(ended, seen, begun)
        return begun, rows_of_infos(infos, ended)

    def _refuse_others(
        self, ended: np.ndarray, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
    ) -> None:
        """Raise if environments changed whose episodes go on."""
        for key, value in after.items():
            if key in mask_keys(self._masks.space) or not isinstance(value, np.ndarray):
                continue
            for env in np.flatnonzero(~ended).tolist():
                if value[env].tobytes() != before[key][env].tobytes():
                    raise ConfigError(
                        f"{self.name}: environment {env} of {self.num_envs} changed when "
                        f"environment {int(np.flatnonzero(ended)[0])} was reset alone, by "
                        f"reset(options={{'{RESET_MASK}': ...}}): it does not know that option. "
                        "Let it reset in AutoresetMode.SAME_STEP, or build it with one environment"
                    )

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self.env, method)(*args, **kwargs)
        except (ValueError, TypeError) as error:
            if isinstance(error, MaskrlError) or self._masks.source != "info":
                raise
            raise type(error)(f"{self.name}: {method}() fails: {error}. {NO_STACK}") from error

    def _hand_out(self, seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Keep what is handed out, so that nobody can change it."""
        self._seen = {key: copy.deepcopy(value) for key, value in seen.items()}
        return seen

    def _as_given(self, actions: Any) -> Any:
        """Actions from 0, heads in one row, as the environment below takes them."""
        if self.env.single_action_space == self.single_action_space:
            return actions
        space = self.env.action_space
        first = raw_mask.first_action(self._given_space)
        rows = np.asarray(actions).reshape(space.shape or ())
        return (rows + first).astype(space.dtype)

    def _count_illegal(self, actions: Any) -> None:
        if self._flat and FLAT_MASK in self._seen:
            rows = np.asarray(actions, np.int64).reshape(self.num_envs, -1)
            self.illegal_actions += int(choices_of(rows, self._seen, self._heads).illegal.sum())

    def get_state(self) -> dict[str, np.ndarray]:
        """The state of the environments below and of the masks handed out last.

        Raises:
            ConfigError: It cannot be read: they run elsewhere, or an attribute is no plain data.
        """
        state = {f"seen.{key}": value.copy() for key, value in self._seen.items()}
        state["illegal_actions"] = np.array(self.illegal_actions, np.int64)
        below: Any = self.env
        if isinstance(below, SyncVectorEnv) and not hasattr(below, "get_state"):
            return {**state, "envs": pack_envs(below.envs)}
        if can_save_state(below):
            return {**state, **{f"below.{k}": value for k, value in below.get_state().items()}}
        raise ConfigError(
            f"the state of {self.name} cannot be saved: {type(self.env).__name__} has no "
            "get_state and set_state. maskrl.make_vec makes environments that can save it"
        )

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `get_state` was called on an environment made in the same way.

        Raises:
            ConfigError: The state is damaged, or of other or fewer environments.
        """
        missing = [
            key
            for key in ("illegal_actions", *(f"seen.{k}" for k in entries_of(self._masks.space)))
            if key not in state
        ]
        if missing:
            raise ConfigError(f"set_state: the saved state has no {missing[0]!r}")
        below: Any = self.env
        if isinstance(below, SyncVectorEnv) and not hasattr(below, "set_state"):
            unpack_envs(below.envs, state.get("envs"))
        else:
            of_below = {k.removeprefix("below."): v for k, v in state.items() if k[:6] == "below."}
            below.set_state(of_below)
        self._seen = {key: np.array(state[f"seen.{key}"]) for key in entries_of(self._masks.space)}
        self.illegal_actions = int(state["illegal_actions"])

    def state_obstacle(self) -> str | None:
        """Why the state cannot be saved, or None if it can."""
        try:
            self.get_state()
        except ConfigError as error:
            return str(error)
        return None

    def can_save_state(self) -> bool:
        """Whether `get_state` works."""
        return self.state_obstacle() is None


def _chosen(rows: np.ndarray, new: Any, old: Any) -> Any:
    """Some rows of one observation and the rest of another; new arrays."""
    if isinstance(new, Mapping):
        return {key: _chosen(rows, value, old[key]) for key, value in new.items()}
    if isinstance(new, tuple):
        return tuple(_chosen(rows, one, two) for one, two in zip(new, old, strict=True))
    mixed = np.array(old)
    mixed[rows] = new[rows]
    return mixed


def _only(rows: np.ndarray, value: Any) -> Any:
    """Some rows of an observation, and zeros; new arrays."""
    if isinstance(value, Mapping):
        return {key: _only(rows, part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_only(rows, part) for part in value)
    kept = np.zeros_like(value)
    kept[rows] = value[rows]
    return kept

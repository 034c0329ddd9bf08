"""Gymnasium environments whose mask is in `info`, in the observation or behind a call.

Each wrapper says where the raw action mask comes from; what becomes of it is the same for
all (`MaskWrapper`). `adapt` finds out which of them an environment needs, and says so in
one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium
from gymnasium import spaces

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.call_arguments import arguments_of, call_with
from maskrl.envs.adapters.detect import MaskConvention, announce, detect, name_of
from maskrl.envs.adapters.mask_form import Form
from maskrl.envs.adapters.mask_sources import (
    MaskSettings,
    Missing,
    find_attribute,
    name_of_function,
)
from maskrl.envs.adapters.mask_wrapper import MaskWrapper
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.adapters.team_observation import TeamMasks
from maskrl.envs.teams import is_team
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK

__all__ = [
    "MaskFromCallable",
    "MaskFromInfo",
    "MaskFromMethod",
    "MaskFromObservation",
    "MaskWrapper",
    "adapt",
    "is_adapted",
    "name_of",
]


class MaskFromInfo(MaskWrapper):
    """Takes the action mask from `info[key]`; see `MaskWrapper` for what it does with it.

    Args:
        env: The environment.
        key: Name of the entry in info.
        name: What messages call the environment.
        allowed: The value that means "allowed", 1 or 0.
        binary_convention: As in `MaskWrapper`.
        form, missing, note: As in `MaskWrapper`.

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
        key: str = FLAT_MASK,
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
        form: Form = "mask",
        missing: Missing = "error",
        note: str = "",
    ) -> None:
        super().__init__(
            env,
            f"info[{key!r}]",
            source="info",
            key=key,
            name=name,
            allowed=allowed,
            binary_convention=binary_convention,
            form=form,
            missing=missing,
            note=note,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """`info[key]`, or None."""
        return info.get(self.key)

    def raw_table(self, name: str, observation: Any, info: Mapping[str, Any]) -> Any:
        """`info["<key>:<head>"]`, or None."""
        return info.get(self.key + name.removeprefix(FLAT_MASK))


class MaskFromObservation(MaskWrapper):
    """Takes all masks from a Dict observation, whatever type they have there.

    Args:
        env: The environment.
        key: Name of the entry with the action mask. Another name than `action_mask` is taken
            out of the observation, so that it is no feature.
        name: What messages call the environment.
        allowed: The value that means "allowed", 1 or 0.
        binary_convention: As in `MaskWrapper`.
        form, missing, note: As in `MaskWrapper`.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        key: str = FLAT_MASK,
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
        form: Form = "mask",
        missing: Missing = "error",
        note: str = "",
    ) -> None:
        space = env.observation_space
        entries = space.spaces if isinstance(space, spaces.Dict) else {}
        if key != FLAT_MASK and key not in entries:
            raise ConfigError(
                f"environment {name or name_of(env)!r}: its observation has no entry {key!r}; it "
                f"has {list(entries)}"
            )
        super().__init__(
            env,
            "the observation" if key == FLAT_MASK else f"observation[{key!r}]",
            source="observation",
            key=key,
            name=name,
            allowed=allowed,
            gives_action_mask=key in entries,
            binary_convention=binary_convention,
            form=form,
            missing=missing,
            note=note,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """`observation[key]`, or None."""
        return observation.get(self.key)


class MaskFromMethod(MaskWrapper):
    """Takes the action mask from a method or an attribute, after every reset and step.

    The method of an environment with an `action_tree` whose masks have tables returns a
    mapping from the names of `action_tree.mask_shapes` to the masks.

    Args:
        env: The environment.
        method: Name of the method or attribute.
        name: What messages call the environment.
        allowed: The value that means "allowed", 1 or 0.
        binary_convention: As in `MaskWrapper`.
        form, missing, note: As in `MaskWrapper`.

    Raises:
        ConfigError: (from the first reset on) There is none, it asks for something unknown,
            or it fails.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        method: str = "action_masks",
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
        form: Form = "mask",
        missing: Missing = "error",
        note: str = "",
    ) -> None:
        called = callable(find_attribute(env, method)[1])
        super().__init__(
            env,
            f"{method}()" if called else method,
            source="method" if called else "attribute",
            key=method,
            name=name,
            allowed=allowed,
            binary_convention=binary_convention,
            form=form,
            missing=missing,
            note=note,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """What the method returns now, or what the attribute is."""
        value = self.env.get_wrapper_attr(self.key)
        if not callable(value):
            return value
        if self._arguments is None:
            self._arguments = arguments_of(value, self.env, self.key)
        return call_with(value, self._arguments, self.env, observation, info)


class MaskFromCallable(MaskWrapper):
    """Takes the action mask from a function of one's own, after every reset and step.

    Args:
        env: The environment.
        mask_fn: Its parameters get what their names say: `env`, `observation`, `info`, or
            `state` (the attribute `state` or `s` of the environment, else the observation).
            A single one of another name gets the environment. It must compute the mask from
            what it is given: what it remembers itself is in no checkpoint.
        name: What messages call the environment.
        allowed: The value that means "allowed", 1 or 0.
        binary_convention: As in `MaskWrapper`.
        form, missing, note: As in `MaskWrapper`.

    Raises:
        ConfigError: (from the first reset on) It asks for something unknown, or it fails.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        mask_fn: Callable[..., Any],
        *,
        name: str | None = None,
        allowed: int = 1,
        binary_convention: raw_mask.BinaryConvention = "pairs",
        form: Form = "mask",
        missing: Missing = "error",
        note: str = "",
    ) -> None:
        self._function = mask_fn
        called = name_of_function(mask_fn)
        super().__init__(
            env,
            f"{called}()",
            source="callable",
            key=called,
            name=name,
            allowed=allowed,
            binary_convention=binary_convention,
            form=form,
            missing=missing,
            note=note,
        )

    def raw_action_mask(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """What the function returns now."""
        if self._arguments is None:
            self._arguments = arguments_of(self._function, self.env, self.key, only="env")
        return call_with(self._function, self._arguments, self.env, observation, info)

    def get_state(self) -> dict[str, Any]:
        """What this wrapper itself knows of the episode, as plain data; not the function."""
        return {
            "handed_out": self._handed_out,
            "watch": self._watch,
            "illegal_actions": self.illegal_actions,
            "step": self._step,
            "episode": self._episode,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`."""
        self._handed_out = dict(state["handed_out"])
        self._watch = state["watch"]
        self.illegal_actions = int(state["illegal_actions"])
        self._step = int(state["step"])
        self._episode = int(state["episode"])


def adapt(
    env: gymnasium.Env[Any, Any],
    *,
    name: str | None = None,
    mask_key: str | None = None,
    mask_source: Literal["observation", "info", "method", "attribute"] | None = None,
    mask_fn: Callable[..., Any] | str | None = None,
    mask_form: Literal["mask", "ids", "dict"] | None = None,
    mask_missing: Missing = "error",
    mask_allowed: int = 1,
    binary_convention: raw_mask.BinaryConvention = "pairs",
) -> gymnasium.Env[Any, Any]:
    """Give an environment the Dict observation with masks, from wherever it has them.

    All places are looked at after one probing reset; see `find_convention`. What was found
    is announced once for each environment.

    Args:
        env: The environment.
        name: What messages call it.
        mask_key: Name of the mask's entry, method or attribute, where it is none in use.
        mask_source: The only kind of place to look at.
        mask_fn: A function that computes the mask, or its name "package.module:function".
        mask_form: "mask" (flags), "ids" or "dict" where the first mask leaves it open.
        mask_missing: "error", or "all" if None or an absent mask allows everything.
        mask_allowed: The value that means "allowed" in its masks, 1 or 0.
        binary_convention: As in `MaskWrapper`.

    Returns:
        The environment in a wrapper, or as it is where it has one already.

    Raises:
        NoMaskError: There is no mask; the message says what was looked at.
        ConfigError: Its first reset fails, two masks disagree, one can be read in two ways, or
            it and a setting contradict each other.
    """
    settings = MaskSettings(
        mask_key,
        mask_source,
        mask_fn,
        mask_form,
        mask_missing,
        mask_allowed,
        binary_convention,
    )
    if is_adapted(env):
        return env
    name = name or name_of(env)
    convention = detect(env, settings, name)
    announce(name, convention)
    if is_team(env.observation_space):
        return TeamMasks(env, name=name, allowed=mask_allowed)
    return with_masks(env, convention, name=name, mask_fn=settings.function())


def with_masks(
    env: gymnasium.Env[Any, Any],
    convention: MaskConvention,
    *,
    name: str | None = None,
    mask_fn: Callable[..., Any] | None = None,
) -> MaskWrapper:
    """The environment in the wrapper for a convention that is known.

    Args:
        env: The environment.
        convention: As `find_convention` told it.
        name: What messages call the environment.
        mask_fn: The function, where the convention is of one.

    Raises:
        ConfigError: The convention is of a function, and there is none.
    """
    settings: dict[str, Any] = {
        "name": name,
        "allowed": convention.allowed,
        "form": convention.form,
        "missing": convention.missing,
        "binary_convention": convention.binary_convention,
        "note": convention.note,
    }
    wrapped: MaskWrapper
    if convention.source == "callable":
        if mask_fn is None:
            raise ConfigError("with_masks: the convention is of a function; give it as mask_fn")
        wrapped = MaskFromCallable(env, mask_fn, **settings)
    elif convention.source == "info":
        wrapped = MaskFromInfo(env, key=convention.name, **settings)
    elif convention.source == "observation":
        key = convention.name if convention.gives_action_mask else FLAT_MASK
        wrapped = MaskFromObservation(env, key=key, **settings)
    else:
        wrapped = MaskFromMethod(env, method=convention.name, **settings)
    wrapped.take_over(convention)
    return wrapped


def is_adapted(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether masks are checked and copied somewhere around this environment."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, MaskWrapper | TeamMasks):
            return True
        env = env.env
    return isinstance(env, ParallelTeam)

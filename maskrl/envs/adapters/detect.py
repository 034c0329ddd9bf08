"""How an environment hands over its action mask, found out by one reset.

Every place that may hold a mask is read: entries of the observation and of info, methods,
attributes, a function handed in. Where two disagree, an error says how to choose; nothing
is guessed. What was found is a `MaskConvention`, announced in one line for each
environment and process.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv, VectorEnv

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.mask_form import Form, dtype_of, form_of, ids_row
from maskrl.envs.adapters.mask_sources import (
    MaskSettings,
    Missing,
    Place,
    Source,
    doubtful_names,
    places,
)
from maskrl.envs.contract import MASKS_ENOUGH, action_tree_of
from maskrl.envs.teams import is_team
from maskrl.errors import ConfigError, MaskrlError, NoMaskError
from maskrl.masks.arrays import BoolArray, as_mask_array
from maskrl.masks.tree import FLAT_MASK

logger = logging.getLogger("maskrl")

_announced: set[str] = set()


@dataclass(frozen=True)
class MaskConvention:
    """Where an environment has its mask and how it is written.

    Attributes:
        source: Kind of place.
        name: Of the entry, method, attribute or function.
        dtype: What came, in words: "int8", "list of bool", "None".
        allowed: The value that means allowed, 1 or 0; of ids, whether they list what is
            allowed (1) or forbidden (0).
        form: "mask" for flags, "ids" for numbers of actions, "dict" for flags by number,
            "none_all" where None came and means that everything is allowed.
        batch: Number of environments where it is a vector environment's; None for one.
        note: What else is worth knowing; the end of the announced line.
        missing: What a mask means that is None or absent while the episode goes on.
        arguments: What a method or function is called with.
        binary_convention: How masks of MultiBinary actions are written.
    """

    source: Source
    name: str
    dtype: str
    allowed: int = 1
    form: Form = "mask"
    batch: int | None = None
    note: str = ""
    missing: Missing = "error"
    arguments: tuple[str, ...] = ()
    binary_convention: raw_mask.BinaryConvention = "pairs"

    @property
    def gives_action_mask(self) -> bool:
        """Whether it is of an action mask, and not of an entity or agent mask alone."""
        return not (self.source == "observation" and self.name in MASKS_ENOUGH[1:])

    @property
    def where(self) -> str:
        """What messages call the place: `info['action_mask']`, `legal_actions(env.s)`."""
        return Place(self.source, self.name, arguments=self.arguments).where

    def describe(self) -> str:
        """One line that says all of it."""
        meaning = {
            "mask": f"{self.allowed} = allowed",
            "dict": f"by action, {self.allowed} = allowed",
            "ids": f"ids of {'allowed' if self.allowed else 'forbidden'} actions",
            "none_all": "None = all allowed",
        }[self.form]
        kind = "action mask" if self.gives_action_mask else "mask"
        parts = [f"{kind} from {self.where}", self.dtype, meaning]
        if self.form == "mask" and self.binary_convention == "gymnasium":
            parts[-1] = "0 = must be 0, 1 = must be 1, 2 = free"
        if self.missing == "all" and self.form != "none_all":
            parts.append("none = all allowed")
        if self.batch is not None:
            parts.append(f"{self.batch} environments")
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")


def find_convention(
    env: Any,
    *,
    name: str | None = None,
    mask_key: str | None = None,
    mask_source: Literal["observation", "info", "method", "attribute"] | None = None,
    mask_fn: Callable[..., Any] | str | None = None,
    mask_form: Literal["mask", "ids", "dict"] | None = None,
    mask_missing: Missing = "error",
    mask_allowed: int = 1,
    binary_convention: raw_mask.BinaryConvention = "pairs",
) -> MaskConvention:
    """Find out how an environment hands over its mask; it is reset for that.

    Args:
        env: A `gymnasium.Env` or a `VectorEnv`, adapted or not.
        name: What messages call it.
        mask_key: Name of the entry, method or attribute; the usual names if None.
        mask_source: The only kind of place to look at.
        mask_fn: A function that computes the mask.
        mask_form: "mask" (flags), "ids" or "dict"; read off the first mask if None.
        mask_missing: "error", or "all" if None or an absent mask allows everything.
        mask_allowed: The value that means allowed, 1 or 0.
        binary_convention: How masks of MultiBinary actions are written.

    Raises:
        NoMaskError: There is none; the message says what was looked at.
        ConfigError: Two sources disagree, a mask can be read in two ways, a setting is
            none, or the first reset fails.
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
    known = _known(env)
    if known is not None:
        return known
    if isinstance(env, VectorEnv):
        from maskrl.envs.adapters.vector_masks import VectorMasks  # which reads as this file does

        return VectorMasks(env, settings, name or name_of(env)).convention
    return detect(env, settings, name or name_of(env))


def detect(env: gymnasium.Env[Any, Any], settings: MaskSettings, name: str) -> MaskConvention:
    """As `find_convention`, with settings in one object and for an environment not adapted."""
    if is_team(env.observation_space):
        return _of_team(env, settings, name)
    try:
        answer = env.reset()
    except MaskrlError:
        raise
    except Exception as error:
        raise ConfigError(
            f"environment {name!r}: its first reset() fails: {type(error).__name__}: {error}"
        ) from error
    observation, info = observation_and_info(answer, name)
    try:
        found = list(places(env, observation, info, settings))
    except ConfigError as error:
        raise ConfigError(f"environment {name!r}: {error}") from error
    if not found:
        return _without_action_mask(env, info, settings, name)
    raw_mask.check_convention(settings.binary_convention, env.action_space, settings.allowed)
    heads = raw_mask.action_heads(env.action_space, name)
    tree = action_tree_of(env)
    if tree is not None:  # its masks are several, and compared by nobody
        return _convention(found[0], "mask", settings)
    read = [_read(place, env.action_space, heads, settings, name) for place in found]
    readable = [r for r in read if r.row is not None]
    promised = [r for r in read if r.row is None and (r.place.is_promised or settings.says_where)]
    if not readable:
        if promised:
            return _convention(promised[0].place, promised[0].form, settings)
        raise NoMaskError(
            f"environment {name!r} may have its mask in {_listed(read)}, and none can be read: "
            + "; ".join(f"{r.place.where}: {r.failure}" for r in read)
            + ". Hand over a function that computes it: mask_fn=lambda env: ..."
        )
    best = readable[0]
    against = [r for r in readable[1:] if not _agree(r, best)]
    if against or promised:
        raise ConfigError(_disagreement(name, best, [*against, *promised]))
    same = [r.place.where for r in readable[1:]]
    passed = [r.place.where for r in read if r.row is None]
    notes = []
    if same:
        notes.append(f"{' and '.join(same)} {'says' if len(same) == 1 else 'say'} the same")
    if passed:
        notes.append(f"{' and '.join(passed)} could not be read")
    note = "; ".join(notes)
    return _convention(best.place, best.form, settings, note)


def observation_and_info(answer: Any, name: str) -> tuple[Any, Mapping[str, Any]]:
    """What a reset gave, if it is what Gymnasium's environments give.

    Raises:
        ConfigError: It is something else, such as an observation alone.
    """
    got = type(answer).__name__
    if isinstance(answer, tuple | list):
        if len(answer) == 2 and isinstance(answer[1], Mapping):
            return answer[0], answer[1]
        got = f"a {got} of {', '.join(type(part).__name__ for part in answer)}"
    raise ConfigError(
        f"environment {name!r}: its reset() gave {got}; expected (observation, info) with a "
        "dict as info, as in Gymnasium since 0.26. Older environments need a wrapper that adds it"
    )


def announce(name: str, convention: MaskConvention) -> None:
    """Say once for each environment what was found, in a log record or on standard error."""
    if name in _announced or multiprocessing.parent_process() is not None:
        return
    _announced.add(name)
    line = f"environment {name!r}: {convention.describe()}"
    if logger.hasHandlers() or logger.level != logging.NOTSET:
        logger.info("%s", line)
    else:
        sys.stderr.write(f"maskrl: {line}\n")


def name_of(env: Any) -> str:
    """What to call an environment in messages: its id, or its class."""
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(env.unwrapped).__name__


@dataclass(frozen=True)
class _Reading:
    """A place and the flags read there, or why they could not be."""

    place: Place
    form: Form = "mask"
    row: BoolArray | None = None
    failure: str = ""


def _read(
    place: Place,
    action_space: spaces.Space[Any],
    heads: tuple[int, ...],
    settings: MaskSettings,
    name: str,
) -> _Reading:
    if place.failure:
        return _Reading(place, failure=place.failure)
    if place.raw is None:
        if settings.missing == "all":
            return _Reading(place, settings.form or "none_all", np.ones(sum(heads), np.bool_))
        return _Reading(place, failure="it is None at the first reset")
    try:
        form: Form = settings.form or form_of(place.raw, action_space, place.name)
    except ConfigError as error:
        raise ConfigError(f"environment {name!r}: {error}") from error
    try:
        row = read_row(
            place.raw,
            form,
            action_space,
            heads,
            allowed=settings.allowed,
            binary_convention=settings.binary_convention,
        )
    except MaskrlError as error:
        return _Reading(place, form, failure=str(error))
    if row.shape != (sum(heads),):
        return _Reading(place, form, failure=f"its shape is {row.shape}, not {(sum(heads),)}")
    return _Reading(place, form, row)


def read_row(
    raw: Any,
    form: Form,
    action_space: spaces.Space[Any],
    heads: tuple[int, ...],
    *,
    allowed: int = 1,
    binary_convention: raw_mask.BinaryConvention = "pairs",
) -> BoolArray:
    """The flags of one foreign mask: a new bool array `[A]` where it is as it should be.

    Args:
        raw: As the environment gave it, not None.
        form: In which it is written.
        action_space: Of the environment.
        heads: Choices per part of an action.
        allowed: The value that means allowed; of ids, 0 if they list what is forbidden.
        binary_convention: How masks of bits are written.

    Raises:
        MaskDtypeError, MaskShapeError: It is something else.
    """
    if form == "ids":
        row = ids_row(raw, action_space)
        return row if allowed else ~row
    shape = raw_mask.head_shape(action_space)
    if binary_convention == "gymnasium":
        return raw_mask.gymnasium_pairs(raw, shape)
    first = raw_mask.first_action(action_space) if isinstance(raw, Mapping) else 0
    flat = raw_mask.flat_row(raw, heads, shape, first)
    return as_mask_array(flat, allowed=allowed, name=FLAT_MASK)


def _convention(place: Place, form: Form, settings: MaskSettings, note: str = "") -> MaskConvention:
    return MaskConvention(
        place.source,
        place.name,
        dtype_of(place.raw),
        settings.allowed,
        form,
        note=note,
        missing=settings.missing,
        arguments=place.arguments,
        binary_convention=settings.binary_convention,
    )


def _known(env: Any) -> MaskConvention | None:
    """What a wrapper of ours around an environment, or around its parts, has found out already."""
    layer: Any = env
    batch: int | None = None
    while layer is not None:
        if getattr(type(layer), "mask_convention", None) is not None:
            found: MaskConvention = layer.mask_convention
            return found if batch is None else replace(found, batch=batch)
        if isinstance(layer, SyncVectorEnv):
            layer, batch = layer.envs[0], layer.num_envs
        else:
            layer = vars(layer).get("env")
    return None


def _of_team(env: gymnasium.Env[Any, Any], settings: MaskSettings, name: str) -> MaskConvention:
    """A team has all its masks in its observation, and nowhere else."""
    if settings.says_where or settings.form is not None or settings.missing != "error":
        raise ConfigError(
            f"environment {name!r}: it is a team (its observation has an agent_mask), whose masks "
            "are all entries of its observation; of the settings of masks only mask_allowed holds"
        )
    entries = env.observation_space.spaces  # type: ignore[attr-defined]
    key = FLAT_MASK if FLAT_MASK in entries else "agent_mask"
    dtype = str(entries[key].dtype)
    return MaskConvention("observation", key, dtype, settings.allowed, note="of a team")


def _without_action_mask(
    env: gymnasium.Env[Any, Any], info: Mapping[str, Any], settings: MaskSettings, name: str
) -> MaskConvention:
    """The convention where there is an entity mask alone, or one that comes later.

    Raises:
        NoMaskError: There is nothing.
    """
    keys = _dict_keys(env)
    others = [key for key in MASKS_ENOUGH if key in keys]
    if others and not settings.says_where:
        dtype = str(env.observation_space[others[0]].dtype)  # type: ignore[index]
        return MaskConvention("observation", others[0], dtype, note="no action mask")
    if settings.missing == "all" and settings.key is not None and settings.source in (None, "info"):
        return MaskConvention(
            "info",
            settings.key,
            "None",
            settings.allowed,
            settings.form or "none_all",
            missing="all",
            binary_convention=settings.binary_convention,
        )
    key = settings.key or FLAT_MASK
    calls = f"a method {settings.key}()" if settings.key else "a method action_masks()"
    near = [n for n in doubtful_names(env, info) if n != settings.key]
    doubt = ""
    if near:
        doubt = (
            f" There is {near[0]!r}, a name used for both polarities: if it is the mask, say "
            f"mask_key={near[0]} with mask_allowed=0 (1 marks what is forbidden) or "
            "mask_allowed=1, and mask_form=ids where it lists actions."
        )
    raise NoMaskError(
        f"environment {name!r} offers no mask. Looked for: an entry {settings.key or ''}"
        f"{', ' if settings.key else ''}{', '.join(MASKS_ENOUGH)} of a Dict observation "
        f"({_seen(keys, env)}); info[{key!r}] at reset (info has "
        f"{sorted(map(str, info)) or 'no keys'}); {calls} (there is none)"
        + ("" if settings.key else "; and the usual names, such as legal_actions, in all of these")
        + f".{doubt} If info, the observation or a method has the mask under another name, name "
        f"it: {name}?mask_key=NAME. If it can be computed, hand over a function: "
        "mask_fn=lambda env: ..."
    )


def _disagreement(name: str, best: _Reading, others: list[_Reading]) -> str:
    said = [f"{best.place.where} allows {_allowed(best)}"]
    for other in others:
        if other.row is None:
            said.append(f"{other.place.where} cannot be read ({other.failure})")
        else:
            said.append(f"{other.place.where} allows {_allowed(other)}")
    turned = any(_agree(other, best, turned=True) for other in others)
    hint = " One is the other turned round: 1 means forbidden in one of them." if turned else ""
    choices = " or ".join(
        dict.fromkeys(
            f"mask_source={r.place.source}&mask_key={r.place.name}" for r in (best, *others)
        )
    )
    return (
        f"environment {name!r} has several masks, and they disagree after the first reset: "
        f"{'; '.join(said)}.{hint} Say which one holds: {choices}"
    )


def _allowed(reading: _Reading) -> str:
    ids = np.flatnonzero(reading.row)  # type: ignore[arg-type]
    shown = ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
    return f"{len(ids)} of {len(reading.row)} actions ({shown or 'none'})"  # type: ignore[arg-type]


def _agree(one: _Reading, other: _Reading, *, turned: bool = False) -> bool:
    """Whether two places allow the same; turned round, whether one allows what the other not."""
    if one.row is None or other.row is None:
        return False
    return bool(np.array_equal(one.row, ~other.row if turned else other.row))


def _listed(read: list[_Reading]) -> str:
    return ", ".join(r.place.where for r in read)


def _dict_keys(env: gymnasium.Env[Any, Any]) -> set[str]:
    space = env.observation_space
    return set(space.spaces) if isinstance(space, spaces.Dict) else set()


def _seen(keys: set[str], env: gymnasium.Env[Any, Any]) -> str:
    space = env.observation_space
    kind = f"{type(space).__name__}{space.shape or ''}"
    return f"it has {sorted(keys)}" if keys else f"the observation is no Dict but a {kind}"

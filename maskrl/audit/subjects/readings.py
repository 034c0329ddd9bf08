"""Reading a raw mask without repairing it: what was handed out, and what is wrong with it.

Adapters refuse a bad mask or bring it into shape. An audit keeps the object that was
handed out, copies it, reads flags from it if it can, and otherwise says what was expected
and what came, so that all faults are found and not the first one alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.audit.subjects.moments import Complaint, Reading
from maskrl.envs.adapters import mask_form, raw_mask
from maskrl.envs.adapters.call_arguments import call_with
from maskrl.envs.adapters.detect import read_row
from maskrl.envs.adapters.mask_sources import MaskSettings, Place, find_attribute, places
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskrlError
from maskrl.masks.arrays import as_mask_array
from maskrl.masks.tree import FLAT_MASK, ActionTree

CONFIRMING = ("observation", "info", "method")
"""Places that are compared with the one that is used, if they have a name that promises."""


def read_flags(
    raw: Any,
    action_space: spaces.Space[Any],
    form: mask_form.Form,
    settings: MaskSettings,
) -> tuple[np.ndarray | None, Complaint | None]:
    """The flags of one raw mask, or what is wrong with it.

    Args:
        raw: As it came, not None.
        action_space: Of whom it is for.
        form: In which it is written.
        settings: Which value means allowed.

    Returns:
        bool [A] and None, or None and the complaint.
    """
    heads = raw_mask.action_heads(action_space, "")
    n_actions = sum(heads)
    try:
        row = read_row(
            raw,
            form,
            action_space,
            heads,
            allowed=settings.allowed,
            binary_convention=settings.binary_convention,
        )
    except MaskDtypeError:
        return None, Complaint("not-flags", "only 0 and 1, 1 = allowed", shown(raw))
    except MaskError:
        row = None
    if row is None or row.shape != (n_actions,):
        expected = f"{n_actions} flags, one per action"
        return None, Complaint("wrong-length", expected, f"{shape_in_words(raw)}: {shown(raw)}")
    return row, None


def read_array(raw: Any, shape: tuple[int, ...], name: str, allowed: int) -> Any:
    """As `read_flags`, for a mask or table of a known shape."""
    try:
        keep = as_mask_array(raw, allowed=allowed, name=name)
    except MaskDtypeError:
        return None, Complaint("not-flags", f"only 0 and 1 in {name}", shown(raw))
    except MaskError:
        keep = None
    if keep is None or keep.shape != shape:
        return None, Complaint("wrong-length", f"{name} of shape {shape}", shape_in_words(raw))
    return keep, None


def shown(raw: Any) -> str:
    """A mask in one line."""
    text = " ".join(str(raw.tolist() if isinstance(raw, np.ndarray) else raw).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def shape_in_words(raw: Any) -> str:
    """Shape of what may be no array."""
    try:
        return f"shape {np.asarray(raw).shape}"
    except ValueError:
        return f"{len(raw)} rows of uneven lengths"


def keep_copy(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy that nobody else can change."""
    return copy.deepcopy(raw)


class MaskReader:
    """Reads the action mask of a single environment at any moment, from wherever it is.

    Args:
        env: As its author wrote it, adapted by nobody.
        settings: What the caller said about its mask.
        tree: Its `action_tree`, if it has one.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        settings: MaskSettings,
        tree: ActionTree | None = None,
    ) -> None:
        self.settings = settings
        self.tree = tree
        self.action_space = env.action_space
        self.place: Place | None = None
        self.form: mask_form.Form = "mask"
        self.confirming: list[Place] = []

    @property
    def where(self) -> str:
        """The place, in words."""
        return "nowhere" if self.place is None else self.place.where

    def look_for(self, env: Any, observation: Any, info: Mapping[str, Any]) -> None:
        """Find the place, once, at the first moment that has one."""
        if self.place is not None:
            return
        found = list(places(env, observation, info, self.settings))
        usable = [place for place in found if not place.failure and place.raw is not None]
        chosen = usable or [place for place in found if place.is_promised]
        if not chosen:
            return
        self.place = chosen[0]
        self.confirming = [
            place
            for place in usable
            if place is not self.place and place.source in CONFIRMING and place.is_promised
        ]
        try:
            form = mask_form.form_of(self.place.raw, self.action_space, self.place.name)
            self.form = self.settings.form or form
        except ConfigError:
            self.form = self.settings.form or "mask"

    def read(self, env: Any, observation: Any, info: Mapping[str, Any]) -> Reading:
        """The mask of this moment."""
        self.look_for(env, observation, info)
        if self.place is None:
            return Reading(self.where)
        start = time.perf_counter()
        reading = Reading(self.where)
        try:
            raw = self._fetch(self.place, env, observation, info)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            reading.complaints.append(Complaint("fails", f"a mask from {self.where}", said))
            return reading
        seconds = time.perf_counter() - start
        if self.place.source in ("method", "callable"):
            reading.seconds = seconds
        if raw is None:
            if self.settings.missing == "all":
                reading.masks = {FLAT_MASK: np.ones(self._n_actions, np.bool_)}
                reading.raw = reading.kept = {}
                reading.kind = "None = all allowed"
            return reading
        reading.kind = mask_form.dtype_of(raw)
        if self.tree is None:
            reading.raw = {FLAT_MASK: raw}
            flags, complaint = read_flags(raw, self.action_space, self.form, self.settings)
            self._take(reading, {FLAT_MASK: flags}, [complaint])
            self._confirm(reading, env, observation, info)
        else:
            self._read_tree(reading, raw, observation, info)
        reading.kept = keep_copy(reading.raw or {})
        return reading

    def _read_tree(
        self, reading: Reading, raw: Any, observation: Any, info: Mapping[str, Any]
    ) -> None:
        if self.tree is None or self.place is None:
            return
        shapes = self.tree.mask_shapes
        if isinstance(raw, Mapping) and FLAT_MASK in raw:
            raws = {name: raw.get(name) for name in shapes}
        else:
            held = observation if self.place.source == "observation" else info
            raws = {
                name: raw if name == FLAT_MASK else _entry(held, self._own(name)) for name in shapes
            }
        reading.raw = raws
        masks: dict[str, np.ndarray | None] = {}
        complaints: list[Complaint | None] = []
        for name, shape in shapes.items():
            if raws[name] is None:
                masks[name] = None
                complaints.append(Complaint("wrong-length", f"a mask {name}", "none"))
                continue
            masks[name], complaint = read_array(raws[name], shape, name, self.settings.allowed)
            complaints.append(complaint)
        self._take(reading, masks, complaints)

    def _own(self, name: str) -> str:
        key = FLAT_MASK if self.place is None else self.place.name
        return key + name.removeprefix(FLAT_MASK)

    def _take(
        self,
        reading: Reading,
        masks: dict[str, np.ndarray | None],
        complaints: list[Complaint | None],
    ) -> None:
        reading.complaints += [complaint for complaint in complaints if complaint is not None]
        whole = {name: keep for name, keep in masks.items() if keep is not None}
        reading.masks = whole if len(whole) == len(masks) else None

    def _confirm(
        self, reading: Reading, env: Any, observation: Any, info: Mapping[str, Any]
    ) -> None:
        for place in self.confirming:
            raw = self._fetch(place, env, observation, info)
            if raw is None:
                continue
            try:
                form = mask_form.form_of(raw, self.action_space, place.name)
                flags, _ = read_flags(raw, self.action_space, form, self.settings)
            except MaskrlError:
                continue
            if flags is not None:
                reading.others[place.where] = flags

    def _fetch(self, place: Place, env: Any, observation: Any, info: Mapping[str, Any]) -> Any:
        if place.source == "observation":
            return _entry(observation, place.name)
        if place.source == "info":
            return _entry(info, place.name)
        function: Any = self.settings.function() if place.source == "callable" else None
        if function is None:
            there, function = find_attribute(env, place.name)
            if not there:
                return None
        if place.source == "attribute":
            return function
        return call_with(function, place.arguments, env, observation, info)

    @property
    def _n_actions(self) -> int:
        return sum(raw_mask.action_heads(self.action_space, ""))


def _entry(held: Any, key: str) -> Any:
    return held.get(key) if isinstance(held, Mapping) else None

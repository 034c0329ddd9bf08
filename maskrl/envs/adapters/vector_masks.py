"""Masks of somebody else's vector environment, as boolean entries of a Dict observation.

They are in the observation, in infos, or behind a method or attribute of the environment or
its sub-environments, in every form that single environments have too. Infos are read by the
arrays that say whose they are, because the rows of all others hold zeros. Everything is
copied: some environments hand out the same arrays at every step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.call_arguments import arguments_of, call_with
from maskrl.envs.adapters.detect import MaskConvention, read_row
from maskrl.envs.adapters.mask_form import Form, dtype_of, form_of
from maskrl.envs.adapters.mask_sources import NAMES, MaskSettings, Source, find_attribute
from maskrl.envs.adapters.written_over import refuse_shared
from maskrl.envs.contract import MASKS_ENOUGH, action_tree_of
from maskrl.envs.entries import is_mask_key, mask_space
from maskrl.envs.teams import is_team
from maskrl.envs.vector_infos import row_of, told_by
from maskrl.errors import ConfigError, MaskError, MaskrlError, MaskShapeError, NoMaskError
from maskrl.masks.arrays import as_mask_array
from maskrl.masks.tree import FLAT_MASK, ActionTree

NO_STACK = (
    "If its environments give masks of several lengths or types in info (lists of ids, None): "
    "Gymnasium cannot stack them. Make it with maskrl.make_vec, or give one flag for every action"
)
"""What may be wrong where a vector environment fails; the end of messages."""


class _Absent:
    """What stands for a mask that a sub-environment did not give."""

    def __repr__(self) -> str:
        return "no mask"


ABSENT = _Absent()


class _Gone(_Absent):
    """What stands for a mask of a state that its environment has left: nobody knows it."""


GONE = _Gone()


class VectorMasks:
    """Finds the masks of a vector environment, once, and reads them at every step.

    Args:
        venv: The environment; it is reset for that.
        settings: What the caller says about its masks.
        name: What messages call it.

    Attributes:
        space: Of one observation with its masks.
        heads: Choices per part of an action; empty where there is no action mask, or a team.

    Raises:
        NoMaskError: There is none; the message says what was looked at.
        ConfigError: A mask can be read in two ways, or a setting does not fit.
    """

    def __init__(self, venv: VectorEnv[Any, Any, Any], settings: MaskSettings, name: str) -> None:
        self.venv = venv
        self.settings = settings
        self.name = name
        self.num_envs = venv.num_envs
        inner = venv.single_observation_space
        self._is_dict = isinstance(inner, spaces.Dict)
        entries = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"observation": inner}
        if settings.fn is not None:
            raise ConfigError(
                f"{name}: mask_fn is a function of one environment; give it to the environments "
                "(maskrl.make), not to a vector environment of them"
            )
        self.source: Source = "observation"
        self.key = FLAT_MASK
        self.form: Form = "mask"
        self._is_plain = settings.binary_convention == "pairs"
        self.dtype = ""
        self.heads: tuple[int, ...] = ()
        self._tree: ActionTree | None = None
        self._finds_actions = not is_team(inner)  # a team has all its masks in its observation
        self._shapes = {key: entries[key].shape or () for key in entries if is_mask_key(key)}
        self._finds_actions = self._finds_actions and self._found(entries)
        if self._finds_actions:
            space = venv.single_action_space
            raw_mask.check_convention(settings.binary_convention, space, settings.allowed)
            self.heads = raw_mask.action_heads(space, name)
            if self.source == "observation" and self.key != FLAT_MASK:
                entries.pop(self.key)
            self._shapes[FLAT_MASK] = (sum(self.heads),)
            self._tree = action_tree_of(venv)
            if self._tree is not None:
                self._shapes.update(self._tree.mask_shapes)
        self.space = spaces.Dict(
            {**entries, **{key: mask_space(*shape) for key, shape in self._shapes.items()}}
        )

    @property
    def convention(self) -> MaskConvention:
        """Where the masks are and how they are written."""
        return MaskConvention(
            self.source,
            self.key,
            self.dtype,
            self.settings.allowed,
            self.form,
            batch=self.num_envs,
            missing=self.settings.missing,
            binary_convention=self.settings.binary_convention,
        )

    def observe(
        self,
        observation: Any,
        infos: Mapping[Any, Any],
        *,
        rows: np.ndarray | None = None,
        terminated: np.ndarray | None = None,
        truncated: np.ndarray | None = None,
        final: bool = False,
    ) -> dict[str, np.ndarray]:
        """Observations with their masks `[B, ...]`, new arrays.

        Args:
            observation: As the environment gave it, for all its sub-environments.
            infos: That came with it; of final observations the final infos.
            rows: bool `[B]`, whose masks are read; those of the others are all False.
            terminated: bool `[B]`, whose episode is over: there a mask may be missing.
            truncated: bool `[B]`, whose was cut off: there too.
            final: Whether these are final observations of episodes whose environments have
                begun the next one, so that no method tells about them any more.

        Raises:
            NoMaskError: A mask is missing, and the episode goes on.
            MaskDtypeError, MaskShapeError: A mask is none; the message names the environment.
        """
        nobody = np.zeros(self.num_envs, np.bool_)
        rows = ~nobody if rows is None else rows
        terminated = nobody if terminated is None else terminated
        truncated = nobody if truncated is None else truncated
        given = observation if self._is_dict else {"observation": observation}
        seen = {key: _copy(given[key]) for key in self.space.spaces if key not in self._shapes}
        for key, shape in self._shapes.items():
            raw = self._raw(key, given, infos, final, terminated)
            seen[key] = self._masks(key, shape, raw, rows, terminated, truncated)
        return seen

    def observe_final(
        self, infos: Mapping[Any, Any], terminated: np.ndarray, truncated: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The last observations of the episodes that ended in a step of SAME_STEP mode.

        Returns:
            Per key a new array `[B, ...]`; zeros where no episode ended.
        """
        ended = terminated | truncated
        given = infos.get("final_obs")
        if given is None:
            raise ConfigError(
                f"{self.name}: an episode ended, and infos has no 'final_obs', though its "
                f"autoreset mode is SAME_STEP; infos has the keys {sorted(map(str, infos))}"
            )
        told = infos.get("final_info")
        final_infos = told if isinstance(told, Mapping) else {}
        inner = self.venv.single_observation_space
        if isinstance(given, np.ndarray) and given.dtype == object:
            missing = [int(i) for i in np.flatnonzero(ended) if given[i] is None]
            if missing:
                raise ConfigError(
                    f"{self.name}: the episode of environment {missing[0]} of {self.num_envs} "
                    "ended, and infos has no final observation of it"
                )
            refuse_shared(self.layer, given, ended, self.name)
            one = given[int(np.flatnonzero(ended)[0])]
            filled = [given[i] if ended[i] else one for i in range(self.num_envs)]
            batch: Any = _stacked(inner, filled)
        else:
            batch = given
        return self.observe(
            batch, final_infos, rows=ended, terminated=terminated, truncated=truncated, final=True
        )

    def _first_reset(self) -> tuple[Any, Mapping[Any, Any]]:
        """What the environments give first.

        Raises:
            ConfigError: They cannot be reset, or what they tell cannot be stacked.
        """
        try:
            observation, infos = self.venv.reset()
        except MaskrlError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{self.name}: its first reset() fails: {type(error).__name__}: {error}. {NO_STACK}"
            ) from error
        return observation, infos

    def _found(self, entries: Mapping[str, spaces.Space[Any]]) -> bool:
        """Find the action mask; False where there are other masks and none of actions."""
        settings = self.settings
        observation, infos = self._first_reset()
        names = NAMES if settings.key is None else (settings.key,)
        found = self._places(entries, infos, names)
        places = [place for place in found if settings.source in (None, place[0])]
        for source, name in places:
            self.source, self.key = source, name
            given = observation if self._is_dict else {"observation": observation}
            raw = [row for row in self._raw(FLAT_MASK, given, infos, False) if row is not ABSENT]
            first = next((row for row in raw if row is not None), None)
            self.dtype = dtype_of(first)
            if settings.form is not None:
                self.form = settings.form
            elif first is not None:
                try:
                    self.form = form_of(first, self.venv.single_action_space, name)
                except ConfigError as error:
                    raise ConfigError(f"{self.name}: {error}") from error
            self._refuse_other_masks(entries, places, given, infos)
            return True
        if not settings.says_where and set(self._shapes) & set(MASKS_ENOUGH):
            return False
        raise NoMaskError(
            f"{self.name} offers no mask. Looked for {', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''} in the observation (it has {sorted(entries)}), "
            f"in infos (at reset it has {sorted(map(str, infos)) or 'no keys'}), and as a method "
            "or attribute. If the mask has another name, say so with mask_key."
        )

    def _places(
        self, entries: Mapping[str, Any], infos: Mapping[Any, Any], names: tuple[str, ...]
    ) -> list[tuple[Source, str]]:
        found: list[tuple[Source, str]] = []
        if self._is_dict:
            usual = names if self.settings.says_where else (FLAT_MASK,)
            found += [("observation", name) for name in usual if name in entries]
        found += [("info", name) for name in names if name in infos]
        asks = isinstance(self.layer, SyncVectorEnv)  # elsewhere only where nothing else is there
        for name in names:
            if (asks or not found or self.settings.source is not None) and self._has(name):
                kind: Source = "method" if self._is_method(name) else "attribute"
                found.append((kind, name))
        return found

    def _refuse_other_masks(
        self,
        entries: Mapping[str, spaces.Space[Any]],
        places: list[tuple[Source, str]],
        observation: Mapping[str, Any],
        infos: Mapping[Any, Any],
    ) -> None:
        """Raise if another place tells another mask; which holds is not guessed.

        Raises:
            ConfigError: Two places disagree.
        """
        mine = self.source, self.key
        is_ours = self.source == "observation" and entries[self.key].dtype == np.bool_
        if is_ours or action_tree_of(self.venv) is not None:
            return  # what an adapter made of the others may well be something else
        own = self._rows_at(*mine, observation, infos)
        for place in places:
            other = self._rows_at(*place, observation, infos) if own is not None else None
            if own is None or other is None:
                continue
            wrong = [i for i in range(self.num_envs) if not np.array_equal(own[i], other[i])]
            if wrong:
                i = wrong[0]
                told = " and ".join(
                    f"{MaskConvention(*at, '').where} allows {np.flatnonzero(rows[i])[:8].tolist()}"
                    for at, rows in ((mine, own), (place, other))
                )
                choices = " or ".join(f"mask_source={s}, mask_key={k}" for s, k in (mine, place))
                raise ConfigError(
                    f"{self.name} has several masks, and they disagree after the first reset, in "
                    f"environment {i} of {self.num_envs}: {told} (the first of them). Say which "
                    f"one holds: {choices}"
                )

    def _rows_at(
        self, source: Source, name: str, observation: Mapping[str, Any], infos: Mapping[Any, Any]
    ) -> list[np.ndarray] | None:
        """The flags of all environments at one place; None where not all can be read."""
        space, settings = self.venv.single_action_space, self.settings
        kept = self.source, self.key
        self.source, self.key = source, name
        try:
            raw = list(self._raw(FLAT_MASK, observation, infos, False))
            form: Form = settings.form or form_of(raw[0], space, name)
            rows = [
                read_row(
                    row,
                    form,
                    space,
                    raw_mask.action_heads(space, self.name),
                    allowed=settings.allowed,
                    binary_convention=settings.binary_convention,
                )
                for row in raw
            ]
        except Exception:  # of a method that is none of masks: anything
            return None
        finally:
            self.source, self.key = kept
        return rows

    @property
    def layer(self) -> VectorEnv[Any, Any, Any]:
        """The innermost vector environment."""
        layer = self.venv
        while hasattr(layer, "env") and isinstance(layer.env, VectorEnv):
            layer = layer.env
        return layer

    def _has(self, name: str) -> bool:
        layer = self.layer
        if hasattr(layer, name):
            return True
        if isinstance(layer, SyncVectorEnv):
            constants = self.settings.says_where
            return all(find_attribute(env, name, constants=constants)[0] for env in layer.envs)
        if isinstance(layer, AsyncVectorEnv):
            return all(layer.call("has_wrapper_attr", name))
        return False

    def _is_method(self, name: str) -> bool:
        layer = self.layer
        if not hasattr(layer, name) and isinstance(layer, SyncVectorEnv):
            return callable(find_attribute(layer.envs[0], name)[1])
        return callable(getattr(layer, name, None)) or not hasattr(layer, name)

    def _asked(self, terminated: np.ndarray | None) -> list[Any]:
        """What the method or attribute says now, of every sub-environment."""
        layer = self.layer
        if hasattr(layer, self.key):
            value = getattr(layer, self.key)
            answer = value() if callable(value) else value
        elif isinstance(layer, SyncVectorEnv):
            over = np.zeros(self.num_envs, np.bool_) if terminated is None else terminated
            answer = [self._ask(i, env, over=bool(over[i])) for i, env in enumerate(layer.envs)]
        else:
            answer = layer.call(self.key)  # type: ignore[attr-defined]
        rows = list(answer)
        if len(rows) != self.num_envs:
            raise MaskShapeError(
                f"{self.name}: {self.key} gave {len(rows)} masks, expected one for each of the "
                f"{self.num_envs} environments"
            )
        return rows

    def _ask(self, index: int, env: Any, *, over: bool) -> Any:
        """What one environment says; after the end some refuse to."""
        place = f"{self.name}, environment {index} of {self.num_envs}"
        value = find_attribute(env, self.key)[1]
        if not callable(value):
            return value
        try:
            arguments = arguments_of(value, env, self.key)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
        if {"observation", "info"} & set(arguments):
            raise ConfigError(
                f"{place}: {self.key} takes {', '.join(arguments)}, which is told of single "
                "environments alone. Stack adapted ones: SyncVectorEnv([lambda: adapt(MyEnv())])"
            )
        try:
            return call_with(value, arguments, env, None, {})
        except Exception as error:
            if over:
                return None
            raise ConfigError(
                f"{place}: {self.key}() fails: {type(error).__name__}: {error}"
            ) from error

    def _raw(
        self,
        key: str,
        observation: Mapping[str, Any],
        infos: Mapping[Any, Any],
        final: bool,
        terminated: np.ndarray | None = None,
    ) -> Any:
        """The raw masks of all sub-environments; `ABSENT` where one gave none."""
        if not (self._finds_actions and key.startswith(FLAT_MASK)):
            return observation[key]
        if self.source == "observation":
            place = self.key if key == FLAT_MASK else key
            return observation.get(place, [ABSENT] * self.num_envs)
        name = self.key + key.removeprefix(FLAT_MASK)
        if self.source == "info":
            there = told_by(infos, name, self.num_envs)
            value = infos.get(name)
            if isinstance(value, np.ndarray) and there.all():
                return value
            return [row_of(value, i) if there[i] else ABSENT for i in range(self.num_envs)]
        if final:
            return [GONE] * self.num_envs
        rows = self._asked(terminated)
        if self._tree is None:
            return rows
        return [row.get(key) if isinstance(row, Mapping) else row for row in rows]

    def _masks(
        self,
        key: str,
        shape: tuple[int, ...],
        raw: Any,
        rows: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> np.ndarray:
        flags = key != FLAT_MASK or len(shape) != 1 or self.form == "mask"
        stacked = isinstance(raw, np.ndarray) and raw.dtype != object
        if flags and stacked and raw.shape == (self.num_envs, *shape) and self._is_plain:
            try:
                keep = as_mask_array(raw, allowed=self.settings.allowed, name=key)
            except MaskError:
                pass  # found again below, where it is known whose it is
            else:
                keep[~rows] = False
                return keep
        keep = np.zeros((self.num_envs, *shape), np.bool_)
        for i in np.flatnonzero(rows).tolist():
            keep[i] = self._mask(key, shape, raw[i], i, bool(terminated[i]), bool(truncated[i]))
        return keep

    def _mask(
        self,
        key: str,
        shape: tuple[int, ...],
        raw: Any,
        env: int,
        terminated: bool,
        truncated: bool,
    ) -> np.ndarray:
        place = f"{self.name}, environment {env} of {self.num_envs}"
        if raw is None or isinstance(raw, _Absent):
            says_all = self.settings.missing == "all" and raw is not GONE
            if says_all and not terminated and key.startswith(FLAT_MASK):
                return np.ones(shape, np.bool_)
            if terminated or truncated:
                return np.zeros(shape, np.bool_)  # nothing is allowed after an episode
            raise NoMaskError(
                f"{place}: {key} is missing from {self.convention.where}, and the episode is not "
                "over. An environment must give its mask at every step; if it leaves the mask out "
                "where everything is allowed, say so with mask_missing='all'."
            )
        if (terminated or truncated) and np.size(raw) == 0:
            return np.zeros(shape, np.bool_)
        try:
            if key != FLAT_MASK or len(shape) != 1 or not self.heads:
                row = as_mask_array(raw, allowed=self.settings.allowed, name=key)
            else:
                row = read_row(
                    raw,
                    self.form,
                    self.venv.single_action_space,
                    self.heads,
                    allowed=self.settings.allowed,
                    binary_convention=self.settings.binary_convention,
                )
        except MaskError as error:
            raise type(error)(f"{place}, {self.convention.where}: {error}") from error
        if row.shape != shape:
            raise MaskShapeError(
                f"{place}: {key} from {self.convention.where} has shape {row.shape}, expected "
                f"{shape}."
            )
        return row


def _stacked(space: spaces.Space[Any], rows: list[Any]) -> Any:
    """Observations of several environments as a vector environment gives them."""
    if isinstance(space, spaces.Dict):
        return {key: _stacked(inner, [row[key] for row in rows]) for key, inner in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_stacked(part, [row[k] for row in rows]) for k, part in enumerate(space))
    return np.stack([np.asarray(row) for row in rows])


def _copy(value: Any) -> Any:
    return np.array(value) if isinstance(value, np.ndarray) else copy.deepcopy(value)

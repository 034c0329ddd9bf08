"""A vector environment as an audit sees it: one row per sub-environment.

Masks are where Gymnasium's vector environments put them: batched in the observation, or in
infos with a second entry that says whose they are, or behind a method of all. Where a row's
episode ended the mask of the state that ended is looked up too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from maskrl.audit.subjects.moments import Moment, Reading, Result, Row, Subject, flatten
from maskrl.audit.subjects.readings import keep_copy, read_array, read_flags
from maskrl.audit.subjects.single import as_action
from maskrl.envs.adapters import mask_form, raw_mask
from maskrl.envs.adapters.mask_sources import NAMES, MaskSettings
from maskrl.envs.contract import action_tree_of
from maskrl.envs.vector_infos import row_of, told_by
from maskrl.errors import ConfigError
from maskrl.masks.heads import IntArray
from maskrl.masks.tree import FLAT_MASK


class VectorSubject(Subject):
    """All rows of a vector environment, in whichever mode it resets them.

    Args:
        env: The vector environment.
        name: What messages call it.
        settings: What the caller said about its masks.

    Raises:
        ConfigError: The action space takes no mask.
    """

    kind = "vector environment"
    independent = True

    def __init__(
        self, env: VectorEnv[Any, Any, Any], name: str, settings: MaskSettings | None = None
    ) -> None:
        tree = action_tree_of(env)
        heads = raw_mask.action_heads(env.single_action_space, name)
        super().__init__(env, name, heads if tree is None else tree)
        self.tree = tree
        self.settings = settings or MaskSettings()
        self.mode = env.metadata.get("autoreset_mode")
        self.where = ""
        self.key = self.settings.key or FLAT_MASK
        self.form: mask_form.Form | None = self.settings.form
        self._ended = np.zeros(env.num_envs, np.bool_)
        self._last: list[Reading] = []

    def reset(self, seed: int | None) -> Moment:
        """Reset all rows."""
        observation, infos = self.env.reset(seed=seed)
        self._ended[:] = False
        return Moment(self._rows(observation, infos, begins=np.ones(self.env.num_envs, np.bool_)))

    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """One action per row; rows that are reset instead of stepped ignore theirs."""
        count = self.env.num_envs
        actions = [
            as_action(np.zeros(self._head_count, np.int64) if c is None else c, self._one_space)
            for c in choices
        ]
        before = self._ended.copy()
        if self.mode is AutoresetMode.DISABLED and before.any():
            observation, infos = self.env.reset(options={"reset_mask": before})
            rows = self._rows(observation, infos, begins=before)
            for i in np.flatnonzero(~before).tolist():
                if not rows[i].reading.raw:  # Gymnasium tells those that were reset only
                    rows[i].reading = self._last[i]
            results = [Result(None, 0.0) for _ in range(count)]
            self._ended[:] = False
            return Moment(rows, results)
        batch = np.stack([np.asarray(action) for action in actions])
        observation, rewards, terminated, truncated, infos = self.env.step(
            batch.astype(self.env.action_space.dtype)
        )
        ended = np.asarray(terminated) | np.asarray(truncated)
        same_step = self.mode is AutoresetMode.SAME_STEP
        begins = ended if same_step else before
        rows = self._rows(observation, infos, begins=begins)
        results = []
        for i in range(count):
            word = "terminated" if terminated[i] else "truncated" if truncated[i] else ""
            rows[i].ended = word
            if word and same_step:
                rows[i].final = self._final(infos, i)
            elif word:
                rows[i].acting = False
            hidden = (same_step and ended[i]) or (before[i] and not same_step)
            features = None if hidden else rows[i].features
            results.append(
                Result(features, float(rewards[i]), bool(terminated[i]), bool(truncated[i]))
            )
        self._ended = np.zeros(count, np.bool_) if same_step else ended.copy()
        self._last = [row.reading for row in rows]
        return Moment(rows, results)

    def _rows(self, observation: Any, infos: Mapping[str, Any], *, begins: np.ndarray) -> list[Row]:
        batch, there = self._batch(observation, infos)
        rows = []
        for i in range(self.env.num_envs):
            raw = None if batch is None or not there[i] else {k: v[i] for k, v in batch.items()}
            one = _row_of(self.env.single_observation_space, observation, i)
            leave_out = [key for key in one if key.startswith(self.key)] if _is_dict(one) else []
            rows.append(
                Row(f"row {i}", True, self._read(raw), flatten(one, leave_out), bool(begins[i]))
            )
        return rows

    def _batch(
        self, observation: Any, infos: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, np.ndarray]:
        """The masks of all rows by their names, and which rows have one."""
        everywhere = np.ones(self.env.num_envs, np.bool_)
        if _is_dict(observation) and self.key in observation:
            self.where = f"observation[{self.key!r}]"
            names = (FLAT_MASK,) if self.tree is None else tuple(self.tree.mask_shapes)
            keys = {name: self.key + name.removeprefix(FLAT_MASK) for name in names}
            return {name: observation[key] for name, key in keys.items()}, everywhere
        names = NAMES if self.settings.key is None else (self.settings.key,)
        if self.where in ("", f"infos[{self.key!r}]"):
            for name in names:
                if name in infos:
                    self.key, self.where = name, f"infos[{name!r}]"
                    there = told_by(infos, name, self.env.num_envs)
                    told = [row_of(infos[name], i) if there[i] else None for i in range(len(there))]
                    return {FLAT_MASK: told}, there
        for name in names:
            method = getattr(self.env, name, None)
            if callable(method):
                self.where = f"{name}()"
                return {FLAT_MASK: method()}, everywhere
            first = self.env.envs[0] if isinstance(self.env, SyncVectorEnv) else None
            if first is not None and first.has_wrapper_attr(name):
                self.where = f"call({name!r})"
                return {FLAT_MASK: self.env.call(name)}, everywhere
        return None, ~everywhere

    def _final(self, infos: Mapping[str, Any], i: int) -> Reading | None:
        """The mask of the state in which row i's episode ended, if it is told."""
        final = infos.get("final_obs")
        if final is not None:
            one = _row_of(self.env.single_observation_space, final, i)
            if _is_dict(one) and self.key in one:
                names = (FLAT_MASK,) if self.tree is None else tuple(self.tree.mask_shapes)
                return self._read({n: one[self.key + n.removeprefix(FLAT_MASK)] for n in names})
        info = infos.get("final_info")
        if isinstance(info, Mapping) and self.key in info:
            there = info.get(f"_{self.key}")
            if there is None or there[i]:
                return self._read({FLAT_MASK: row_of(info[self.key], i)})
        return None

    def _read(self, raw: dict[str, Any] | None) -> Reading:
        reading = Reading(self.where or "nowhere")
        if raw is None or any(value is None for value in raw.values()):
            if self.settings.missing == "all" and self.tree is None:
                reading.masks = {FLAT_MASK: np.ones(self.n_actions, np.bool_)}
                reading.raw = reading.kept = {}
                reading.kind = "None = all allowed"
            return reading
        if self.form is None:
            try:
                self.form = mask_form.form_of(raw[FLAT_MASK], self._one_space, self.key)
            except ConfigError:  # may be either: the adapter says so
                self.form = "mask"
        reading.raw = raw
        reading.kept = keep_copy(raw)
        reading.kind = mask_form.dtype_of(raw[FLAT_MASK])
        masks: dict[str, np.ndarray] = {}
        for name, value in raw.items():
            if self.tree is None:
                flags, complaint = read_flags(value, self._one_space, self.form, self.settings)
            else:
                shape = self.tree.mask_shapes[name]
                flags, complaint = read_array(value, shape, name, self.settings.allowed)
            if complaint is not None:
                reading.complaints.append(complaint)
            elif flags is not None:
                masks[name] = flags
        reading.masks = masks if len(masks) == len(raw) else None
        return reading

    @property
    def _one_space(self) -> Any:
        return self.env.single_action_space

    @property
    def _head_count(self) -> int:
        return len(raw_mask.action_heads(self._one_space, self.name))


def _row_of(space: spaces.Space[Any], batch: Any, i: int) -> Any:
    """What row i sees, out of what all see: Dicts and Tuples are batched part by part."""
    if isinstance(batch, Mapping):
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        return {key: _row_of(parts.get(key, space), value, i) for key, value in batch.items()}
    if isinstance(space, spaces.Tuple) and isinstance(batch, tuple):
        return tuple(_row_of(part, x, i) for part, x in zip(space.spaces, batch, strict=True))
    return batch[i]


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)

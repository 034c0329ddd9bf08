"""A team in one observation as an audit sees it: one row for every agent that acts.

The environment is a `gymnasium.Env` or `VectorEnv`-like single world whose Dict observation
has an `agent_mask`, of slots or of a grid's cells. Agents that wait have no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from maskrl.audit.subjects.moments import Complaint, Moment, Reading, Result, Row, Subject, flatten
from maskrl.audit.subjects.readings import keep_copy, read_array
from maskrl.envs.acting_rows import ActingRows
from maskrl.envs.adapters import mask_form
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.envs.adapters.team_observation import check_team_observation
from maskrl.envs.contract import is_mask_key
from maskrl.envs.entries import TABLE_PREFIX, entries_of, mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import MaskError
from maskrl.masks.heads import IntArray
from maskrl.masks.tree import FLAT_MASK


class TeamSubject(Subject):
    """All agents of a team.

    Args:
        env: With `agent_mask` in its Dict observation.
        name: What messages call it.
        settings: What the caller said about its masks; only `allowed` counts.

    Raises:
        MaskError, ConfigError: Its spaces contradict each other.
    """

    kind = "team"

    def __init__(
        self, env: gymnasium.Env[Any, Any], name: str, settings: MaskSettings | None = None
    ) -> None:
        entries = {
            key: mask_space(*(space.shape or ())) if is_mask_key(key) else space
            for key, space in entries_of(env.observation_space).items()
        }
        self.spaces = gymnasium.spaces.Dict(entries)
        self.team = describe_team(
            self.spaces,
            env.action_space,
            _attribute(env, "action_tree"),
            max_agents=_attribute(env, "max_agents"),
        )
        super().__init__(env, name, self.team.heads)
        self.allowed = (settings or MaskSettings()).allowed
        self._acting: ActingRows | None = None

    def reset(self, seed: int | None) -> Moment:
        """Begin an episode."""
        observation, _ = self.env.reset(seed=seed)
        return Moment(self._rows(observation, begins=True))

    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """One action for every row of the last moment; others wait."""
        acting = self._acting
        given = np.stack([c for c in choices if c is not None]) if len(choices) else np.zeros(0)
        count = 0 if acting is None else len(acting)
        if acting is None or count == 0:
            action = np.zeros(self.team.action_shape, np.int64)
        else:
            action = acting.put(given, self.team)[0]
        slots = [] if acting is None else acting.slot.tolist()
        told = self.env.step(action.astype(self.env.action_space.dtype))
        observation, reward, terminated, truncated, info = told
        ended = "terminated" if terminated else "truncated" if truncated else ""
        features = flatten(observation, self._action_masks(observation))
        own = info.get("agent_rewards") if isinstance(info, Mapping) else None
        results = [
            Result(
                features,
                float(reward if own is None or slot < 0 else own[slot]),
                bool(terminated),
                bool(truncated),
            )
            for slot in slots
        ]
        return Moment(self._rows(observation, ended=ended), results, over=bool(ended))

    def _rows(self, observation: Mapping[str, Any], **more: Any) -> list[Row]:
        """A row per agent that acts; one without a name where masks cannot be read."""
        seen: dict[str, np.ndarray] = {}
        complaints: list[Complaint] = []
        for key, space in entries_of(self.spaces).items():
            if not is_mask_key(key):
                seen[key] = np.asarray(observation[key])
                continue
            allowed = self.allowed if key == FLAT_MASK or key.startswith(TABLE_PREFIX) else 1
            keep, complaint = read_array(observation.get(key), space.shape or (), key, allowed)
            if complaint is not None:
                complaints.append(complaint)
                keep = np.ones(space.shape or (), np.bool_)
            seen[key] = keep
        batch = {key: value[None] for key, value in seen.items()}
        try:
            check_team_observation(batch, self.team)
        except MaskError as error:
            complaints.append(Complaint("sources-disagree", "masks that hold together", str(error)))
        self._acting = acting = ActingRows.read(batch, self.team)
        ended = str(more.get("ended", ""))
        raws = {key: observation[key] for key in self._action_masks(observation)}
        kept = keep_copy(raws)
        kind = mask_form.dtype_of(raws[FLAT_MASK]) if FLAT_MASK in raws else "None"
        features = flatten(observation, self._action_masks(observation))
        where = "observation['action_mask']" if raws else "nowhere"
        rows = []
        for m in range(len(acting)):
            slot = int(acting.slot[m])
            who = f"agent {slot}" if slot >= 0 else f"cell {int(acting.place[m])}"
            reading = Reading(where)
            if raws:
                masks = {key: value[m] for key, value in acting.masks.items()}
                reading = Reading(where, raws, kept, kind, masks, list(complaints))
            rows.append(Row(who, not ended, reading, features, bool(more.get("begins")), ended))
        return rows

    def _action_masks(self, observation: Mapping[str, Any]) -> list[str]:
        return [k for k in observation if k == FLAT_MASK or k.startswith(TABLE_PREFIX)]


def _attribute(env: gymnasium.Env[Any, Any], name: str) -> Any:
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

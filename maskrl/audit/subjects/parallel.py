"""Agents of a PettingZoo `ParallelEnv` as an audit sees them: one row for every agent there is.

Masks are in the agents' observations or in their infos. An agent whose mask allows nothing
waits, and is given the first action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.audit.subjects.moments import Moment, Reading, Result, Row, Subject, flatten
from maskrl.audit.subjects.readings import keep_copy, read_flags
from maskrl.audit.subjects.single import as_action
from maskrl.envs.adapters import mask_form, raw_mask
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.errors import ConfigError
from maskrl.masks.heads import IntArray
from maskrl.masks.tree import FLAT_MASK


class AgentMasks:
    """Where the agents of one of PettingZoo's environments have their masks.

    Args:
        space: What one agent may do.
        settings: What the caller said about the masks.
    """

    def __init__(self, space: spaces.Space[Any], settings: MaskSettings) -> None:
        self.space = space
        self.settings = settings
        self.key = settings.key or FLAT_MASK

    def read(self, observation: Any, info: Any) -> Reading:
        """One agent's mask: of its observation if it has one there, of its info otherwise."""
        where, raw, other = "nowhere", None, None
        in_info = info.get(self.key) if isinstance(info, Mapping) else None
        if isinstance(observation, Mapping) and observation.get(self.key) is not None:
            where, raw, other = f"observation[{self.key!r}]", observation[self.key], in_info
        elif in_info is not None:
            where, raw = f"infos[agent][{self.key!r}]", in_info
        reading = Reading(where)
        if raw is None:
            return reading
        reading.raw = {FLAT_MASK: raw}
        reading.kept = keep_copy(reading.raw)
        reading.kind = mask_form.dtype_of(raw)
        flags, complaint = read_flags(raw, self.space, "mask", self.settings)
        if complaint is not None:
            reading.complaints.append(complaint)
        elif flags is not None:
            reading.masks = {FLAT_MASK: flags}
        if other is not None:
            flags, _ = read_flags(other, self.space, "mask", self.settings)
            if flags is not None:
                reading.others[f"infos[agent][{self.key!r}]"] = flags
        return reading


class ParallelSubject(Subject):
    """All agents that act at once.

    Args:
        env: A `pettingzoo.ParallelEnv`.
        name: What messages call it.
        settings: What the caller said about its masks.

    Raises:
        ConfigError: Agents have different actions, or some that take no mask.
    """

    kind = "agents at once"

    def __init__(self, env: Any, name: str, settings: MaskSettings | None = None) -> None:
        first, *others = list(env.possible_agents)
        self.space = env.action_space(first)
        for other in others:
            if env.action_space(other) != self.space:
                raise ConfigError(
                    f"environment {name!r}: {first!r} and {other!r} have different actions, "
                    f"{self.space} and {env.action_space(other)}; an audit takes them alike"
                )
        super().__init__(env, name, raw_mask.action_heads(self.space, name))
        self.masks = AgentMasks(self.space, settings or MaskSettings())
        self._agents: list[Any] = []

    def reset(self, seed: int | None) -> Moment:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed)
        self._agents = list(self.env.agents)
        rows = [self._row(a, observations, infos, begins=True) for a in self._agents]
        return Moment(rows, over=not rows)

    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """One action per agent; those that wait do the first."""
        idle = np.zeros(len(raw_mask.action_heads(self.space, self.name)), np.int64)
        given = {
            agent: as_action(idle if choice is None else choice, self.space)
            for agent, choice in zip(self._agents, choices, strict=True)
        }
        observations, rewards, terminations, truncations, infos = self.env.step(given)
        results = []
        for agent in self._agents:
            features = None
            if agent in observations:
                features = flatten(observations[agent], (self.masks.key,))
            over = bool(terminations.get(agent)), bool(truncations.get(agent))
            results.append(Result(features, float(rewards.get(agent, 0.0)), *over))
        self._agents = list(self.env.agents)
        rows = [self._row(agent, observations, infos) for agent in self._agents]
        return Moment(rows, results, over=not rows)

    def _row(self, agent: Any, observations: Any, infos: Any, *, begins: bool = False) -> Row:
        observation = observations[agent]
        reading = self.masks.read(observation, (infos or {}).get(agent, {}))
        keep = None if reading.masks is None else reading.masks[FLAT_MASK]
        acting = keep is None or bool(keep.any())
        return Row(str(agent), acting, reading, flatten(observation, (self.masks.key,)), begins)

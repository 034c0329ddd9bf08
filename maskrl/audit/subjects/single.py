"""One agent in a `gymnasium.Env`, as an audit sees it: one row without a name.

Its mask is read wherever it is at that moment; a method that gives it is asked twice, since
the same state must give the same mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from maskrl.audit.subjects.moments import (
    Complaint,
    Moment,
    Reading,
    Result,
    Row,
    Subject,
    as_number,
    flatten,
)
from maskrl.audit.subjects.readings import MaskReader, shown
from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.detect import observation_and_info
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.envs.contract import action_tree_of
from maskrl.masks.heads import IntArray


class SingleSubject(Subject):
    """One agent.

    Args:
        env: As its author wrote it.
        name: What messages call it.
        settings: What the caller said about its mask.

    Raises:
        ConfigError: The action space takes no mask.
    """

    kind = "one agent"

    def __init__(
        self, env: gymnasium.Env[Any, Any], name: str, settings: MaskSettings | None = None
    ) -> None:
        tree = action_tree_of(env)
        heads = raw_mask.action_heads(env.action_space, name)
        super().__init__(env, name, heads if tree is None else tree)
        self.reader = MaskReader(env, settings or MaskSettings(), tree)
        self.unsteady: list[Complaint] = []
        """Masks that differed when a method was asked for them twice."""

    def reset(self, seed: int | None) -> Moment:
        """Begin an episode."""
        observation, info = observation_and_info(self.env.reset(seed=seed), self.name)
        return Moment([self._row(observation, info, begins=True)])

    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """One action, one row per head."""
        action = as_action(choices[0], self.env.action_space)
        observation, reward, terminated, truncated, info = self.env.step(action)
        ended = "terminated" if terminated else "truncated" if truncated else ""
        row = self._row(observation, info, ended=ended)
        result = Result(row.features, as_number(reward), bool(terminated), bool(truncated))
        return Moment([row], [result], over=bool(ended))

    def _read_again(self, reading: Reading, observation: Any, info: Mapping[str, Any]) -> None:
        """Ask a method for its mask a second time, and note a difference."""
        again = self.reader.read(self.env, observation, info)
        if reading.masks is None or again.masks is None:
            return
        for name, keep in reading.masks.items():
            if not np.array_equal(keep, again.masks[name]):
                first, second = shown(keep.astype(int)), shown(again.masks[name].astype(int))
                words = f"{self.reader.where}, asked twice in the same state, gives two masks"
                self.unsteady.append(Complaint(words, f"{first} again", second))

    def _row(self, observation: Any, info: Any, *, begins: bool = False, ended: str = "") -> Row:
        held = info if isinstance(info, Mapping) else {}
        reading = self.reader.read(self.env, observation, held)
        if reading.seconds is not None:
            self._read_again(reading, observation, held)
        features = flatten(observation, mask_entries(self.reader))
        return Row("", not ended, reading, features, begins, ended)


def mask_entries(reader: MaskReader) -> list[str]:
    """Entries of an observation that are the mask under audit, and so no features."""
    places = [place for place in (reader.place, *reader.confirming) if place is not None]
    names = [place.name for place in places if place.source == "observation"]
    tables = () if reader.tree is None else reader.tree.mask_shapes
    return [*names, *tables]


def as_action(choice: IntArray | None, action_space: Any) -> Any:
    """Choices of heads, counted from 0, as the environment's own space has its actions."""
    if choice is None:
        raise ValueError("a single agent never waits")
    row = choice if len(choice) > 1 else choice.reshape(action_space.shape or ())
    return raw_mask.to_space(row, action_space)

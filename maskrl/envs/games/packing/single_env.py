"""One packing world as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrl.envs.games.packing.rules import worth
from maskrl.envs.games.packing.scene import Item, Scene
from maskrl.envs.games.packing.settings import (
    REWARD_PER_POINT,
    S_CAPACITY,
    S_ITEMS,
    S_OFFERED,
    S_ROOM,
    S_STEP,
    S_TAKEN,
)
from maskrl.envs.games.packing.stepping import GOES_ON, OUT_OF_TIME, PACKED
from maskrl.envs.games.packing.vector_env import PackingVectorEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.envs.games.vector_world import Observation
from maskrl.errors import ConfigError

_OUTCOME_NAMES = {GOES_ON: None, PACKED: "packed", OUT_OF_TIME: "timeout"}
_NEVER = -1


class PackingEnv(SingleWorld[np.int64, PackingVectorEnv]):
    """One rucksack and what is offered for it.

    Arguments are those of `SingleWorld`, and the fields of `PackingSettings`.
    """

    metadata = {**SingleWorld.metadata, "render_fps": 2}
    vector_env = PackingVectorEnv

    def _forget(self) -> None:
        self._outcome = GOES_ON
        self._last_slot = _NEVER
        self._packed_worth = np.zeros(self.settings.slots, np.int64)

    @property
    def action_names(self) -> tuple[str, ...]:
        """What taking the item of each slot is called."""
        return self._worlds.action_names

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take the item of a slot; a disallowed action is counted and takes nothing.

        Raises:
            ConfigError: The episode is over, or `reset` was never called.
        """
        self._require_under_way()
        given = np.asarray(action)
        if (
            given.size != 1
            or given.dtype.kind not in "iu"
            or not 0 <= int(given.item()) < self.settings.slots
        ):
            raise ConfigError(
                "packing: action must be the number of a slot, from 0 to "
                f"{self.settings.slots - 1}; got {action!r}"
            )
        slot = int(given.item())
        illegal_before = self.illegal_actions
        found, _ = self._step(np.array([slot]))
        self._outcome = int(self._worlds._results[3][0])
        self._last_slot = _NEVER
        if self.illegal_actions == illegal_before:
            self._last_slot = slot
            self._packed_worth[slot] = round(found[1] / REWARD_PER_POINT)
        return found

    def get_state(self) -> dict[str, Any]:
        """Everything that the future and the picture depend on, as copies."""
        return {
            "worlds": self._worlds.get_state(),
            "outcome": self._outcome if self._begun else None,
            "last_slot": self._last_slot,
            "packed_worth": self._packed_worth.copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        self._worlds.set_state(state["worlds"])
        outcome = state["outcome"]
        self._begun, self._under_way = outcome is not None, outcome == GOES_ON
        self._outcome = GOES_ON if outcome is None else outcome
        self._last_slot = int(state["last_slot"])
        self._packed_worth[:] = state["packed_worth"]

    def scene(self) -> Scene:
        """This moment as plain data, for pictures."""
        self._require_begun()
        state, slots = self._worlds._state[0], self.settings.slots
        table = state[S_ITEMS:].reshape(3, slots)
        return Scene(
            items=tuple(self._item(slot, *map(int, table[:, slot])) for slot in range(slots)),
            room=int(state[S_ROOM]),
            capacity=int(state[S_CAPACITY]),
            earned=int(self._packed_worth.sum()),
            step=int(state[S_STEP]),
            step_limit=self.settings.step_limit,
            last_slot=None if self._last_slot == _NEVER else self._last_slot,
            outcome=_OUTCOME_NAMES[self._outcome],  # type: ignore[arg-type]
        )

    def _item(self, slot: int, weight: int, points: int, loss: int) -> Item:
        state = self._worlds._state[0]
        if not state[S_OFFERED] >> slot & 1:
            return Item(0, 0, 0, 0, "empty")
        if state[S_TAKEN] >> slot & 1:
            return Item(weight, points, int(self._packed_worth[slot]), loss, "taken")
        now = int(worth(points, loss, int(state[S_STEP])))
        if now == 0:
            return Item(weight, points, now, loss, "spoiled")
        fits = weight <= state[S_ROOM]
        return Item(weight, points, now, loss, "free" if fits else "heavy")

    def _draw(self) -> Any:
        from maskrl.envs.games.packing.drawing import draw_scene

        return draw_scene(self.scene())

    def _tell(self) -> str:
        from maskrl.envs.games.packing.ansi import scene_text

        return scene_text(self.scene())

"""One packing world as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

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
from maskrl.envs.games.packing.vector_env import Observation, PackingVectorEnv
from maskrl.errors import ConfigError

_OUTCOME_NAMES = {GOES_ON: None, PACKED: "packed", OUT_OF_TIME: "timeout"}
_NEVER = -1


class PackingEnv(gymnasium.Env[Observation, np.int64]):
    """One rucksack and what is offered for it.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play in this order (a number n: the first n of the split);
            by default random ones of the split.
        **settings: Fields of `PackingSettings`.

    Raises:
        ConfigError: A setting or the render mode is unknown or out of range.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 2}

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None = None,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array", "ansi"):
            raise ConfigError(
                f"packing: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._worlds = PackingVectorEnv(1, seed=seed, layout_seeds=layout_seeds, **settings)
        self._worlds._autoreset = False
        self.settings = self._worlds.settings
        self.observation_space = self._worlds.single_observation_space
        self.action_space = self._worlds.single_action_space
        self.action_names = self._worlds.action_names
        self._outcome: int | None = None
        self._last_slot = _NEVER
        self._packed_worth = np.zeros(self.settings.slots, np.int64)

    @property
    def illegal_actions(self) -> int:
        """Disallowed actions that were sent so far; nothing was taken for them."""
        return self._worlds.illegal_actions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode; see `PackingVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, infos = self._worlds.reset(seed=seed, options=options)
        self._outcome = GOES_ON
        self._last_slot = _NEVER
        self._packed_worth[:] = 0
        return _first(observation), {"layout_id": int(infos["layout_id"][0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take the item of a slot; a disallowed action is counted and takes nothing.

        Raises:
            ConfigError: The episode is over, or `reset` was never called.
        """
        if self._outcome != GOES_ON:
            when = "before the first reset" if self._outcome is None else "after the episode's end"
            raise ConfigError(f"packing: step was called {when}; call reset first")
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
        observation, rewards, terminated, truncated, infos = self._worlds.step(np.array([slot]))
        self._outcome = int(self._worlds._results[3][0])
        self._last_slot = _NEVER
        if self.illegal_actions == illegal_before:
            self._last_slot = slot
            self._packed_worth[slot] = round(rewards[0] / REWARD_PER_POINT)
        info = {"layout_id": int(infos["layout_id"][0])}
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            info,
        )

    def get_state(self) -> dict[str, Any]:
        """Everything that the future and the picture depend on, as copies."""
        return {
            "worlds": self._worlds.get_state(),
            "outcome": self._outcome,
            "last_slot": self._last_slot,
            "packed_worth": self._packed_worth.copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        self._worlds.set_state(state["worlds"])
        self._outcome = state["outcome"]
        self._last_slot = int(state["last_slot"])
        self._packed_worth[:] = state["packed_worth"]

    def scene(self) -> Scene:
        """This moment as plain data, for pictures."""
        if self._outcome is None:
            raise ConfigError("packing: there is no scene before the first reset; call reset first")
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

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            from maskrl.envs.games.packing.drawing import draw_scene

            return draw_scene(self.scene())
        if self.render_mode == "ansi":
            from maskrl.envs.games.packing.ansi import scene_text

            return scene_text(self.scene())
        return None


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}

"""One outpost as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.outpost.drawing import Scene, draw_scene, scene_text
from maskrl.envs.games.outpost.settings import OUTPOST_TREE
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.envs.games.vector_world import Observation

Shown = tuple[int, tuple[int, ...] | None, bool]
"""What pictures show of the steps before: points, the last command, whether it was refused."""


class OutpostEnv(SingleWorld[npt.NDArray[np.int64], OutpostVectorEnv]):
    """One outpost and its commander.

    Arguments are those of `SingleWorld`, and the fields of `OutpostSettings`.
    """

    vector_env = OutpostVectorEnv
    action_tree = OUTPOST_TREE

    def _forget(self) -> None:
        self._shown: Shown = (0, None, False)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out one command [4]; of one that is not allowed nothing comes but the time.

        Raises:
            ConfigError: The episode is over, `reset` was never called, or the action is
                none of the action space.
        """
        self._require_under_way()
        before, points = self.illegal_actions, self._shown[0]
        found, _ = self._step(np.asarray(action)[None])
        command = tuple(int(choice) for choice in action)
        self._shown = (points + int(found[1]), command, self.illegal_actions > before)
        return found

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        return {
            "outposts": self._worlds.get_state(),
            "under_way": self._under_way,
            "shown": self._shown if self._begun else None,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        self._worlds.set_state(state["outposts"])
        shown = state["shown"]
        self._begun, self._under_way = shown is not None, bool(state["under_way"])
        self._forget()
        if shown is not None:
            self._shown = tuple(shown)

    def scene(self) -> Scene:
        """This moment as plain data, for pictures.

        Raises:
            ConfigError: `reset` was never called.
        """
        self._require_begun()
        state = tuple(int(number) for number in self._worlds.state[0])
        return Scene(state, self.settings.step_limit, *self._shown)

    def _draw(self) -> Any:
        return draw_scene(self.scene())

    def _tell(self) -> str:
        return scene_text(self.scene())

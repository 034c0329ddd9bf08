"""One mining world as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.mining.scene import MiningScene, scene_of
from maskrl.envs.games.mining.settings import (
    B_LEFT,
    B_OWNER,
    DIRECTIONS,
    HEAD_NAMES,
    KINDS,
    NONE,
    ORDERS,
    OWN,
    PUBLISHED,
)
from maskrl.envs.games.mining.vector_env import MiningVectorEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.envs.games.vector_world import LayoutSeeds, Observation


class MiningEnv(SingleWorld[npt.NDArray[np.int64], MiningVectorEnv]):
    """One mining world and who gives its orders.

    Arguments are those of `SingleWorld`, and the fields of `MiningSettings`.

    Attributes:
        counts_as_invalid: With published masks, what says whether the task's own statistics
            would count an action as invalid in this moment, which is what the article's
            penalties are for: no unit of one's own is in the cell, or a busy one that is told
            to do something. None with the other masks.
    """

    vector_env = MiningVectorEnv

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        layout_seeds: LayoutSeeds = None,
        **settings: Any,
    ) -> None:
        super().__init__(render_mode=render_mode, seed=seed, layout_seeds=layout_seeds, **settings)
        self.action_tree = self._worlds.action_tree
        # With the other masks everything that is not carried out is disallowed.
        published = self.settings.mode == PUBLISHED
        self.counts_as_invalid = self._counted_by_the_task if published else None

    def _forget(self) -> None:
        self._points = 0
        self._action: tuple[int, ...] | None = None
        self._fate = 0

    @property
    def action_head_names(self) -> tuple[str, ...]:
        """What the parts of an order are called."""
        return HEAD_NAMES

    @property
    def action_names(self) -> tuple[tuple[str, ...], ...]:
        """What their choices are called; cells are numbers, row by row."""
        cells = tuple(map(str, range(self.settings.cells)))
        return (cells, ORDERS, *[DIRECTIONS] * 4, KINDS, cells)

    @property
    def fates(self) -> dict[str, int]:
        """How many orders met each fate so far, by name."""
        return self._worlds.fates

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Give one order [8]; see `MiningVectorEnv.step`.

        Raises:
            ConfigError: The episode is over, `reset` was never called, or the action is
                none of the action space.
        """
        self._require_under_way()
        found, infos = self._step(np.asarray(action)[None])
        self._points += int(found[1])
        self._action = tuple(int(part) for part in np.asarray(action))
        self._fate = found[4]["fate"] = int(infos["fate"][0])
        return found

    def _counted_by_the_task(self, action: Any) -> bool:
        cell, what = self._worlds._checked(np.asarray(action)[None])[0, :2].tolist()
        board = self._worlds._world[0][0]
        if board[B_OWNER, cell] != OWN:
            return True
        return bool(board[B_LEFT, cell] > 0 and what != NONE)

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        return {
            "worlds": self._worlds.get_state(),
            "under_way": self._under_way,
            "begun": self._begun,
            "points": self._points,
            "action": self._action,
            "fate": self._fate,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        self._worlds.set_state(state["worlds"])
        self._under_way = bool(state["under_way"])
        self._begun = bool(state["begun"])
        self._points = int(state["points"])
        action = state["action"]
        self._action = None if action is None else tuple(int(part) for part in action)
        self._fate = int(state["fate"])

    def scene(self) -> MiningScene:
        """This moment as plain data, for pictures.

        Raises:
            ConfigError: `reset` was never called.
        """
        self._require_begun()
        board, counts = self._worlds._world[0][0], self._worlds._world[1][0]
        return scene_of(board, counts, points=self._points, action=self._action, fate=self._fate)

    def _draw(self) -> Any:
        from maskrl.envs.adapters.microrts.drawing import draw_scene

        return draw_scene(self.scene())

    def _tell(self) -> str:
        from maskrl.envs.adapters.microrts.ansi import scene_text

        return scene_text(self.scene())

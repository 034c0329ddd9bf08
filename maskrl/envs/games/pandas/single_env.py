"""One world of pandas as a Gymnasium environment.

The same compiled step as `PandasVectorEnv`, for one world, without automatic reset: what a
vector environment of one world does, this does to the bit. `info["agent_rewards"]` holds
what each agent got in the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.pandas.rules import ENDINGS, GOES_ON
from maskrl.envs.games.pandas.scene import TeamScene
from maskrl.envs.games.pandas.settings import ABSENT, ACTION_NAMES
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.envs.games.vector_world import Observation
from maskrl.errors import ConfigError


class PandasEnv(SingleWorld[npt.NDArray[np.int64], PandasVectorEnv]):
    """One team of pandas, its watermelons and scorpions.

    Arguments are those of `SingleWorld`, and the fields of `PandasSettings`.
    """

    vector_env = PandasVectorEnv
    action_names = ACTION_NAMES
    gives_agent_rewards = True

    def _forget(self) -> None:
        self._ending = GOES_ON
        self._last_actions: tuple[str | None, ...] = ()
        self._fallen: tuple[int, ...] = ()
        self._reward = 0.0

    @property
    def entity_names(self) -> list[str | None]:
        """Name of every entity slot, None for slots that hold nothing at the moment."""
        settings = self.settings
        kinds = (
            ("panda", settings.pandas),
            ("watermelon", settings.watermelons),
            ("scorpion", settings.scorpions),
            ("tree", settings.max_trees),
        )
        names = [f"{kind} {number}" for kind, count in kinds for number in range(1, count + 1)]
        return [
            name if cell != ABSENT else None
            for name, cell in zip(names, self._entity_cells(), strict=True)
        ]

    @property
    def entity_places(self) -> list[tuple[float, float] | None]:
        """Where every entity slot stands in the picture, None for slots that hold nothing.

        The middle of its cell, counted from the picture's top left corner, x to the right and y
        downwards, both in widths of the picture: so it holds at any size.
        """
        width = self.settings.width
        return [
            None
            if cell == ABSENT
            else ((cell % width + 0.5) / width, (cell // width + 0.5) / width)
            for cell in self._entity_cells()
        ]

    def _entity_cells(self) -> list[int]:
        """The cell of every entity slot, `ABSENT` for padding."""
        world = self._worlds._world
        pandas = np.where(world.rest[0] >= 0, world.pandas[0], ABSENT)
        rest = (world.melons[0], world.scorpions[0], world.tree_cells[0])
        return [int(cell) for cell in np.concatenate((pandas, *rest))]

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let every panda do its action; a disallowed one is counted and done as `stay`.

        Args:
            action: integers [N] for the scene, [H, W] for the grid.

        Returns:
            Observation, what all pandas got together, terminated, truncated, and info with
            `layout_id`, `agent_rewards` float64 [N], and at the end `ending`, in words.

        Raises:
            ConfigError: The episode is over, `reset` was never called, or the actions have a
                wrong shape, dtype or range.
        """
        self._require_under_way()
        array = np.asarray(action)
        if array.shape != self.action_space.shape:
            raise ConfigError(
                f"pandas: an action must be integers of shape {self.action_space.shape}; got "
                f"{array.dtype} of shape {array.shape}"
            )
        world = self._worlds._world
        alive, stood = world.rest[0] >= 0, world.pandas[0].copy()
        found, infos = self._step(array[None])
        self._remember(alive, stood, found[1])
        info = found[4]
        info["agent_rewards"] = infos["agent_rewards"][0]
        if "final_info" in infos:
            self._ending = int(infos["final_info"]["ending"][0])
            info["ending"] = ENDINGS[self._ending]
        return found

    def _remember(
        self, alive: npt.NDArray[np.bool_], stood: npt.NDArray[np.int32], reward: float
    ) -> None:
        """Keep what pictures show of this step: who moved where, and who was caught."""
        world, grid = self._worlds._world, self._worlds._facts.grid
        caught = alive & (world.rest[0] < 0)
        self._fallen = tuple(int(cell) for cell in world.pandas[0, caught])
        self._reward += reward
        actions: list[str | None] = []
        for n, before in enumerate(stood):
            after = world.pandas[0, n]
            lives = alive[n] and world.rest[0, n] >= 0
            beside: list[int] = grid.ahead[before].tolist()
            moved = lives and int(after) in beside
            actions.append(ACTION_NAMES[1 + beside.index(int(after))] if moved else None)
        self._last_actions = tuple(actions)

    def scene(self) -> TeamScene:
        """This moment as plain data, for pictures."""
        self._require_begun()
        settings, world = self.settings, self._worlds._world
        rest = world.rest[0]
        return TeamScene(
            width=settings.width,
            height=settings.height,
            pandas=tuple(
                self._cell(cell) if lives else None
                for cell, lives in zip(world.pandas[0], rest >= 0, strict=True)
            ),
            chewing=tuple(int(steps) for steps in np.maximum(rest, 0)),
            fallen=tuple(self._cell(cell) for cell in self._fallen),
            watermelons=tuple(self._cell(c) for c in world.melons[0] if c != ABSENT),
            scorpions=tuple(self._cell(cell) for cell in world.scorpions[0]),
            trees=tuple(self._cell(c) for c in world.tree_cells[0] if c != ABSENT),
            watermelons_at_first=settings.watermelons,
            last_actions=self._last_actions,
            reward=self._reward,
            ending=None if self._ending == GOES_ON else ENDINGS[self._ending],
            step=int(world.steps[0]),
            step_limit=settings.step_limit,
        )

    def _cell(self, cell: Any) -> tuple[int, int]:
        return int(cell) % self.settings.width, int(cell) // self.settings.width

    def _draw(self) -> Any:
        from maskrl.envs.games.pandas.drawing import draw_team

        return draw_team(self.scene())

    def _tell(self) -> str:
        from maskrl.envs.games.pandas.ansi import team_text

        return team_text(self.scene())

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on: continuing from it is exact."""
        return {**self._worlds.get_state(), "ending": self._ending if self._begun else None}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave, of this or of a vector environment.

        Raises:
            ConfigError: The state is of another world or damaged.
        """
        self._worlds.set_state(state)
        self._forget()
        ending = state.get("ending", GOES_ON)
        self._begun, self._under_way = ending is not None, ending == GOES_ON
        self._ending = GOES_ON if ending is None else ending

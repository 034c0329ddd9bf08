"""One world of pandas as a Gymnasium environment.

The same compiled step as `PandasVectorEnv`, for one world, without automatic reset: what a
vector environment of one world does, this does to the bit. `info["agent_rewards"]` holds
what each agent got in the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from maskrl.envs.games.pandas.rules import ENDINGS, GOES_ON
from maskrl.envs.games.pandas.scene import TeamScene
from maskrl.envs.games.pandas.settings import ABSENT, ACTION_NAMES
from maskrl.envs.games.pandas.vector_env import Observation, PandasVectorEnv
from maskrl.errors import ConfigError


class PandasEnv(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """One team of pandas, its watermelons and scorpions.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play in this order (a number n: the first n of the split);
            by default random ones of the split.
        **settings: Fields of `PandasSettings`.

    Raises:
        ConfigError: A setting or the render mode is unknown or out of range.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}
    action_names = ACTION_NAMES
    gives_agent_rewards = True

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
                f"pandas: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._worlds = PandasVectorEnv(1, seed=seed, layout_seeds=layout_seeds, **settings)
        self._worlds._autoreset = False
        self.settings = self._worlds.settings
        self.observation_space = self._worlds.single_observation_space
        self.action_space = self._worlds.single_action_space
        self._ending: int | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget what pictures show of the steps before."""
        self._last_actions: tuple[str | None, ...] = ()
        self._fallen: tuple[int, ...] = ()
        self._reward = 0.0

    @property
    def illegal_actions(self) -> int:
        """Disallowed actions that were sent so far; each was done as `stay`."""
        return self._worlds.illegal_actions

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

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode; see `PandasVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, infos = self._worlds.reset(seed=seed, options=options)
        self._ending = GOES_ON
        self._begin()
        return _first(observation), {"layout_id": int(infos["layout_id"][0])}

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
        if self._ending != GOES_ON:
            when = "before the first reset" if self._ending is None else "after the episode's end"
            raise ConfigError(f"pandas: step was called {when}; call reset first")
        array = np.asarray(action)
        if array.shape != self.action_space.shape:
            raise ConfigError(
                f"pandas: an action must be integers of shape {self.action_space.shape}; got "
                f"{array.dtype} of shape {array.shape}"
            )
        world = self._worlds._world
        alive, stood = world.rest[0] >= 0, world.pandas[0].copy()
        observation, rewards, terminated, truncated, infos = self._worlds.step(array[None])
        self._remember(alive, stood, float(rewards[0]))
        self._ending = GOES_ON
        info = {"layout_id": int(infos["layout_id"][0]), "agent_rewards": infos["agent_rewards"][0]}
        if "final_info" in infos:
            self._ending = int(infos["final_info"]["ending"][0])
            info["ending"] = ENDINGS[self._ending]
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            info,
        )

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
        if self._ending is None:
            raise ConfigError("pandas: there is no scene before the first reset; call reset first")
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

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            from maskrl.envs.games.pandas.drawing import draw_team

            return draw_team(self.scene())
        if self.render_mode == "ansi":
            from maskrl.envs.games.pandas.ansi import team_text

            return team_text(self.scene())
        return None

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on: continuing from it is exact."""
        return {**self._worlds.get_state(), "ending": self._ending}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave, of this or of a vector environment.

        Raises:
            ConfigError: The state is of another world or damaged.
        """
        self._worlds.set_state(state)
        self._ending = state.get("ending", GOES_ON)
        self._begin()


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}

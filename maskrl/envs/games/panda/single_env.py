"""One panda world as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from maskrl.envs.games.panda.rules import NO_TARGET, action_allowed, in_view, throw_target
from maskrl.envs.games.panda.scene import Scene
from maskrl.envs.games.panda.settings import (
    ACTION_NAMES,
    ACTIONS,
    DIRECTIONS,
    FIRST_FACING,
    PANDA,
    S_BANANAS,
    S_CARRYING,
    S_PANDA,
    S_STEP,
    S_TREES,
    S_WATERMELON,
    TREE,
    USE_ITEM,
)
from maskrl.envs.games.panda.stepping import CAUGHT, GOES_ON, OUT_OF_TIME, WON
from maskrl.envs.games.panda.vector_env import Observation, PandaVectorEnv
from maskrl.errors import ConfigError

_OUTCOME_NAMES = {GOES_ON: None, WON: "won", CAUGHT: "caught", OUT_OF_TIME: "timeout"}


class PandaEnv(gymnasium.Env[Observation, np.int64]):
    """One panda, its watermelon, scorpions and dragons.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play in this order (a number n: the first n of the split);
            by default random ones of the split.
        **settings: Fields of `PandaSettings`.

    Raises:
        ConfigError: A setting or the render mode is unknown or out of range.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}
    action_names = ACTION_NAMES

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
                f"panda: render_mode must be 'rgb_array', 'ansi' or None; got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._worlds = PandaVectorEnv(1, seed=seed, layout_seeds=layout_seeds, **settings)
        self._worlds._autoreset = False
        self.settings = self._worlds.settings
        self.observation_space = self._worlds.single_observation_space
        self.action_space = self._worlds.single_action_space
        self._outcome: int | None = None
        self._last_action: int | None = None
        self._thrown_at: tuple[int, int] | None = None

    @property
    def illegal_actions(self) -> int:
        """Disallowed actions that were sent so far; each was done as `wait`."""
        return self._worlds.illegal_actions

    @property
    def entity_names(self) -> list[str | None]:
        """Name of every entity slot, None for slots that hold nothing at the moment."""
        settings, state = self.settings, self._worlds._state[0]
        view = self._worlds._view
        names: list[str | None] = ["panda", "watermelon"]
        names += [
            name if state[column] >= 0 else None
            for name, column in zip(self._creature_names(), view.cast.cells, strict=True)
        ]
        for k in range(view.shown_bananas):
            there = k < settings.banana_slots and state[S_BANANAS + k] >= 0
            names.append(f"banana {k + 1}" if there else None)
        for k in range(int((view.kinds == TREE).sum())):
            names.append(f"tree {k + 1}" if k < state[S_TREES] else None)
        return names

    @property
    def entity_places(self) -> list[tuple[float, float] | None]:
        """Where every entity slot stands in the picture, None for slots that hold nothing.

        The middle of its cell, counted from the picture's top left corner, x to the right and y
        downwards, both in widths of the picture: so it holds at any size.
        """
        width = self.settings.width
        return [
            None if cell < 0 else ((cell % width + 0.5) / width, (cell // width + 0.5) / width)
            for cell in self._worlds._cells[0].tolist()
        ]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin the next episode; see `PandaVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, infos = self._worlds.reset(seed=seed, options=options)
        self._outcome = GOES_ON
        self._last_action = None
        self._thrown_at = None
        return _first(observation), {"layout_id": int(infos["layout_id"][0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do one action; a disallowed one is counted and done as `wait`.

        Raises:
            ConfigError: The episode is over, or `reset` was never called.
        """
        if self._outcome != GOES_ON:
            when = "before the first reset" if self._outcome is None else "after the episode's end"
            raise ConfigError(f"panda: step was called {when}; call reset first")
        if (
            isinstance(action, bool)
            or not np.issubdtype(np.asarray(action).dtype, np.integer)
            or np.asarray(action).size != 1
            or not 0 <= int(action) < ACTIONS
        ):
            raise ConfigError(
                f"panda: action must be a whole number from 0 to {ACTIONS - 1} "
                f"({', '.join(ACTION_NAMES)}); got {action!r}"
            )
        chosen = int(action)
        legal = self._legal(chosen)
        self._last_action = chosen if legal else None
        self._thrown_at = self._throw_cell() if legal and chosen == USE_ITEM else None
        observation, rewards, terminated, truncated, infos = self._worlds.step(np.array([chosen]))
        self._outcome = int(infos["final_info"]["outcome"][0]) if "final_info" in infos else GOES_ON
        info = {"layout_id": int(infos["layout_id"][0])}
        return (
            _first(observation),
            float(rewards[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            info,
        )

    def _legal(self, action: int) -> bool:
        """Whether the panda may do this now."""
        state, tree_at = self._worlds._state[0], self._worlds._tree_at[0]
        grid = self._worlds._view.grid
        return bool(action_allowed(action, state[S_PANDA], state[S_CARRYING], tree_at, grid))

    def _throw_cell(self) -> tuple[int, int] | None:
        """Cell of the creature that a banana thrown now hits, None when it hits nobody."""
        worlds = self._worlds
        cast = worlds._view.cast
        target = throw_target(worlds._state[0], worlds._trees[0], cast, worlds._view.grid)
        if target == NO_TARGET:
            return None
        return self._cell(int(worlds._state[0, cast.cells[target]]))

    def _creature_names(self) -> list[str]:
        """Names of the scorpions and dragons that there may be, in the order of their slots."""
        settings = self.settings
        return [
            kind if number == 0 else f"{kind} {number + 1}"
            for kind, count in (
                ("scorpion", settings.max_scorpions),
                ("dragon", settings.max_dragons),
            )
            for number in range(count)
        ]

    def _cell(self, cell: int) -> tuple[int, int]:
        return cell % self.settings.width, cell // self.settings.width

    def scene(self) -> Scene:
        """This moment as plain data, for pictures."""
        if self._outcome is None:
            raise ConfigError("panda: there is no scene before the first reset; call reset first")
        settings, state = self.settings, self._worlds._state[0]
        lying = [
            int(cell) for cell in state[S_BANANAS : S_BANANAS + settings.banana_slots] if cell >= 0
        ]
        first_tree = S_BANANAS + settings.banana_slots
        standing = state[first_tree : first_tree + state[S_TREES]]
        seen = self._sight()
        cast = self._worlds._view.cast
        creatures = {
            name: int(state[column])
            for name, column in zip(self._creature_names(), cast.cells, strict=True)
            if state[column] >= 0
        }
        stunned = {
            name
            for name, column in zip(self._creature_names(), cast.stuns, strict=True)
            if state[column]
        }
        named = {"watermelon": int(state[S_WATERMELON])} | creatures
        named |= {f"banana {k + 1}": cell for k, cell in enumerate(lying)}
        looking: dict[str, str] = {}
        if cast.faces:
            facings = [DIRECTIONS[int(state[column])] for column in cast.facings]
            everybody = ["panda", *self._creature_names()]
            looking = {
                name: facing
                for name, facing in zip(everybody, facings, strict=True)
                if name == "panda" or name in creatures
            }

        def cells_of(kind: str) -> tuple[tuple[int, int], ...]:
            return tuple(
                self._cell(cell) for name, cell in creatures.items() if name.split()[0] == kind
            )

        scorpions, dragons = cells_of("scorpion"), cells_of("dragon")
        return Scene(
            width=settings.width,
            height=settings.height,
            panda=self._cell(int(state[S_PANDA])),
            watermelon=self._cell(int(state[S_WATERMELON])),
            scorpion=scorpions[0] if scorpions else None,
            dragon=dragons[0] if dragons else None,
            more_scorpions=scorpions[1:],
            more_dragons=dragons[1:],
            bananas=tuple(self._cell(cell) for cell in lying),
            trees=tuple(self._cell(int(cell)) for cell in standing),
            carrying=bool(state[S_CARRYING]),
            scorpion_stunned="scorpion" in stunned,
            dragon_stunned="dragon" in stunned,
            more_stunned=frozenset(stunned - {"scorpion", "dragon"}),
            facing=tuple(sorted(looking.items())),
            hidden=frozenset(name for name, cell in named.items() if not seen[cell]),
            unseen_cells=tuple(self._cell(int(cell)) for cell in np.flatnonzero(~seen)),
            last_action=None if self._last_action is None else ACTION_NAMES[self._last_action],
            thrown_at=self._thrown_at,
            outcome=_OUTCOME_NAMES[self._outcome],  # type: ignore[arg-type]
            step=int(state[S_STEP]),
            step_limit=settings.step_limit,
        )

    def _sight(self) -> npt.NDArray[np.bool_]:
        """Cells that the panda sees: bool [cells]."""
        if self.settings.sight == "full":
            return np.ones(self.settings.cells, np.bool_)
        state, trees, view = self._worlds._state[0], self._worlds._trees[0], self._worlds._view
        facing = int(state[view.cast.facings[0]]) if view.cast.faces else FIRST_FACING
        return np.array(
            [
                in_view(PANDA, facing, int(state[S_PANDA]), cell, trees, view.grid)
                for cell in range(self.settings.cells)
            ]
        )

    def render(self) -> Any:
        """A picture: uint8 [h, w, 3] for `rgb_array`, text for `ansi`, None without a mode."""
        if self.render_mode == "rgb_array":
            from maskrl.envs.games.panda.drawing import draw_scene

            return draw_scene(self.scene())
        if self.render_mode == "ansi":
            from maskrl.envs.games.panda.ansi import scene_text

            return scene_text(self.scene())
        return None


def _first(observation: Observation) -> Observation:
    return {name: array[0] for name, array in observation.items()}

"""One panda world as an ordinary Gymnasium environment, with pictures.

A thin shell around a vector environment of size one: the rules exist once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.envs.games.single_world import SingleWorld
from maskrl.envs.games.vector_world import Observation
from maskrl.errors import ConfigError

_OUTCOME_NAMES = {GOES_ON: None, WON: "won", CAUGHT: "caught", OUT_OF_TIME: "timeout"}


class PandaEnv(SingleWorld[np.int64, PandaVectorEnv]):
    """One panda, its watermelon, scorpions and dragons.

    Arguments are those of `SingleWorld`, and the fields of `PandaSettings`.
    """

    vector_env = PandaVectorEnv
    action_names = ACTION_NAMES

    def _forget(self) -> None:
        self._outcome = GOES_ON
        self._last_action: int | None = None
        self._thrown_at: tuple[int, int] | None = None

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

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do one action; a disallowed one is counted and done as `wait`.

        Raises:
            ConfigError: The episode is over, or `reset` was never called.
        """
        self._require_under_way()
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
        found, infos = self._step(np.array([chosen]))
        self._outcome = int(infos["final_info"]["outcome"][0]) if "final_info" in infos else GOES_ON
        return found

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        return {
            "worlds": self._worlds.get_state(),
            "outcome": self._outcome if self._begun else None,
            "last_action": self._last_action,
            "thrown_at": self._thrown_at,
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
        self._last_action, self._thrown_at = state["last_action"], state["thrown_at"]

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
        self._require_begun()
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

    def _draw(self) -> Any:
        from maskrl.envs.games.panda.drawing import draw_scene

        return draw_scene(self.scene())

    def _tell(self) -> str:
        from maskrl.envs.games.panda.ansi import scene_text

        return scene_text(self.scene())

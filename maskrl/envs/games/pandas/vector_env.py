"""The pandas' world, many at a time: a Gymnasium vector environment over one compiled step.

A team environment: what is observed holds `agent_mask`, `alive` and an `action_mask` for
every agent, as slots of a scene or as cells of a grid, and `infos["agent_rewards"]` what
each agent got. An episode that ends is followed by the next one in the same step; its last
observation is in `infos["final_obs"]`. The whole state, randomness included, can be saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.games.copies import CopyPool
from maskrl.envs.games.pandas.layouts import no_room
from maskrl.envs.games.pandas.scene_view import GRID, SCENE, Told, room_to_tell
from maskrl.envs.games.pandas.settings import (
    ABSENT,
    ACTION_NAMES,
    ACTIONS,
    FEATURES,
    PLANES,
    RULES_VERSION,
    PandasSettings,
)
from maskrl.envs.games.pandas.stepping import (
    begin_episode,
    make_results,
    make_scratch,
    step_all,
    tell_all,
)
from maskrl.envs.games.pandas.world import SAVED, derive_all, empty_world, make_facts
from maskrl.envs.games.vector_world import Observation, VectorWorld
from maskrl.envs.games.world_arguments import read_only
from maskrl.errors import ConfigError


def pandas_spaces(settings: PandasSettings) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
    """The observation and action space of one team of pandas."""
    pandas, slots = settings.pandas, settings.entity_slots
    height, width = settings.height, settings.width
    alive = mask_space(pandas)
    if settings.form == "grid":
        planes = (len(PLANES), height, width)
        grid: dict[str, spaces.Space[Any]] = {
            "grid": spaces.Box(0.0, 1.0, planes, dtype=np.float32),
            "action_mask": mask_space(ACTIONS, height, width),
            "agent_mask": mask_space(height, width),
            "agent_cells": spaces.Box(-1, settings.cells - 1, (pandas,), dtype=np.int64),
            "alive": alive,
        }
        return spaces.Dict(grid), spaces.MultiDiscrete(np.full((height, width), ACTIONS))
    corner = np.tile(np.array([width - 1, height - 1], np.int32), (slots, 1))
    scene: dict[str, spaces.Space[Any]] = {
        "entities": spaces.Box(-1.0, 1.0, (slots, len(FEATURES)), dtype=np.float32),
        "entity_mask": mask_space(slots),
        "visibility": mask_space(slots, slots),
        "positions": spaces.Box(np.zeros_like(corner), corner, dtype=np.int32),
        "action_mask": mask_space(pandas, ACTIONS),
        "agent_mask": mask_space(pandas),
        "alive": alive,
    }
    return spaces.Dict(scene), spaces.MultiDiscrete(np.full(pandas, ACTIONS))


class PandasVectorEnv(VectorWorld[PandasSettings]):
    """`num_envs` worlds of pandas that step together.

    The reward of a step is what all pandas got together: 1 for every watermelon eaten, -1
    for every panda caught. A disallowed action of a panda that acts is counted in
    `illegal_actions` and done as `stay`; what stands at places where nobody acts is not read.
    Arguments are those of `VectorWorld`, and the fields of `PandasSettings`. A saved state of
    one form (scene or grid) can be set in the other.
    """

    world = "pandas"
    rules_version = RULES_VERSION
    settings_type = PandasSettings
    action_names = ACTION_NAMES
    gives_agent_rewards = True

    def _spaces(self) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
        return pandas_spaces(self.settings)

    def _allocate(self) -> None:
        settings = self.settings
        self._entries = GRID if settings.form == "grid" else SCENE
        self._pools = {name: CopyPool() for name in Told._fields}
        self._world = empty_world(settings, self.num_envs)._replace(
            keys=self._keys,
            counters=self._counters,
            layout_ids=self._layout_ids,
            episodes=self._episodes,
        )
        self._facts = make_facts(settings)
        self._scratch = make_scratch(settings, self._world.trees.shape[1])
        # What callers read: with copies an array of the same kind is taken for each step.
        self._told = room_to_tell(settings, self.num_envs)
        self._final = room_to_tell(settings, self.num_envs)

    def _to_fill(self, told: Told) -> Told:
        """Arrays that a step may fill: those given, or with copies such that nobody holds."""
        if not self._copy:
            return told
        fields = {name: getattr(told, name) for name in self._entries.values()}
        return told._replace(**{k: self._pools[k].take(v) for k, v in fields.items()})

    def _as_dict(self, told: Told) -> Observation:
        entries = {name: getattr(told, field) for name, field in self._entries.items()}
        if not self._copy:
            entries = {name: read_only(array) for name, array in entries.items()}
        return entries

    def _begin_episode(self, index: int) -> None:
        if not begin_episode(index, self._world, self._source, self._facts, self._scratch):
            self._refuse_layout(index)

    def _refuse_layout(self, index: int) -> None:
        raise ConfigError(no_room(self.settings, int(self._layout_ids[index])))

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        Observation,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Step every world.

        Args:
            actions: integers [num_envs, N] for the scene, [num_envs, H, W] for the grid, each
                in [0, 5) where a panda acts and anything elsewhere.

        Returns:
            Observation, rewards float64 [num_envs], terminated and truncated bool
            [num_envs], infos with `layout_id` int64 [num_envs] and `agent_rewards` float64
            [num_envs, N] of this step, ended episodes included. Where an episode ended, the
            observation is the next episode's first, and `infos` has `final_obs` (batched),
            `_final_obs` and `final_info` (`layout_id`, `ending`). Rows of `final_obs` where
            no episode ended are left over and mean nothing.

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was
                never called.
        """
        self._require_begun()
        chosen = self._read_actions(actions)
        results = make_results(self.settings, self.num_envs)
        told, final = self._to_fill(self._told), self._to_fill(self._final)
        illegal, ended, failed, wrong, place = step_all(
            chosen,
            self._world,
            self._source,
            self._facts,
            self._scratch,
            self._autoreset,
            told,
            final,
            results,
        )
        if wrong >= 0:
            where = f"[{wrong}, {place}]"
            if self.settings.form == "grid":
                where = f"[{wrong}, {place // self.settings.width}, {place % self.settings.width}]"
            raise ConfigError(
                f"pandas: actions{where} = {chosen[wrong, place]} is not in [0, {ACTIONS}), and a "
                f"panda acts there: the actions are {', '.join(ACTION_NAMES)}"
            )
        self.illegal_actions += illegal
        if failed >= 0:
            self._refuse_layout(failed)
        infos: dict[str, Any] = {
            "layout_id": self._layout_ids.copy(),
            "agent_rewards": results.agent_rewards,
        }
        if ended:
            infos["final_obs"] = self._as_dict(final)
            infos["_final_obs"] = infos["_final_info"] = results.terminated | results.truncated
            infos["final_info"] = {"layout_id": results.final_layouts, "ending": results.endings}
        return self._as_dict(told), results.rewards, results.terminated, results.truncated, infos

    def _read_actions(self, actions: Any) -> npt.NDArray[np.int64]:
        """Actions as int64 [num_envs, places]."""
        array = np.asarray(actions)
        shape = self.action_space.shape or ()
        if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
            raise ConfigError(
                f"pandas: actions must be integers of shape {shape}; got {array.dtype} of shape "
                f"{array.shape}"
            )
        return np.ascontiguousarray(array, dtype=np.int64).reshape(self.num_envs, -1)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {name: getattr(self._world, name) for name in SAVED}

    def _derive(self) -> None:
        derive_all(self._world)

    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        lowest = {"pandas": 0, "scorpions": 0, "melons": ABSENT, "tree_cells": ABSENT}
        for name, low in lowest.items():
            wrong = (saved[name] < low) | (saved[name] >= self.settings.cells)
            if wrong.any():
                index = tuple(int(k) for k in np.argwhere(wrong)[0])
                raise ConfigError(
                    f"pandas: the saved state is damaged: {name}{list(index)} is cell "
                    f"{saved[name][index]} of a grid of {self.settings.cells}"
                )
        rest = saved["rest"]
        respawn = self.settings.respawn_steps or 0
        wrong = (rest > self.settings.chew_steps) | (rest < -1 - respawn)
        if wrong.any():
            index = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise ConfigError(
                f"pandas: the saved state is damaged: rest{list(index)} is {rest[index]}, expected "
                f"{-1 - respawn} to {self.settings.chew_steps}"
            )

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        told = self._to_fill(self._told)
        tell_all(self._world, self._facts, told)
        return self._as_dict(told)

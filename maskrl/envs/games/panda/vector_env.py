"""The panda world, many at a time: a Gymnasium vector environment over one compiled step.

All worlds live in a few arrays and step together. Observations carry their
masks: `entities`, `entity_mask`, `visibility`, `action_mask`. An episode that
ends is followed by the next one in the same step; its last observation is in
`infos["final_obs"]`. The whole state, randomness included, can be saved and set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.games.copies import CopyPool
from maskrl.envs.games.panda.layouts import article_layout, empty_rows, layout_limits
from maskrl.envs.games.panda.observation import make_view
from maskrl.envs.games.panda.settings import (
    ACTION_NAMES,
    ACTIONS,
    CREATURES_ABSENT,
    DIRECTIONS,
    DRAGON,
    RULES_VERSION,
    S_BANANAS,
    S_PANDA,
    S_TREES,
    S_WATERMELON,
    SCORPION,
    TREE,
    PandaSettings,
)
from maskrl.envs.games.panda.stepping import begin_episode, observe_all, step_all
from maskrl.envs.games.vector_world import Observation, VectorWorld
from maskrl.envs.games.world_arguments import read_only
from maskrl.errors import ConfigError

_ENTRIES = ("entities", "entity_mask", "visibility", "action_mask")
_WORLD = ("state", "tree_at", "trees", "keys", "counters", "layout_ids", "episodes")


def panda_spaces(settings: PandaSettings) -> tuple[spaces.Dict, spaces.Discrete[np.int64]]:
    """The observation and action space of one panda."""
    slots, columns = settings.entity_slots, settings.feature_count
    if settings.features == "xyt":
        high = np.tile(
            np.array([settings.width - 1, settings.height - 1, TREE], np.float32), (slots, 1)
        )
        entities = spaces.Box(np.zeros_like(high), high, dtype=np.float32)
    else:
        entities = spaces.Box(-1.0, 1.0, (slots, columns), dtype=np.float32)
    observation = spaces.Dict(
        {
            "entities": entities,
            "entity_mask": mask_space(slots),
            "visibility": mask_space(slots, slots),
            "action_mask": mask_space(ACTIONS),
        }
    )
    return observation, spaces.Discrete(ACTIONS)


class PandaVectorEnv(VectorWorld[PandaSettings]):
    """`num_envs` panda worlds that step together.

    Reward 1 for the watermelon, -1 for being caught, 0 otherwise; an episode is
    truncated at the step limit. A disallowed action is counted in
    `illegal_actions` and done as `wait`. Arguments are those of `VectorWorld`, and the fields
    of `PandaSettings`.
    """

    world = "panda"
    rules_version = RULES_VERSION
    settings_type = PandaSettings
    action_names = ACTION_NAMES

    def _spaces(self) -> tuple[spaces.Dict, spaces.Discrete[np.int64]]:
        return panda_spaces(self.settings)

    def _allocate(self) -> None:
        settings, count = self.settings, self.num_envs
        self._state, self._tree_at, self._trees = empty_rows(settings, count)
        self._pools = tuple(CopyPool() for _ in _ENTRIES)
        fixed = settings.preset != "random"
        self._source = (*self._source, fixed)
        self._scene = (
            article_layout(settings) if fixed else tuple(a[0] for a in empty_rows(settings, 1))
        )
        self._limits = layout_limits(settings)
        self._view = make_view(settings)
        self._scratch = np.zeros((2, self._trees.shape[1]), np.uint64)
        slots, columns = settings.entity_slots, settings.feature_count
        self._cells = np.zeros((count, slots), np.int32)
        self._moved = np.zeros(slots, np.bool_)
        self._uniforms = np.zeros(settings.creatures, np.float64)
        self._sight = np.zeros((count, slots, slots), np.bool_)
        # What callers read: with copies an array of the same kind is taken for each step.
        self._observation: tuple[npt.NDArray[Any], ...] = (
            np.zeros((count, slots, columns), np.float32),
            np.zeros((count, slots), np.bool_),
            np.zeros((count, slots, slots), np.bool_),
            np.zeros((count, ACTIONS), np.bool_),
        )
        self._final = tuple(np.zeros_like(array) for array in self._observation)

    def _to_fill(self, arrays: tuple[npt.NDArray[Any], ...]) -> tuple[npt.NDArray[Any], ...]:
        """Arrays that a step may fill: those given, or with copies such that nobody holds."""
        if not self._copy:
            return arrays
        return tuple(pool.take(array) for pool, array in zip(self._pools, arrays, strict=True))

    def _as_dict(self, arrays: tuple[npt.NDArray[Any], ...]) -> Observation:
        if not self._copy:
            arrays = tuple(read_only(array) for array in arrays)
        return dict(zip(_ENTRIES, arrays, strict=True))

    def _begin_episode(self, index: int) -> None:
        found = begin_episode(
            index,
            self._world(),
            self._source,
            self._scene,
            self._limits,
            self._view,
            self._scratch,
        )
        self._require_layout(-1 if found else index)

    def _world(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self._state,
            self._tree_at,
            self._trees,
            self._keys,
            self._counters,
            self._layout_ids,
            self._episodes,
        )

    def _require_layout(self, failed: int) -> None:
        if failed >= 0:
            raise ConfigError(
                f"panda: found no layout for environment {failed} "
                f"(layout seed {self._layout_ids[failed]}): the grid of {self.settings.width} x "
                f"{self.settings.height} is too small for what is to stand on it"
            )

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
            actions: integers [num_envs], each in [0, 6).

        Returns:
            Observation, rewards float64 [num_envs], terminated and truncated bool
            [num_envs], infos. Where an episode ended, the observation is the next
            episode's first, and `infos` has `final_obs` (batched), `_final_obs` and
            `final_info` (`layout_id`, `outcome`). Rows of `final_obs` where no episode
            ended are left over and mean nothing.

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was
                never called.
        """
        self._require_begun()
        chosen = np.ascontiguousarray(actions, dtype=np.int64)
        if chosen.shape != (self.num_envs,) or not np.issubdtype(
            np.asarray(actions).dtype, np.integer
        ):
            raise ConfigError(
                f"panda: actions must be integers of shape ({self.num_envs},); got "
                f"{np.asarray(actions).dtype} of shape {np.asarray(actions).shape}"
            )
        count = self.num_envs
        results = (
            np.empty(count, np.float64),
            np.empty(count, np.bool_),
            np.empty(count, np.bool_),
            np.empty(count, np.int8),
            np.zeros(count, np.int64),
        )
        rewards, terminated, truncated, outcomes, final_layouts = results
        observation, final = self._to_fill(self._observation), self._to_fill(self._final)
        illegal, ended, failed, wrong = step_all(
            chosen,
            self._world(),
            self._source,
            self._scene,
            self._limits,
            self._view,
            self._cells,
            self._moved,
            self._sight,
            self._scratch,
            self._uniforms,
            self._autoreset,
            observation,
            final,
            results,
        )
        if wrong >= 0:
            raise ConfigError(
                f"panda: actions[{wrong}] = {chosen[wrong]} is not in [0, {ACTIONS}): "
                f"the actions are {', '.join(ACTION_NAMES)}"
            )
        self.illegal_actions += illegal
        self._require_layout(failed)
        infos: dict[str, Any] = {"layout_id": self._layout_ids.copy()}
        if ended:
            infos["final_obs"] = self._as_dict(final)
            infos["_final_obs"] = infos["_final_info"] = terminated | truncated
            infos["final_info"] = {"layout_id": final_layouts, "outcome": outcomes}
        return self._as_dict(observation), rewards, terminated, truncated, infos

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(_WORLD, self._world(), strict=True))

    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        self._require_cells(saved["state"])

    def _derive(self) -> None:
        self.observation()

    def _require_cells(self, saved: npt.NDArray[Any]) -> None:
        """Refuse a state table with places off the grid: compiled code would follow them."""
        cast, width = self._view.cast, saved.shape[1]
        standing = np.zeros(width, np.bool_)
        standing[[S_PANDA, S_WATERMELON, *cast.cells]] = True
        trees_end = S_BANANAS + self.settings.banana_slots + self.settings.tree_slots
        standing[S_BANANAS:trees_end] = True
        low = np.full(width, CREATURES_ABSENT)
        low[[S_PANDA, S_WATERMELON]] = 0
        for kind, fewest in ((SCORPION, "min_scorpions"), (DRAGON, "min_dragons")):
            low[cast.cells[cast.kinds == kind][: getattr(self.settings, fewest)]] = 0
        wrong = ((saved < low) | (saved >= self.settings.cells)) & standing
        if wrong.any():
            index = int(np.flatnonzero(wrong.any(axis=1))[0])
            raise ConfigError(
                f"panda: the saved state is damaged: in world {index} something stands on cell "
                f"{saved[index][wrong[index]][0]} of a grid of {self.settings.cells}"
            )
        facing = saved[:, cast.facings] if cast.faces else np.zeros((1, 1), np.int32)
        if ((facing < 0) | (facing >= len(DIRECTIONS))).any():
            raise ConfigError(
                f"panda: the saved state is damaged: somebody faces direction "
                f"{facing[(facing < 0) | (facing >= len(DIRECTIONS))][0]} of {len(DIRECTIONS)}"
            )
        trees = saved[:, S_TREES]
        if ((trees < 0) | (trees > self.settings.tree_slots)).any():
            raise ConfigError(
                f"panda: the saved state is damaged: a world has up to {trees.max()} trees, with "
                f"room for {self.settings.tree_slots}"
            )

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        observation = self._to_fill(self._observation)
        observe_all(self._world(), self._cells, self._moved, self._sight, self._view, observation)
        return self._as_dict(observation)

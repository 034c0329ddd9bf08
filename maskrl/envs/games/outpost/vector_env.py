"""Outposts, many at a time: a Gymnasium vector environment over one compiled step.

An action is a command with several parts, of which a tree says when each counts:
`action_tree`. Observations carry the masks of that tree beside a vector of features. An
episode that ends is followed by the next one in the same step; its last observation is
in `infos["final_obs"]`. The whole state, randomness included, can be saved and set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.games.copies import CopyPool
from maskrl.envs.games.outpost.layouts import limits, no_layout
from maskrl.envs.games.outpost.observation import FEATURES
from maskrl.envs.games.outpost.settings import (
    ABSENT,
    CELLS,
    LONGEST,
    MOST_STOCK,
    OUTPOST_TREE,
    RULES_VERSION,
    S_ALIVE,
    S_COLUMNS,
    S_STEP,
    S_WOLVES,
    WOLVES,
    OutpostSettings,
)
from maskrl.envs.games.outpost.stepping import begin_episode, step_all, write_observation
from maskrl.envs.games.vector_world import Observation, VectorWorld
from maskrl.envs.games.world_arguments import read_only
from maskrl.errors import ConfigError

_ENTRIES = ("observation", *OUTPOST_TREE.mask_shapes)
_WORLD = ("state", "keys", "counters", "layout_ids", "episodes")
# What a saved state may hold, column by column: lowest and highest value.
_LOW = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, *(ABSENT,) * WOLVES], np.int64)
_HIGH = np.array(
    [
        *(CELLS - 1, CELLS - 1, 1, 1, MOST_STOCK, MOST_STOCK, 1, 2**WOLVES - 1),
        *(LONGEST, CELLS - 1, CELLS - 1, 2**CELLS - 1, *(CELLS - 1,) * WOLVES),
    ],
    np.int64,
)


def outpost_spaces() -> tuple[spaces.Dict, spaces.MultiDiscrete]:
    """The observation and action space of one outpost."""
    observation = spaces.Dict(
        {
            "observation": spaces.Box(0.0, 1.0, (len(FEATURES),), dtype=np.float32),
            **{name: mask_space(*shape) for name, shape in OUTPOST_TREE.mask_shapes.items()},
        }
    )
    return observation, spaces.MultiDiscrete(list(OUTPOST_TREE.nvec))


class OutpostVectorEnv(VectorWorld[OutpostSettings]):
    """`num_envs` outposts that step together.

    A command gives the points of a wolf or a building, else 0; an episode ends after
    `step_limit` commands (`terminated`: the limit is a rule of the game, and the
    observation tells the time left). A command that the masks do not allow is counted in
    `illegal_actions`; nothing happens and the step counts. Arguments are those of
    `VectorWorld`, and the fields of `OutpostSettings`.
    """

    world = "outpost"
    rules_version = RULES_VERSION
    settings_type = OutpostSettings
    action_tree = OUTPOST_TREE

    def _spaces(self) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
        return outpost_spaces()

    def _allocate(self) -> None:
        count = self.num_envs
        self._source = (*self._source, np.array(limits(self.settings), np.int64))
        numbers = (self._keys, self._counters, self._layout_ids, self._episodes)
        self._world = (np.zeros((count, S_COLUMNS), np.int64), *numbers)
        self._pools = tuple(CopyPool() for _ in _ENTRIES)
        self._observation, self._final = self._empty_observation(), self._empty_observation()
        self._rewards = np.zeros(count, np.float64)
        self._ended = np.zeros(count, np.bool_)
        self._final_layouts = np.zeros(count, np.int64)

    def _empty_observation(self) -> tuple[npt.NDArray[Any], ...]:
        masks = OUTPOST_TREE.mask_shapes.values()
        return (
            np.zeros((self.num_envs, len(FEATURES)), np.float32),
            *(np.zeros((self.num_envs, *shape), np.bool_) for shape in masks),
        )

    def _as_dict(self, arrays: tuple[npt.NDArray[Any], ...]) -> Observation:
        return {
            name: pool.copy(array) if self._copy else read_only(array)
            for name, array, pool in zip(_ENTRIES, arrays, self._pools, strict=True)
        }

    def _begin_episode(self, index: int) -> None:
        if not begin_episode(index, self._world, self._source):
            raise no_layout(int(self._layout_ids[index]))

    @property
    def state(self) -> npt.NDArray[np.int64]:
        """The columns of every outpost, as `settings` names them: int64 [num_envs, columns]."""
        return self._world[0]

    def _derive(self) -> None:
        for index in range(self.num_envs):
            write_observation(index, self._world[0], self._observation, self.settings.step_limit)

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        Observation,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Carry out one command in every outpost.

        Args:
            actions: integers [num_envs, 4]: unit, direction, target, building. Parts that do
                not count for the unit may be any choice of their head.

        Returns:
            Observation, rewards float64 [num_envs], terminated and truncated bool
            [num_envs], infos. Where an episode ended, the observation is the next
            episode's first, and `infos` has `final_obs` (batched), `_final_obs` and
            `final_info` (`layout_id`).

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was
                never called.
        """
        self._require_begun()
        illegal, failed = step_all(
            self._checked(actions),
            self._world,
            self._source,
            self._observation,
            self._final,
            self._rewards,
            self._ended,
            self._final_layouts,
            self.settings.step_limit,
            self._autoreset,
        )
        self.illegal_actions += illegal
        if failed >= 0:
            raise no_layout(int(self._layout_ids[failed]))
        infos: dict[str, Any] = {"layout_id": self._layout_ids.copy()}
        ended = self._ended.copy()
        if ended.any():
            infos["final_obs"] = self._as_dict(self._final)
            infos["_final_obs"] = ended.copy()
            infos["final_info"] = {"layout_id": self._final_layouts.copy()}
            infos["_final_info"] = ended.copy()
        return (
            self._as_dict(self._observation),
            self._rewards.copy(),
            ended,
            np.zeros(self.num_envs, np.bool_),
            infos,
        )

    def _checked(self, actions: Any) -> npt.NDArray[np.int64]:
        """The actions as int64 [num_envs, heads], refused if they are not of the space."""
        given, tree = np.asarray(actions), self.action_tree
        shape = (self.num_envs, len(tree.nvec))
        if given.shape != shape or not np.issubdtype(given.dtype, np.integer):
            raise ConfigError(
                f"outpost: actions must be integers of shape {shape}, one choice for each of "
                f"{', '.join(tree.names)}; got {given.dtype} of shape {given.shape}"
            )
        wrong = (given < 0) | (given >= np.array(tree.nvec))
        if wrong.any():
            index, head = (int(k[0]) for k in np.nonzero(wrong))
            raise ConfigError(
                f"outpost: actions[{index}, {head}] = {given[index, head]} is no choice of "
                f"{tree.names[head]!r}: {', '.join(tree.heads[head].choices)}. A part that does "
                "not count may be any choice of its head, 0 for example"
            )
        return np.ascontiguousarray(given, dtype=np.int64)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(_WORLD, self._world, strict=True))

    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        state = saved["state"]
        wrong = (state < _LOW) | (state > _HIGH)
        wrong[:, S_STEP] |= state[:, S_STEP] > self.settings.step_limit
        for k in range(WOLVES):
            alive = state[:, S_ALIVE] >> k & 1 == 1
            wrong[:, S_WOLVES + k] |= alive & (state[:, S_WOLVES + k] == ABSENT)
        if wrong.any():
            index, column = (int(k[0]) for k in np.nonzero(wrong))
            raise ConfigError(
                f"outpost: the saved state is damaged: state[{index}, {column}] is "
                f"{state[index, column]}"
            )

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        self._derive()
        return self._as_dict(self._observation)

"""Mining worlds, many at a time: a Gymnasium vector environment over one compiled step.

An action is an order: a unit, what it is to do, and where. Observations carry 27 feature
planes and masks of the strength that was asked for. An episode that ends is followed by the
next one in the same step; its last observation is in `infos["final_obs"]`. The whole state
can be saved and set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.games.copies import CopyPool
from maskrl.envs.games.mining.layouts import LAYOUTS, start_board
from maskrl.envs.games.mining.observation import TABLES
from maskrl.envs.games.mining.saved import require_sound
from maskrl.envs.games.mining.settings import (
    CONDITIONAL,
    FATES,
    HEAD_NAMES,
    LAYERS,
    PLANES,
    RULES_VERSION,
    MiningSettings,
    head_sizes,
)
from maskrl.envs.games.mining.stepping import begin_episode, observe_all, step_all
from maskrl.envs.games.vector_world import Observation, VectorWorld
from maskrl.envs.games.world_arguments import read_only
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK

_WORLD = ("board", "counts")


def mining_spaces(settings: MiningSettings) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
    """The observation and action space of one world."""
    size, sizes = settings.size, head_sizes(settings.cells)
    masks: dict[str, tuple[int, ...]] = {FLAT_MASK: (sum(sizes),)}
    if settings.mode == CONDITIONAL:
        masks |= {
            name: (settings.cells, choices) for name, choices in zip(TABLES, sizes[1:], strict=True)
        }
    observation = spaces.Dict(
        {
            "observation": spaces.Box(0, 1, (size, size, PLANES), dtype=np.int8),
            **{name: mask_space(*shape) for name, shape in masks.items()},
        }
    )
    return observation, spaces.MultiDiscrete(list(sizes))


class MiningVectorEnv(VectorWorld[MiningSettings]):
    """`num_envs` mining worlds that step together.

    The reward is 1 for an order to harvest or to hand in that is carried out. An episode is
    terminated when nothing is left in any mine, and truncated after 200 steps. An order that
    cannot be carried out is counted in `illegal_actions`, unless no unit was free at all; what
    becomes of it is told in `infos["fate"]` and counted in `fates`. Time passes in any case.
    Arguments are those of `VectorWorld`, and the fields of `MiningSettings`. Seeds are taken as
    by other worlds, though nothing here is random, and so are layouts: each means the one that
    a map has, whose `layout_id` is 0.

    Attributes:
        action_tree: With conditional masks, how parts of an order depend on each other.
        illegal_actions: Orders that were not carried out, though a unit was free.

    Empty rows:
        Where no own unit is free the mask of the first part allows nothing, and so do, with
        masks "heads", parts of an order that no unit can be told. There is nothing to decide
        then; train with `empty="idle"`.
    """

    world = "mining"
    rules_version = RULES_VERSION
    settings_type = MiningSettings

    def _spaces(self) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
        return mining_spaces(self.settings)

    def _read_layouts(self, layout_seeds: Any) -> npt.NDArray[np.int64]:
        super()._read_layouts(layout_seeds)
        return np.zeros(0, np.int64)

    def _allocate(self) -> None:
        count, cells = self.num_envs, self.settings.cells
        self.action_tree = self.settings.action_tree
        self._entries = ("observation", FLAT_MASK, *TABLES)
        if self.settings.mode != CONDITIONAL:
            self._entries = self._entries[:2]
        self._pools = tuple(CopyPool() for _ in self._entries)
        self._start = start_board(self.settings.board)
        self._world = (
            np.zeros((count, LAYERS, cells), np.int16),
            np.zeros((count, 2), np.int64),
        )
        self._totals = np.zeros(len(FATES), np.int64)
        self._wanted = np.zeros(cells, np.bool_)
        self._observation, self._final = self._empty_observation(), self._empty_observation()
        self._results: tuple[npt.NDArray[Any], ...] = (
            np.zeros(count, np.float64),
            np.zeros(count, np.bool_),
            np.zeros(count, np.bool_),
            np.zeros(count, np.int8),
        )

    def _empty_observation(self) -> tuple[npt.NDArray[Any], ...]:
        """Planes, flat mask and tables, as a step writes them; of tables not wanted, a stub."""
        count, cells = self.num_envs, self.settings.cells
        sizes = head_sizes(cells)
        shapes = [(count, cells, n) for n in sizes[1:]]
        if self.settings.mode != CONDITIONAL:
            shapes = [(1, 1, 1)] * len(TABLES)
        return (
            np.zeros((count, cells, PLANES), np.int8),
            np.zeros((count, sum(sizes)), np.bool_),
            *(np.zeros(shape, np.bool_) for shape in shapes),
        )

    def _as_dict(self, arrays: tuple[npt.NDArray[Any], ...]) -> Observation:
        size = self.settings.size
        handed = [
            pool.copy(array) if self._copy else read_only(array)
            for array, pool in zip(arrays, self._pools, strict=False)
        ]
        handed[0] = handed[0].reshape(self.num_envs, size, size, PLANES)
        return dict(zip(self._entries, handed, strict=True))

    @property
    def fates(self) -> dict[str, int]:
        """How many orders met each fate so far, by name; see `settings.FATES`."""
        return dict(zip(FATES, self._totals.tolist(), strict=True))

    def _begin_episode(self, index: int) -> None:
        begin_episode(index, self._world, self._start)

    def _derive(self) -> None:
        settings = self.settings
        observe_all(self._world, self._observation, settings.size, settings.mode, self._wanted)

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        self._derive()
        return self._as_dict(self._observation)

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        Observation,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Give one order in every world, and let ten ticks pass.

        Args:
            actions: integers [num_envs, 8]: unit (its cell, y * size + x), type, directions to
                move, harvest, hand in and produce in, product, target (a cell). Parts that do
                not count for the type may be any choice of their head.

        Returns:
            Observation, rewards float64 [num_envs], terminated and truncated bool
            [num_envs], infos with `layout_id` and `fate` [num_envs]. Where an episode ended,
            the observation is the next episode's first, and `infos` has `final_obs` (batched),
            `_final_obs` and `final_info` (`layout_id`, `fate`).

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was
                never called.
        """
        self._require_begun()
        self.illegal_actions += step_all(
            self._checked(actions),
            self._world,
            self._start,
            self._observation,
            self._final,
            self._results,
            self._totals,
            self.settings.size,
            self.settings.mode,
            self._wanted,
            self._autoreset,
        )
        rewards, terminated, truncated, fates = (array.copy() for array in self._results)
        infos: dict[str, Any] = {"layout_id": self._layout_ids.copy(), "fate": fates}
        ended = terminated | truncated
        if self._autoreset and ended.any():
            infos["final_obs"] = self._as_dict(self._final)
            infos["final_info"] = {"layout_id": self._layout_ids.copy(), "fate": fates.copy()}
            infos["_final_obs"], infos["_final_info"] = ended, ended.copy()
        return self._as_dict(self._observation), rewards, terminated, truncated, infos

    def _checked(self, actions: Any) -> npt.NDArray[np.int64]:
        """The actions as int64 [num_envs, 8], refused if they are not of the space."""
        given, sizes = np.asarray(actions), head_sizes(self.settings.cells)
        shape = (self.num_envs, len(sizes))
        if given.shape != shape or not np.issubdtype(given.dtype, np.integer):
            raise ConfigError(
                f"mining: actions must be integers of shape {shape}, one choice for each of "
                f"{', '.join(HEAD_NAMES)}; got {given.dtype} of shape {given.shape}"
            )
        wrong = (given < 0) | (given >= np.array(sizes))
        if wrong.any():
            index, head = (int(k[0]) for k in np.nonzero(wrong))
            raise ConfigError(
                f"mining: actions[{index}, {head}] = {given[index, head]} is no choice of "
                f"{HEAD_NAMES[head]!r}, which has {sizes[head]}. A part that does not count may "
                "be any choice of its head, 0 for example"
            )
        return np.ascontiguousarray(given, dtype=np.int64)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {**dict(zip(_WORLD, self._world, strict=True)), "fates": self._totals}

    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        require_sound(saved["board"], saved["counts"], LAYOUTS[self.settings.board])

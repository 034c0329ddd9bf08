"""The packing world, many at a time: a Gymnasium vector environment over one compiled step.

Observations carry the candidates of every world (`candidates`), its rucksack
(`observation`) and which candidates may be taken (`action_mask`). An episode that
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
from maskrl.envs.games.packing.settings import (
    OBSERVATION_FEATURES,
    RULES_VERSION,
    S_CAPACITY,
    S_ITEMS,
    S_OFFERED,
    S_ROOM,
    S_STEP,
    S_TAKEN,
    PackingSettings,
)
from maskrl.envs.games.packing.stepping import begin_episode, observe_all, step_all
from maskrl.envs.games.vector_world import Observation, VectorWorld
from maskrl.envs.games.world_arguments import read_only
from maskrl.errors import ConfigError

ENTRIES = ("candidates", "observation", "action_mask")
_WORLD = ("state", "keys", "counters", "layout_ids", "episodes")


def packing_spaces(settings: PackingSettings) -> tuple[spaces.Dict, spaces.Discrete[np.int64]]:
    """The observation and action space of one world."""
    shape = (settings.slots, len(settings.candidate_features))
    observation = spaces.Dict(
        {
            "candidates": spaces.Box(0.0, 1.0, shape, dtype=np.float32),
            "observation": spaces.Box(0.0, 1.0, (len(OBSERVATION_FEATURES),), dtype=np.float32),
            "action_mask": mask_space(settings.slots),
        }
    )
    return observation, spaces.Discrete(settings.slots)


class PackingVectorEnv(VectorWorld[PackingSettings]):
    """`num_envs` packing worlds that step together.

    The reward is the worth of the item that is taken, 100 points being 1. An episode is
    terminated when nothing more may be taken and truncated at the step limit. A disallowed
    action is counted in `illegal_actions`; nothing is taken, and the step is over. Arguments
    are those of `VectorWorld`, and the fields of `PackingSettings`.
    """

    world = "packing"
    rules_version = RULES_VERSION
    settings_type = PackingSettings

    def _spaces(self) -> tuple[spaces.Dict, spaces.Discrete[np.int64]]:
        return packing_spaces(self.settings)

    def _allocate(self) -> None:
        settings, count = self.settings, self.num_envs
        self.action_names = tuple(f"take {slot + 1}" for slot in range(settings.slots))
        self._pools = tuple(CopyPool() for _ in ENTRIES)
        self._state = np.zeros((count, settings.columns), np.int64)
        numbers = (self._keys, self._counters, self._layout_ids, self._episodes)
        self._world = (self._state, *numbers)
        self._sizes = (settings.slots, settings.min_items, settings.max_items)
        self._shown = (
            settings.max_items,
            settings.largest_capacity,
            settings.step_limit,
            settings.padding == "zeros",
            settings.tell_mask,
        )
        self._observation = self._empty_observation()
        self._final = self._empty_observation()
        self._results: tuple[npt.NDArray[Any], ...] = (
            np.zeros(count, np.float64),
            np.zeros(count, np.bool_),
            np.zeros(count, np.bool_),
            np.zeros(count, np.int8),
            np.zeros(count, np.int64),
        )

    def _empty_observation(self) -> tuple[npt.NDArray[Any], ...]:
        return tuple(
            np.zeros(space.shape, space.dtype)
            for space in (self.observation_space[name] for name in ENTRIES)  # type: ignore[index]
        )

    def _as_dict(self, arrays: tuple[npt.NDArray[Any], ...]) -> Observation:
        return {
            name: pool.copy(array) if self._copy else read_only(array)
            for name, array, pool in zip(ENTRIES, arrays, self._pools, strict=True)
        }

    def _begin_episode(self, index: int) -> None:
        begin_episode(index, self.num_envs, self._world, self._source, self._sizes)

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        self._derive()
        return self._as_dict(self._observation)

    def _derive(self) -> None:
        observe_all(self._state, self._observation, self._sizes, self._shown)

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
            actions: integers [num_envs], each the number of a slot.

        Returns:
            Observation, rewards float64 [num_envs], terminated and truncated bool
            [num_envs], infos. Where an episode ended, the observation is the next
            episode's first, and `infos` has `final_obs` (batched), `_final_obs` and
            `final_info` (`layout_id`, `outcome`).

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was
                never called.
        """
        self._require_begun()
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or not np.issubdtype(given.dtype, np.integer):
            raise ConfigError(
                f"packing: actions must be integers of shape ({self.num_envs},); got "
                f"{given.dtype} of shape {given.shape}"
            )
        wrong = (given < 0) | (given >= self.settings.slots)
        if wrong.any():
            index = int(wrong.argmax())
            raise ConfigError(
                f"packing: actions[{index}] = {given[index]} is not in "
                f"[0, {self.settings.slots}): an action is the number of a slot"
            )
        self.illegal_actions += step_all(
            np.ascontiguousarray(given, dtype=np.int64),
            self._world,
            self._source,
            self._observation,
            self._final,
            self._results,
            self._sizes,
            self._shown,
            self._autoreset,
        )
        rewards, terminated, truncated, outcomes, final_layouts = (
            array.copy() for array in self._results
        )
        infos: dict[str, Any] = {"layout_id": self._world[3].copy()}
        ended = terminated | truncated
        if self._autoreset and ended.any():
            infos["final_obs"] = self._as_dict(self._final)
            infos["final_info"] = {"layout_id": final_layouts, "outcome": outcomes}
            infos["_final_obs"] = infos["_final_info"] = ended
        return self._as_dict(self._observation), rewards, terminated, truncated, infos

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(_WORLD, self._world, strict=True))

    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        _refuse_damage(saved["state"], self.settings.slots)


def _refuse_damage(saved: npt.NDArray[Any], slots: int) -> None:
    """Refuse a state table that no play leads to: it would be reported as a real one."""
    offered, taken = saved[:, S_OFFERED], saved[:, S_TAKEN]
    weights, points, losses = saved[:, S_ITEMS:].reshape(-1, 3, slots).swapaxes(0, 1)
    in_rucksack = (taken[:, None] >> np.arange(slots) & 1) * weights
    fine = (
        (offered >> slots == 0)
        & (taken & ~offered == 0)
        & (saved[:, S_STEP] >= 0)
        & (weights > 0).all(axis=1)
        & ((points >= 0) & (losses >= 0)).all(axis=1)
        & (saved[:, S_ROOM] >= 0)
        & (saved[:, S_CAPACITY] > 0)
        & (saved[:, S_ROOM] + in_rucksack.sum(axis=1) == saved[:, S_CAPACITY])
    )
    if not fine.all():
        index = int(np.flatnonzero(~fine)[0])
        raise ConfigError(
            f"packing: the saved state is damaged: world {index} has offers {offered[index]:b}, "
            f"taken {taken[index]:b}, room {saved[index, S_ROOM]} of "
            f"{saved[index, S_CAPACITY]}, which no play leads to"
        )

"""The packing world, many at a time: a Gymnasium vector environment over one compiled step.

Observations carry the candidates of every world (`candidates`), its rucksack
(`observation`) and which candidates may be taken (`action_mask`). An episode that
ends is followed by the next one in the same step; its last observation is in
`infos["final_obs"]`. The whole state, randomness included, can be saved and set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.contract import mask_space
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
from maskrl.envs.games.panda.copies import CopyPool
from maskrl.envs.games.panda.layouts import FIRST_SEED, SEEDS_PER_SPLIT
from maskrl.envs.games.panda.random_stream import stream_keys
from maskrl.envs.games.world_arguments import (
    count_of_worlds,
    layout_list,
    read_saved,
    require_known,
    saved_state,
    whole_seed,
    worlds_to_reset,
)
from maskrl.errors import ConfigError

Observation = dict[str, npt.NDArray[Any]]
ENTRIES = ("candidates", "observation", "action_mask")
_WORLD = ("state", "keys", "counters", "layout_ids", "episodes")
_SEED_BITS = SEEDS_PER_SPLIT.bit_length() - 1


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


class PackingVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """`num_envs` packing worlds that step together.

    The reward is the worth of the item that is taken, 100 points being 1. An episode is
    terminated when nothing more may be taken and truncated at the step limit. A disallowed
    action is counted in `illegal_actions`; nothing is taken, and the step is over.

    Args:
        num_envs: How many worlds.
        seed: Seed of all randomness, unless `reset` gets one.
        layout_seeds: Layouts to play, in this order: world i plays number i, then
            i + num_envs, and so on, around. A number n means the first n of the split.
            By default random ones of the split.
        copy: Whether returned observations are copies (True) or read-only views of
            arrays that the next step overwrites.
        **settings: Fields of `PackingSettings`.

    Raises:
        ConfigError: A setting is out of range or unknown; the message names it.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    takes_reset_mask = True

    def __init__(
        self,
        num_envs: int = 1,
        *,
        seed: int = 0,
        layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None = None,
        copy: bool = True,
        **settings: Any,
    ) -> None:
        require_known("packing", PackingSettings.__dataclass_fields__, settings)
        self.settings = PackingSettings(**settings)
        self.num_envs = count_of_worlds("packing", num_envs)
        self.single_observation_space, self.single_action_space = packing_spaces(self.settings)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.action_names = tuple(f"take {slot + 1}" for slot in range(self.settings.slots))
        self.illegal_actions = 0
        self._copy = copy
        self._pools = tuple(CopyPool() for _ in ENTRIES)
        self._autoreset = True
        self._begun = False
        self._allocate(whole_seed("packing", seed), layout_seeds)

    def _allocate(
        self, seed: int, layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None
    ) -> None:
        """Make every array that a step reads or writes."""
        settings, count = self.settings, self.num_envs
        self._state = np.zeros((count, settings.columns), np.int64)
        self._world = (
            self._state,
            stream_keys(seed, count),
            np.zeros(count, np.uint64),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )
        listed = layout_list("packing", layout_seeds, settings.split)
        self._source = (listed, FIRST_SEED[settings.split], _SEED_BITS)
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
        entries = zip(ENTRIES, arrays, self._pools, strict=True)
        if self._copy:
            return {name: pool.copy(array) for name, array, pool in entries}
        views = {name: array.view() for name, array, _ in entries}
        for view in views.values():
            view.setflags(write=False)
        return views

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode everywhere.

        Args:
            seed: A new seed for all randomness; None goes on with the current streams.
            options: `{"layout_seeds": [...]}` changes which layouts are played;
                `{"reset_mask": bool [num_envs]}` begins anew only where it is True.

        Returns:
            The batched observation, and infos with `layout_id` int64 [num_envs].
        """
        options = options or {}
        _, keys, counters, layout_ids, episodes = self._world
        anew = worlds_to_reset("packing", options, self.num_envs, begun=self._begun)
        if seed is not None:
            keys[:] = stream_keys(whole_seed("packing", seed), self.num_envs)
            counters[:] = 0
            episodes[:] = 0
        if "layout_seeds" in options:
            self._source = (
                layout_list("packing", options["layout_seeds"], self.settings.split),
                *self._source[1:],
            )
            episodes[:] = 0
        for index in anew:
            begin_episode(index, self.num_envs, self._world, self._source, self._sizes)
        self._begun = True
        return self.observation(), {"layout_id": layout_ids.copy()}

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        observe_all(self._state, self._observation, self._sizes, self._shown)
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
        if not self._begun:
            raise ConfigError("packing: step was called before the first reset; call reset first")
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

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        return saved_state(self._arrays(), self._source[0], self.illegal_actions, RULES_VERSION)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the future depends on, by name."""
        return dict(zip(_WORLD, self._world, strict=True))

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        saved = read_saved("packing", state, self._arrays(), RULES_VERSION)
        _refuse_damage(saved["state"], self.settings.slots)
        listed = layout_list("packing", state["layout_list"], self.settings.split)
        for name, array in self._arrays().items():
            array[...] = saved[name]
        self._source = (listed, *self._source[1:])
        self.illegal_actions = int(state["illegal_actions"])
        self._begun = True
        observe_all(self._state, self._observation, self._sizes, self._shown)


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

"""Outposts, many at a time: a Gymnasium vector environment over one compiled step.

An action is a command with several parts, of which a tree says when each counts:
`action_tree`. Observations carry the masks of that tree beside a vector of features. An
episode that ends is followed by the next one in the same step; its last observation is
in `infos["final_obs"]`. The whole state, randomness included, can be saved and set.
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
from maskrl.envs.games.panda.copies import CopyPool
from maskrl.envs.games.panda.layouts import FIRST_SEED, SEEDS_PER_SPLIT
from maskrl.envs.games.panda.random_stream import stream_keys
from maskrl.envs.games.world_arguments import (
    count_of_worlds,
    layout_list,
    read_only,
    read_saved,
    require_known,
    saved_state,
    whole_seed,
    worlds_to_reset,
)
from maskrl.errors import ConfigError

Observation = dict[str, npt.NDArray[Any]]
_ENTRIES = ("observation", *OUTPOST_TREE.mask_shapes)
_WORLD = ("state", "keys", "counters", "layout_ids", "episodes")
_SEED_BITS = SEEDS_PER_SPLIT.bit_length() - 1
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


class OutpostVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """`num_envs` outposts that step together.

    A command gives the points of a wolf or a building, else 0; an episode ends after
    `step_limit` commands (`terminated`: the limit is a rule of the game, and the
    observation tells the time left). A command that the masks do not allow is counted in
    `illegal_actions`; nothing happens and the step counts.

    Args:
        num_envs: How many outposts.
        seed: Seed of all randomness, unless `reset` gets one.
        layout_seeds: Layouts to play, in this order: outpost i plays number i, then
            i + num_envs, and so on, around. A number n means the first n of the split.
            By default random ones of the split.
        copy: Whether returned observations are copies (True) or read-only views of
            arrays that the next step overwrites.
        **settings: Fields of `OutpostSettings`.

    Raises:
        ConfigError: A setting is out of range or unknown; the message names it.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    action_tree = OUTPOST_TREE
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
        count = count_of_worlds("outpost", num_envs)
        require_known("outpost", OutpostSettings.__dataclass_fields__, settings)
        self.settings = OutpostSettings(**settings)
        self.num_envs = count
        self.single_observation_space, self.single_action_space = outpost_spaces()
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self.illegal_actions = 0
        self._copy = copy
        self._pools = tuple(CopyPool() for _ in _ENTRIES)
        self._autoreset = True
        self._begun = False
        self._source = (
            layout_list("outpost", layout_seeds, self.settings.split),
            FIRST_SEED[self.settings.split],
            _SEED_BITS,
            np.array(limits(self.settings), np.int64),
        )
        self._world = (
            np.zeros((count, S_COLUMNS), np.int64),
            stream_keys(whole_seed("outpost", seed), count),
            np.zeros(count, np.uint64),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
        )
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
        _, keys, counters, layout_ids, episodes = self._world
        if seed is not None:
            keys[:] = stream_keys(whole_seed("outpost", seed), self.num_envs)
            counters[:] = 0
            episodes[:] = 0
        if options and "layout_seeds" in options:
            self._source = (
                layout_list("outpost", options["layout_seeds"], self.settings.split),
                *self._source[1:],
            )
            episodes[:] = 0
        for index in worlds_to_reset("outpost", options, self.num_envs, begun=self._begun):
            if not begin_episode(index, self._world, self._source):
                raise no_layout(int(layout_ids[index]))
        self._begun = True
        self._observe()
        return self._as_dict(self._observation), {"layout_id": layout_ids.copy()}

    def _observe(self) -> None:
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
        if not self._begun:
            raise ConfigError("outpost: step was called before the first reset; call reset first")
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
        layout_ids = self._world[3]
        if failed >= 0:
            raise no_layout(int(layout_ids[failed]))
        infos: dict[str, Any] = {"layout_id": layout_ids.copy()}
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
        saved = read_saved("outpost", state, self._arrays(), RULES_VERSION)
        self._require_sound(saved["state"])
        for name, array in self._arrays().items():
            array[...] = saved[name]
        self._begun = True
        self._source = (
            layout_list("outpost", state["layout_list"], self.settings.split),
            *self._source[1:],
        )
        self.illegal_actions = int(state["illegal_actions"])
        self._observe()

    def _require_sound(self, saved: npt.NDArray[Any]) -> None:
        """Refuse values that no outpost has: compiled code would follow them."""
        wrong = (saved < _LOW) | (saved > _HIGH)
        wrong[:, S_STEP] |= saved[:, S_STEP] > self.settings.step_limit
        for k in range(WOLVES):
            alive = saved[:, S_ALIVE] >> k & 1 == 1
            wrong[:, S_WOLVES + k] |= alive & (saved[:, S_WOLVES + k] == ABSENT)
        if wrong.any():
            index, column = (int(k[0]) for k in np.nonzero(wrong))
            raise ConfigError(
                f"outpost: the saved state is damaged: state[{index}, {column}] is "
                f"{saved[index, column]}"
            )

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        return self._as_dict(self._observation)

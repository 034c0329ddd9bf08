"""The panda world, many at a time: a Gymnasium vector environment over one compiled step.

All worlds live in a few arrays and step together. Observations carry their
masks: `entities`, `entity_mask`, `visibility`, `action_mask`. An episode that
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
from maskrl.envs.games.panda.copies import CopyPool
from maskrl.envs.games.panda.layouts import (
    FIRST_SEED,
    SEEDS_PER_SPLIT,
    article_layout,
    empty_rows,
    layout_limits,
)
from maskrl.envs.games.panda.observation import make_view
from maskrl.envs.games.panda.random_stream import stream_keys
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
_ENTRIES = ("entities", "entity_mask", "visibility", "action_mask")
_WORLD = ("state", "tree_at", "trees", "keys", "counters", "layout_ids", "episodes")
_SEED_BITS = SEEDS_PER_SPLIT.bit_length() - 1


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


class PandaVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """`num_envs` panda worlds that step together.

    Reward 1 for the watermelon, -1 for being caught, 0 otherwise; an episode is
    truncated at the step limit. A disallowed action is counted in
    `illegal_actions` and done as `wait`.

    Args:
        num_envs: How many worlds.
        seed: Seed of all randomness, unless `reset` gets one.
        layout_seeds: Layouts to play, in this order: world i plays number i, then
            i + num_envs, and so on, around. A number n means the first n of the split.
            By default random ones of the split.
        copy: Whether returned observations are copies (True) or read-only views of
            arrays that the next step overwrites.
        **settings: Fields of `PandaSettings`.

    Raises:
        ConfigError: A setting is out of range or unknown; the message names it.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    action_names = ACTION_NAMES
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
        require_known("panda", PandaSettings.__dataclass_fields__, settings)
        self.settings = PandaSettings(**settings)
        self.num_envs = count_of_worlds("panda", num_envs)
        self.single_observation_space, self.single_action_space = panda_spaces(self.settings)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.illegal_actions = 0
        self._copy = copy
        self._pools = tuple(CopyPool() for _ in _ENTRIES)
        self._autoreset = True
        self._begun = False
        self._seed = whole_seed("panda", seed)
        self._allocate(layout_seeds)

    def _allocate(self, layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None) -> None:
        """Make every array that a step reads or writes."""
        settings, count = self.settings, self.num_envs
        self._state, self._tree_at, self._trees = empty_rows(settings, count)
        self._counters = np.zeros(count, np.uint64)
        self._keys = stream_keys(self._seed, count)
        self._layout_ids = np.zeros(count, np.int64)
        self._episodes = np.zeros(count, np.int64)
        seeds = layout_list("panda", layout_seeds, settings.split)
        fixed = settings.preset != "random"
        self._source = (seeds, FIRST_SEED[settings.split], _SEED_BITS, fixed)
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
        if seed is not None:
            self._seed = whole_seed("panda", seed)
            self._keys = stream_keys(self._seed, self.num_envs)
            self._counters[:] = 0
            self._episodes[:] = 0
        if options and "layout_seeds" in options:
            self._source = (
                layout_list("panda", options["layout_seeds"], self.settings.split),
                *self._source[1:],
            )
            self._episodes[:] = 0
        for index in worlds_to_reset("panda", options, self.num_envs, begun=self._begun):
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
        self._begun = True
        return self.observation(), {"layout_id": self._layout_ids.copy()}

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
        if not self._begun:
            raise ConfigError("panda: step was called before the first reset; call reset first")
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

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        return saved_state(self._arrays(), self._source[0], self.illegal_actions, RULES_VERSION)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the future depends on, by name."""
        return dict(zip(_WORLD, self._world(), strict=True))

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged.
        """
        saved = read_saved("panda", state, self._arrays(), RULES_VERSION)
        self._require_cells(saved["state"])
        for name, array in self._arrays().items():
            array[...] = saved[name]
        self._begun = True
        self._source = (
            layout_list("panda", state["layout_list"], self.settings.split),
            *self._source[1:],
        )
        self.illegal_actions = int(state["illegal_actions"])
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

"""What the vector environments of all games share: many worlds of one game, stepped together.

A game brings its settings, its spaces and one compiled step. Here is the rest: how arguments
are read, how episodes begin by seed and by layout, and how the whole state, randomness
included, is saved and set. An episode that ends is followed by the next one in the same step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.games.layout_seeds import FIRST_SEED, SEEDS_PER_SPLIT, Split
from maskrl.envs.games.random_stream import stream_keys
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
"""What is observed, by name; of a vector environment `[num_envs, ...]`."""

LayoutSeeds = int | Sequence[int] | npt.NDArray[np.int64] | None
"""Which layouts are played: a list of seeds, the first n of a split, or random ones."""

Settings = TypeVar("Settings")
_SEED_BITS = SEEDS_PER_SPLIT.bit_length() - 1


class VectorWorld(
    VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]], Generic[Settings]
):
    """`num_envs` worlds of one game that step together.

    Args:
        num_envs: How many worlds.
        seed: Seed of all randomness, unless `reset` gets one.
        layout_seeds: Layouts to play, in this order: world i plays number i, then
            i + num_envs, and so on, around. A number n means the first n of the split.
            By default random ones of the split.
        copy: Whether returned observations are copies (True) or read-only views of
            arrays that the next step overwrites.
        **settings: Fields of the game's settings.

    Attributes:
        world: The game's name, which messages begin with.
        settings_type: The dataclass of its settings.
        rules_version: Of the rules that a saved state belongs to.
        settings: As they were given.
        illegal_actions: Actions against the mask that were sent so far.

    Raises:
        ConfigError: A setting is out of range or unknown; the message names it.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    takes_reset_mask = True

    world: ClassVar[str]
    rules_version: ClassVar[int]
    settings_type: type[Settings]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        seed: int = 0,
        layout_seeds: LayoutSeeds = None,
        copy: bool = True,
        **settings: Any,
    ) -> None:
        require_known(self.world, self.settings_type.__dataclass_fields__, settings)  # type: ignore[attr-defined]
        self.settings = self.settings_type(**settings)
        self.num_envs = count_of_worlds(self.world, num_envs)
        self.single_observation_space, self.single_action_space = self._spaces()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.illegal_actions = 0
        self._copy = copy
        self._autoreset = True
        self._begun = False
        self._keys = stream_keys(whole_seed(self.world, seed), self.num_envs)
        self._counters = np.zeros(self.num_envs, np.uint64)
        self._layout_ids = np.zeros(self.num_envs, np.int64)
        self._episodes = np.zeros(self.num_envs, np.int64)
        # What compiled code draws layouts by: those listed, and where those of the split begin.
        first = FIRST_SEED[self._split()]
        self._source: tuple[Any, ...] = (self._read_layouts(layout_seeds), first, _SEED_BITS)
        self._allocate()

    @abstractmethod
    def _spaces(self) -> tuple[spaces.Dict, spaces.Space[Any]]:
        """The observation and action space of one world."""

    @abstractmethod
    def _allocate(self) -> None:
        """Make every array that a step reads or writes."""

    @abstractmethod
    def _begin_episode(self, index: int) -> None:
        """Begin the next episode of one world.

        Raises:
            ConfigError: No layout is found.
        """

    @abstractmethod
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the future depends on, by name."""

    @abstractmethod
    def _require_sound(self, saved: Mapping[str, npt.NDArray[Any]]) -> None:
        """Refuse a saved state that no play leads to: compiled code would follow it.

        Raises:
            ConfigError: It says something impossible.
        """

    @abstractmethod
    def _derive(self) -> None:
        """Compute anew what follows from a state that was set."""

    @abstractmethod
    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""

    def _split(self) -> Split:
        """Which layouts random ones are drawn from, and a number counts."""
        split: Split = getattr(self.settings, "split", "train")
        return split

    def _read_layouts(self, layout_seeds: Any) -> npt.NDArray[np.int64]:
        """Layout seeds as compiled code takes them."""
        return layout_list(self.world, layout_seeds, self._split())

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

        Raises:
            MaskDtypeError, MaskShapeError: `reset_mask` is not boolean, or not [num_envs].
            ConfigError: The seed or the layouts cannot be used, or the first reset leaves some
                worlds out: nothing was changed then. Or no layout is found.
        """
        options = options or {}
        anew = worlds_to_reset(self.world, options, self.num_envs, begun=self._begun)
        listed = self._source[0]
        if "layout_seeds" in options:
            listed = self._read_layouts(options["layout_seeds"])
        if seed is not None:
            self._keys[:] = stream_keys(whole_seed(self.world, seed), self.num_envs)
            self._counters[:] = 0
        if seed is not None or "layout_seeds" in options:
            self._episodes[:] = 0
        self._source = (listed, *self._source[1:])
        for index in anew:
            self._begin_episode(index)
        self._begun = True
        return self.observation(), {"layout_id": self._layout_ids.copy()}

    def _require_begun(self) -> None:
        """Refuse a step before the first reset.

        Raises:
            ConfigError: `reset` was never called.
        """
        if not self._begun:
            raise ConfigError(
                f"{self.world}: step was called before the first reset; call reset first"
            )

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact."""
        listed = self._source[0]
        return saved_state(self._arrays(), listed, self.illegal_actions, self.rules_version)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world (other sizes or other rules) or damaged;
                nothing was changed then.
        """
        saved = read_saved(self.world, state, self._arrays(), self.rules_version)
        self._require_sound(saved)
        listed = self._read_layouts(state["layout_list"])
        for name, array in self._arrays().items():
            array[...] = saved[name]
        self._source = (listed, *self._source[1:])
        self.illegal_actions = int(state["illegal_actions"])
        self._begun = True
        self._derive()

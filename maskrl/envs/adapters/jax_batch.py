"""A batch of environments written in JAX: pure functions, compiled and run for B copies.

Each copy has a key of its own, from which the randomness of every step and every episode is
split, so that what it plays does not depend on its neighbours. Episodes begin a few copies at
a time, in pieces of one size, so that JAX compiles one such function and not one per number.
JAX is imported when a batch is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.adapters.batches import Observation, Stepped
from maskrl.errors import ConfigError

PIECE = 8
"""How many episodes begin in one call at most."""


class JaxWorld(Protocol):
    """One environment as pure functions, and what its spaces are.

    Attributes:
        name: What messages call it.
        observation_space, action_space, nvec: As in `Batch`.
        rendered: As in `Batch`.
    """

    name: str
    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    nvec: tuple[int, ...]
    rendered: tuple[str, ...]

    def begin(self, key: Any) -> tuple[Any, dict[str, Any]]:
        """State and observation of a new episode."""

    def advance(
        self, state: Any, action: Any, key: Any
    ) -> tuple[Any, dict[str, Any], Any, Any, Any, dict[str, Any]]:
        """State, observation, reward, terminated, truncated, infos after an action."""

    def picture(self, state: Any, mode: str) -> Any:
        """A picture of a state."""


class JaxBatch:
    """B copies of a `JaxWorld`; see `Batch` for its methods.

    Args:
        world: The environment.
        num_envs: B, at least 1.

    Raises:
        ConfigError: `num_envs` is no positive whole number, or the environment's functions
            cannot be compiled.
    """

    def __init__(self, world: JaxWorld, num_envs: int) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError(
                f"{world.name}: num_envs must be a whole number from 1 on; got {num_envs!r}"
            )
        self.jax = jax = importlib.import_module("jax")
        self.world = world
        self.name = world.name
        self.num_envs = num_envs
        self.observation_space = world.observation_space
        self.action_space = world.action_space
        self.nvec = world.nvec
        self.rendered = world.rendered
        for attribute in ("action_names", "entity_names", "gives_agent_rewards"):
            if hasattr(world, attribute):
                setattr(self, attribute, getattr(world, attribute))
        self._piece = min(num_envs, PIECE)
        key = jax.random.PRNGKey(0)
        self._keys = jax.numpy.zeros((num_envs, *key.shape), key.dtype)
        try:
            shapes = jax.eval_shape(world.begin, key)
        except Exception as error:
            raise ConfigError(
                f"environment {world.name!r}: its reset fails while JAX traces it: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._state, self._seen = jax.tree_util.tree_map(
            lambda leaf: jax.numpy.zeros((num_envs, *leaf.shape), leaf.dtype), shapes
        )
        self._dtypes = {k: space.dtype for k, space in world.observation_space.spaces.items()}
        self._begin = jax.jit(self._begin_piece)
        self._step = jax.jit(jax.vmap(self._step_one))

    def seed(self, seeds: list[int]) -> None:
        """Give every copy the seed of all its further randomness."""
        words = np.array([(s >> 32 & 0xFFFFFFFF, s & 0xFFFFFFFF) for s in seeds], np.uint32)
        times = self._keys.shape[1] // words.shape[1]  # generators with longer keys exist
        self._keys = self.jax.numpy.asarray(np.tile(words, (1, times)))

    def begin(self, rows: npt.NDArray[np.int64]) -> None:
        """Begin new episodes in some copies, a piece at a time."""
        for start in range(0, len(rows), self._piece):
            piece = rows[start : start + self._piece]
            padded = np.pad(piece, (0, self._piece - len(piece)), mode="edge").astype(np.int32)
            self._state, self._seen, self._keys = self._begin(
                self._state, self._seen, self._keys, padded
            )

    def step(self, actions: npt.NDArray[np.int64]) -> Stepped:
        """Step all."""
        told = self._step(self._state, actions.astype(np.int32), self._keys)
        self._state, self._seen, self._keys, rewards, terminated, truncated, infos = told
        over = np.array(terminated, np.bool_)
        return Stepped(
            np.asarray(rewards, np.float64),
            over,
            np.array(truncated, np.bool_) & ~over,
            {name: np.array(value) for name, value in infos.items()},
        )

    def observe(self) -> Observation:
        """The present observation of all, copied out of JAX's memory."""
        return {key: np.array(self._seen[key], dtype) for key, dtype in self._dtypes.items()}

    def render(self, row: int, mode: str) -> Any:
        """A picture of one copy."""
        return self.world.picture(self.state_of(row), mode)

    def state_of(self, row: int) -> Any:
        """The library's own state of one copy."""
        return self.jax.tree_util.tree_map(lambda leaf: leaf[row], self._state)

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Keys, states and observations of all copies."""
        leaves = self.jax.tree_util.tree_leaves(self._all())
        return {f"{number:03d}": np.array(leaf) for number, leaf in enumerate(leaves)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: The state has other arrays than these copies.
        """
        leaves, form = self.jax.tree_util.tree_flatten(self._all())
        if len(state) != len(leaves):
            raise ConfigError(
                f"{self.name}: the saved state has {len(state)} arrays, this environment "
                f"{len(leaves)}: it is of another environment or another version of its library"
            )
        saved = [np.asarray(state[f"{number:03d}"]) for number in range(len(leaves))]
        for number, (old, new) in enumerate(zip(leaves, saved, strict=True)):
            if old.shape != new.shape or old.dtype != new.dtype:
                raise ConfigError(
                    f"{self.name}: array {number} of the saved state is {new.dtype} {new.shape}, "
                    f"expected {old.dtype} {old.shape}: it is of another environment, or of more "
                    "or fewer copies"
                )
        arrays = [self.jax.numpy.asarray(one) for one in saved]
        self._state, self._seen, self._keys = self.jax.tree_util.tree_unflatten(form, arrays)

    def _all(self) -> tuple[Any, Any, Any]:
        return self._state, self._seen, self._keys

    def _begin_piece(self, state: Any, seen: Any, keys: Any, rows: Any) -> tuple[Any, Any, Any]:
        """Begin episodes in the copies `rows`, of which one may be there more than once."""
        pairs = self.jax.vmap(self.jax.random.split)(keys[rows])
        fresh = self.jax.vmap(self.world.begin)(pairs[:, 1])
        state, seen = self.jax.tree_util.tree_map(
            lambda whole, piece: whole.at[rows].set(piece), (state, seen), fresh
        )
        return state, seen, keys.at[rows].set(pairs[:, 0])

    def _step_one(self, state: Any, action: Any, key: Any) -> tuple[Any, ...]:
        key, own = self.jax.random.split(key)
        state, seen, *told = self.world.advance(state, action, own)
        return (state, seen, key, *told)

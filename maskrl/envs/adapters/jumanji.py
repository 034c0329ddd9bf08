"""Jumanji's environments, written in JAX, as the contract has them.

`jumanji:Snake-v1` is one of Jumanji's own, `jumanji:package.module:factory` one's own. The
named tuple that an environment observes becomes entries of a Dict, nested names joined by a
dot; the mask stays boolean and becomes flat, and the kinds of masks are those of
`jumanji_kinds`. Rewards of several agents are added up. What is over by its time limit is
truncated, as Jumanji's discount says.
"""

from __future__ import annotations

import difflib
import inspect
import os
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs import construct
from maskrl.envs.adapters.batches import BatchEnv, BatchVectorEnv
from maskrl.envs.adapters.jax_batch import JaxBatch
from maskrl.envs.adapters.jumanji_kinds import MEANINGS, find_layout
from maskrl.envs.adapters.library_import import JUMANJI
from maskrl.envs.entries import is_mask_key, mask_space
from maskrl.errors import ConfigError, NoMaskError, UnknownEnvError
from maskrl.masks.tree import FLAT_MASK

PREFIX = "jumanji:"

OPTIONS = {
    "mask_kind": "What the mask means, where its shape leaves it open: "
    + "; ".join(f"{kind} {meaning}" for kind, meaning in MEANINGS.items())
    + ". Known for Jumanji's own environments.",
    "time_limit": "Steps until an episode is cut off, where the environment has a limit; all "
    "other arguments of its class may be given likewise, such as num_rows=6.",
}
"""Settings that every environment of Jumanji's takes, beside its own."""

JOINER = "."
"""Between the names of nested entries: `agent_position.row`."""

RENAMED = "own_"
"""Before names that mean something else in an observation of maskrl's."""

COUNTERS = ("step_count",)
"""Whole numbers that count and are not one of some things: they are never made one-hot."""

MISCOUNTED = ("MultiCVRP",)
"""Environments whose action is said to have a choice more than there are: the mask is right."""

ACTION_NAMES = {
    "Snake": ("up", "right", "down", "left"),
    "Maze": ("up", "right", "down", "left"),
    "Game2048": ("up", "right", "down", "left"),
    "SlidingTilePuzzle": ("up", "right", "down", "left"),
    "PacMan": ("up", "right", "down", "left", "stay"),
}
"""What Jumanji's documentation calls the actions of its environments."""


class JumanjiWorld:
    """One of Jumanji's environments as pure functions; see `JaxWorld` for its methods.

    Args:
        env: A `jumanji.Environment`.
        name: What messages call it.
        mask_kind: What its mask means; None where its shape or its name says so.

    Raises:
        NoMaskError: Its observation has no `action_mask`.
        MaskShapeError: The mask does not fit the action.
        ConfigError: Two kinds of masks would fit, or a part of it has no fixed kind of space.

    Empty rows:
        Passed on, at the end of an episode and before it (a trapped snake): see `empty`.
    """

    rendered: tuple[str, ...] = ("rgb_array",)

    def __init__(self, env: Any, name: str, mask_kind: str | None = None) -> None:
        self.env = env
        self.name = name
        self._jax = jax = JUMANJI.load(name, "jax")
        _, step = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
        self._paths = {
            tuple(_key(part) for part in path): leaf
            for path, leaf in jax.tree_util.tree_flatten_with_path(step.observation)[0]
        }
        if (FLAT_MASK,) not in self._paths:
            raise NoMaskError(
                f"environment {name!r}: its observation has no {FLAT_MASK!r}; its entries are "
                f"{', '.join(JOINER.join(path) for path in self._paths)}. It masks nothing, so "
                "there is nothing to do here that other libraries do not do."
            )
        spec = env.action_spec
        self._action_dtype = spec.dtype
        short = name.removeprefix(PREFIX).rpartition("-v")[0]
        mask_shape = self._paths[(FLAT_MASK,)].shape
        choices = _choices(name, spec)
        if short in MISCOUNTED:
            choices = np.full_like(choices, mask_shape[-1])
        self.layout = find_layout(name, mask_shape, choices, mask_kind)
        self.nvec = self.layout.nvec
        self.action_space = self.layout.action_space
        names = ACTION_NAMES.get(short) or self.layout.action_names()
        if names is not None and len(names) == self.layout.width:
            self.action_names = names
        self._names = {path: _entry_name(path) for path in self._paths}
        entries = {
            entry: _space(env.observation_spec, path, self._paths[path])
            for path, entry in self._names.items()
            if path != (FLAT_MASK,)
        }
        entries[FLAT_MASK] = mask_space(self.layout.width)
        if len(entries) < len(self._paths):
            raise ConfigError(
                f"environment {name!r}: two parts of its observation get one name: "
                f"{sorted(self._names.values())}"
            )
        self.observation_space = spaces.Dict(entries)

    def begin(self, key: Any) -> tuple[Any, dict[str, Any]]:
        """State and observation of a new episode."""
        state, step = self.env.reset(key)
        return state, self._entries(step.observation)

    def advance(self, state: Any, action: Any, key: Any) -> tuple[Any, ...]:
        """A step of the environment; its state has a key of its own."""
        numpy = self._jax.numpy
        if self.layout.kind == "joint":
            action = numpy.stack(numpy.unravel_index(action, self.layout.sizes))
        if not self.layout.has_parts:
            action = action.reshape(())
        state, step = self.env.step(state, action.astype(self._action_dtype))
        cut = step.last() & (numpy.asarray(step.discount) > 0).any()
        told = {
            f"jumanji.{name}": value
            for name, value in step.extras.items()
            if getattr(value, "ndim", 1) == 0
        }
        reward = numpy.asarray(step.reward).sum()
        return state, self._entries(step.observation), reward, step.last() & ~cut, cut, told

    def picture(self, state: Any, mode: str) -> Any:
        """What Jumanji draws, uint8 [h, w, 3]."""
        pyplot = JUMANJI.load(self.name, "matplotlib.pyplot")

        viewer = next(
            (v for n in ("_viewer", "_env_viewer", "viewer") if (v := getattr(self.env, n, None))),
            None,
        )
        if viewer is None or not hasattr(viewer, "_display_rgb_array"):
            raise ConfigError(f"environment {self.name!r} draws no pictures that can be read")
        drawn: list[Any] = []  # not every `render` gives back what it has drawn
        viewer._display = lambda figure: drawn.append(viewer._display_rgb_array(figure))
        backend, theirs = pyplot.get_backend(), set(pyplot.get_fignums())
        try:
            pyplot.switch_backend("agg")
            self.env.render(state)
        finally:
            for number in set(pyplot.get_fignums()) - theirs:
                pyplot.close(number)
            pyplot.switch_backend(backend)
        return np.array(drawn[-1][..., :3], np.uint8)

    def _entries(self, observation: Any) -> dict[str, Any]:
        flatten = self._jax.tree_util.tree_flatten_with_path
        leaves = {tuple(_key(p) for p in path): leaf for path, leaf in flatten(observation)[0]}
        seen = {entry: leaves[path] for path, entry in self._names.items()}
        seen[FLAT_MASK] = seen[FLAT_MASK].reshape(self.layout.width).astype(bool)
        return seen


def check_name(name: str) -> None:
    """Check that a name means an environment, without making it.

    Raises:
        LibraryMissingError: Jumanji is not installed.
        UnknownEnvError: It means none; the message offers the nearest.
    """
    if ":" in name:
        JUMANJI.load(PREFIX + name)
        _find_own(name)
        return
    package = JUMANJI.load(PREFIX + name)
    known = sorted(package.registered_environments())
    if name in known:
        return
    base = name.rpartition("-v")[0] or name
    near = [one for one in known if one.rpartition("-v")[0].lower() == base.lower()]
    near = near or difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    advice = f" Did you mean {' or '.join(PREFIX + one for one in near)}?" if near else ""
    raise UnknownEnvError(
        f"environment {PREFIX + name!r}: Jumanji does not know it.{advice} It has "
        f"{', '.join(known)}; one's own is {PREFIX}package.module:factory."
    )


def make_world(name: str, *, mask_kind: str | None = None, **kwargs: Any) -> JumanjiWorld:
    """One of Jumanji's environments by its name, as pure functions.

    Args:
        name: As after "jumanji:".
        mask_kind: As in `JumanjiWorld`.
        kwargs: Arguments of the environment's class.

    Raises:
        LibraryMissingError: Jumanji is not installed.
        UnknownEnvError: There is no such environment.
        ConfigError: It cannot be made with these arguments.
    """
    check_name(name)
    package = JUMANJI.load(PREFIX + name)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded behind one's back
    factory = _find_own(name) if ":" in name else partial(package.make, name)
    env = construct.call(f"environment {PREFIX + name!r}", factory, kwargs)
    if not isinstance(env, package.env.Environment):
        raise ConfigError(
            f"environment {PREFIX + name!r}: expected a jumanji.Environment, got {type(env)}"
        )
    return JumanjiWorld(env, PREFIX + name, mask_kind)


def make_jumanji(
    name: str, *, render_mode: str | None = None, seed: int = 0, **kwargs: Any
) -> gymnasium.Env[Any, Any]:
    """One environment by its name."""
    return BatchEnv(JaxBatch(make_world(name, **kwargs), 1), seed=seed, render_mode=render_mode)


def make_jumanji_vec(
    name: str, num_envs: int, *, seed: int = 0, **kwargs: Any
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments by their name, stepped in one compiled call."""
    return BatchVectorEnv(JaxBatch(make_world(name, **kwargs), num_envs), seed=seed)


def _find_own(path: str) -> Any:
    """The class or function named "package.module:factory" that makes an environment.

    A function must say that it returns one: names also come from run folders.
    """
    module_name, _, attribute = path.partition(":")
    base = JUMANJI.load(PREFIX + path, "jumanji.env").Environment
    module = construct.import_module(module_name, PREFIX + path)
    found = getattr(module, attribute, None)
    if found is None:
        raise UnknownEnvError(
            f"environment {PREFIX + path!r}: module {module_name!r} has no {attribute!r}"
        )
    declared = getattr(found, "__annotations__", {}).get("return")
    makes = inspect.isclass(found) and issubclass(found, base)
    says = inspect.isfunction(found) and (
        (inspect.isclass(declared) and issubclass(declared, base))
        or (isinstance(declared, str) and declared.rpartition(".")[2] == "Environment")
    )
    if not makes and not says:
        raise ConfigError(
            f"environment {PREFIX + path!r}: expected a class derived from jumanji.Environment, or "
            f"a function annotated as returning one (def {attribute}(...) -> jumanji.Environment), "
            f"got {found!r}"
        )
    return found


def _key(part: Any) -> str:
    """The name of a step of a path into nested tuples, mappings and dataclasses."""
    for attribute in ("name", "key", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _entry_name(path: tuple[str, ...]) -> str:
    entry = JOINER.join(path) or "observation"
    if path != (FLAT_MASK,) and (is_mask_key(entry) or entry in ("candidates", "entities")):
        return RENAMED + entry
    return entry


def _choices(name: str, spec: Any) -> Any:
    """How many choices an action has: a number, or one per part."""
    if getattr(spec, "num_values", None) is not None:
        return np.asarray(spec.num_values)
    whole = np.issubdtype(np.dtype(spec.dtype), np.integer)
    least, most = getattr(spec, "minimum", None), getattr(spec, "maximum", None)
    if not whole or most is None or np.any(np.asarray(least)):
        raise ConfigError(
            f"environment {name!r}: an action is {spec}, which is no choice among numbered ones; "
            "masks need a DiscreteArray or a MultiDiscreteArray."
        )
    return np.broadcast_to(np.asarray(most), spec.shape).astype(np.int64) + 1


def _space(spec: Any, path: tuple[str, ...], leaf: Any) -> spaces.Space[Any]:
    """The space of one part of an observation, with the bounds that Jumanji tells."""
    try:
        for part in path:
            spec = spec[part]
    except (KeyError, TypeError, AttributeError):
        spec = None  # told by the values alone
    dtype, shape = np.dtype(leaf.dtype), tuple(leaf.shape)
    choices = getattr(spec, "num_values", None)
    if choices is not None and np.ndim(choices) == 0 and path[-1:] not in [(c,) for c in COUNTERS]:
        return spaces.Discrete(int(choices))
    if dtype == np.bool_:
        return mask_space(*shape)
    whole = np.issubdtype(dtype, np.integer)
    extremes: Any = np.iinfo(dtype) if whole else None
    low = getattr(spec, "minimum", extremes.min if whole else -np.inf)
    high = getattr(spec, "maximum", extremes.max if whole else np.inf)
    least, most = (np.broadcast_to(np.asarray(b), shape).astype(dtype) for b in (low, high))
    return spaces.Box(least, most, dtype=dtype.type)

"""Where a foreign environment may have its action mask, and every place looked at once.

An observation's entry, an entry of info, a method, an attribute or a function handed in;
by the name that the caller gave, or by the names that are in use. What is found is read
once, right after a reset, so that its form can be told and several sources compared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.envs.adapters.call_arguments import arguments_of, call_with, import_function
from maskrl.envs.adapters.raw_mask import BinaryConvention
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK

Source = Literal["observation", "info", "method", "attribute", "callable"]
"""Kinds of places, in the order in which they are preferred where they agree."""

Missing = Literal["error", "all"]
"""What a mask means that is None or absent while the episode goes on."""

NAMES = (
    FLAT_MASK,
    "action_masks",
    "get_action_mask",
    "get_action_masks",
    "valid_action_mask",
    "get_valid_action_mask",
    "legal_action_mask",
    "legal_actions_mask",
    "get_legal_actions_mask",
    "legal_actions",
    "get_legal_actions",
    "valid_actions",
    "get_valid_actions",
    "available_actions",
    "get_available_actions",
    "avail_actions",
    "get_avail_actions",
    "legal_moves",
    "get_legal_moves",
    "valid_moves",
    "get_valid_moves",
    "available_moves",
    "get_available_moves",
)
"""Names under which environments have their masks without being asked."""

PROMISED = {"observation": (FLAT_MASK,), "info": (FLAT_MASK,), "method": ("action_masks",)}
"""Names that mean a mask whatever is found there: what is wrong with it is an error."""

DOUBTFUL = (
    "invalid_action_mask",
    "invalid_action_masks",
    "invalid_actions_mask",
    "invalid_actions",
    "illegal_actions",
    "forbidden_actions",
    "blocked_actions",
    "unavailable_actions",
)
"""Names that say the opposite and are used in both senses: pointed out, never taken."""


@dataclass(frozen=True)
class MaskSettings:
    """What the caller said about an environment's mask; nothing, as a rule.

    Attributes:
        key: Name of the entry, method or attribute; all of `NAMES` where None.
        source: The only kind of place to look at.
        fn: A function that computes the mask, or its name "package.module:function".
        form: "mask", "ids" or "dict"; read off the first mask where None.
        missing: What None means.
        allowed: The value that means allowed, 1 or 0.
        binary_convention: How masks of bits are written.
    """

    key: str | None = None
    source: Source | None = None
    fn: Callable[..., Any] | str | None = None
    form: Literal["mask", "ids", "dict"] | None = None
    missing: Missing = "error"
    allowed: int = 1
    binary_convention: BinaryConvention = "pairs"

    def __post_init__(self) -> None:
        """Refuse values that are none, and settings that contradict each other."""
        if self.key is not None and not (isinstance(self.key, str) and self.key):
            raise ConfigError(f"mask_key: expected a name, got {self.key!r}")
        for name, value, known in (
            ("mask_source", self.source, get_args(Source)[:-1]),
            ("mask_form", self.form, ("mask", "ids", "dict")),
            ("mask_missing", self.missing, get_args(Missing)),
        ):
            if value is not None and value not in known:
                raise ConfigError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        if self.allowed not in (0, 1):
            raise ConfigError(
                f"mask_allowed: expected 1 (ones are allowed) or 0 (zeros are allowed), got "
                f"{self.allowed!r}"
            )
        if self.fn is None:
            return
        if not (callable(self.fn) or isinstance(self.fn, str)):
            raise ConfigError(
                "mask_fn: expected a callable or the name of one, package.module:function, got "
                f"{self.fn!r}"
            )
        both = [n for n in ("key", "source") if getattr(self, n) is not None]
        if both:
            raise ConfigError(
                f"mask_fn and mask_{both[0]} were given; a function needs no other place: leave "
                "one of the two out"
            )

    @property
    def says_where(self) -> bool:
        """Whether a place is named."""
        return not (self.key is None and self.source is None and self.fn is None)

    def function(self) -> Callable[..., Any] | None:
        """`fn`, imported where it is a name."""
        return import_function(self.fn) if isinstance(self.fn, str) else self.fn


@dataclass(frozen=True)
class Place:
    """One place where something was found that may be the mask.

    Attributes:
        source: Its kind.
        name: Of the entry, method, attribute or function.
        raw: What was there after the reset; of a method what it returned.
        arguments: What a function is called with, as `arguments_of` words it.
        failure: Why it could not be read; empty where it could.
    """

    source: Source
    name: str
    raw: Any = None
    arguments: tuple[str, ...] = ()
    failure: str = ""

    @property
    def where(self) -> str:
        """What messages call it: `info["action_mask"]`, `legal_actions(env.s)`."""
        if self.source in ("observation", "info"):
            return f"{self.source}[{self.name!r}]"
        called = f"({', '.join(self.arguments)})" if self.source != "attribute" else ""
        return f"{self.name}{called}"

    @property
    def is_promised(self) -> bool:
        """Whether a place of this name means the mask even where it cannot be read."""
        return self.name in PROMISED.get(self.source, ())


def places(
    env: gymnasium.Env[Any, Any], observation: Any, info: Mapping[str, Any], settings: MaskSettings
) -> Iterator[Place]:
    """All places of an environment that may hold its mask, the preferred first.

    Args:
        env: Just reset.
        observation: From that reset.
        info: From that reset.
        settings: Which may name the place.

    Raises:
        ConfigError: The function that was named is not there, or asks for the unknown.
    """
    function = settings.function()
    if function is not None:
        name = name_of_function(function)
        yield _called("callable", name, function, env, observation, info)
        return
    names = NAMES if settings.key is None else (settings.key,)
    wanted = settings.source
    if wanted in (None, "observation") and isinstance(env.observation_space, spaces.Dict):
        for name in names:
            if name in env.observation_space.spaces and (
                settings.says_where or name == FLAT_MASK or _fits(env, name)
            ):
                yield Place("observation", name, observation.get(name))
    if wanted in (None, "info"):
        yield from (Place("info", name, info[name]) for name in names if name in info)
    for name in names:
        there, value = find_attribute(env, name, constants=settings.says_where)
        if not there:
            continue
        if callable(value):
            if wanted in (None, "method"):
                yield _called("method", name, value, env, observation, info)
        elif wanted in (None, "attribute") and (value is not None or settings.says_where):
            yield Place("attribute", name, value)


def find_attribute(
    env: gymnasium.Env[Any, Any], name: str, *, constants: bool = True
) -> tuple[bool, Any]:
    """Whether any layer of an environment has an attribute of this name, and its value.

    Args:
        env: The environment; its wrappers are asked from the outside in.
        name: Of the attribute.
        constants: Whether plain values count that stand in a class, and so are no state.
    """
    layer: Any = env
    while layer is not None:
        try:
            value = getattr(layer, name)
        except AttributeError:
            layer = getattr(layer, "env", None) if isinstance(layer, gymnasium.Wrapper) else None
            continue
        own = name in getattr(layer, "__dict__", {})
        stands = inspect.getattr_static(type(layer), name, None)
        constant = not own and not callable(value) and not hasattr(stands, "__get__")
        return (constants or not constant), value
    return False, None


def doubtful_names(env: gymnasium.Env[Any, Any], info: Mapping[str, Any]) -> list[str]:
    """Names out of `DOUBTFUL` that are there, for messages."""
    space = env.observation_space
    seen = set(space.spaces) if isinstance(space, spaces.Dict) else set()
    return [n for n in DOUBTFUL if n in seen or n in info or find_attribute(env, n)[0]]


def name_of_function(function: Callable[..., Any]) -> str:
    """What messages call a function."""
    return str(getattr(function, "__name__", type(function).__name__))


def _called(
    source: Source,
    name: str,
    function: Callable[..., Any],
    env: gymnasium.Env[Any, Any],
    observation: Any,
    info: Mapping[str, Any],
) -> Place:
    try:
        only = "env" if source == "callable" else None
        arguments = arguments_of(function, env, name, only=only)
    except ConfigError as error:
        if source == "callable":
            raise
        return Place(source, name, failure=str(error))
    try:
        raw = call_with(function, arguments, env, observation, info)
    except Exception as error:
        return Place(
            source, name, arguments=arguments, failure=f"it raises {type(error).__name__}: {error}"
        )
    return Place(source, name, raw, arguments)


def _fits(env: gymnasium.Env[Any, Any], name: str) -> bool:
    """Whether an entry of a name that is not reserved can be a mask: flags for the actions."""
    entry = env.observation_space[name]  # type: ignore[index]
    action_space = env.action_space
    if not isinstance(action_space, spaces.Discrete):
        return isinstance(entry, spaces.MultiBinary)
    if entry.shape != (int(action_space.n),):
        return False
    if isinstance(entry, spaces.MultiBinary):
        return True
    return isinstance(entry, spaces.Box) and bool(
        np.all(entry.low >= 0) and np.all(entry.high <= 1)
    )

"""What an audit sees of an environment at one moment, the same for every kind of environment.

A row is somebody who decides: the agent of a single environment, a row of a vector
environment, an agent of a team, the player whose turn it is. A subject is an environment
that speaks in rows and can be copied; its masks are read raw, as the environment gave them.
"""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from maskrl.errors import ConfigError
from maskrl.masks.heads import Heads, IntArray, sizes_of

FloatArray = npt.NDArray[np.float64]
Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Complaint:
    """Something wrong with one mask: the code and the two sides."""

    code: str
    expected: str
    got: str


@dataclass
class Reading:
    """One raw mask as it was handed out.

    Attributes:
        where: The place it was read from, in words.
        raw: The objects handed out, by the names of masks; None where there was none.
        kept: A deep copy of `raw`, made at once.
        kind: Type in words ("int8", "list of bool").
        masks: bool arrays as `maskrl.masks.heads` takes them; None where it cannot be read.
        complaints: What is wrong with it.
        others: The rows that other places tell, by their names.
        seconds: What reading took, where a method was called for it.
    """

    where: str
    raw: dict[str, Any] | None = None
    kept: dict[str, Any] | None = None
    kind: str = "None"
    masks: dict[str, np.ndarray] | None = None
    complaints: list[Complaint] = field(default_factory=list)
    others: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def missing(self) -> bool:
        """Whether no mask was handed out."""
        return self.raw is None


@dataclass
class Row:
    """Somebody who decides.

    Attributes:
        who: Empty for the only one; "row 2", "panda_1".
        acting: Whether it decides now.
        reading: Its mask.
        features: What it observes without its action mask, as one flat row of numbers.
        begins: Whether its episode begins here.
        ended: "terminated" or "truncated" where its episode ended here.
        final: In vector environments that reset at once, the mask of the state that ended.
    """

    who: str
    acting: bool
    reading: Reading
    features: FloatArray
    begins: bool = False
    ended: str = ""
    final: Reading | None = None


@dataclass
class Result:
    """What a row's action led to.

    Attributes:
        features: As in `Row`, afterwards; None where it is not told.
        reward: What it got.
        terminated: Its episode ended by the rules.
        truncated: Its episode was cut off.
    """

    features: FloatArray | None
    reward: float
    terminated: bool = False
    truncated: bool = False


@dataclass
class Moment:
    """All rows now, and what the rows of the moment before led to.

    Attributes:
        rows: In an order of their own; the same row keeps its name.
        results: One for each row of the moment before; empty after a reset.
        over: Whether the environment has to be reset.
    """

    rows: list[Row]
    results: list[Result] = field(default_factory=list)
    over: bool = False

    def row(self, who: str) -> Row | None:
        """The row of this name."""
        return next((row for row in self.rows if row.who == who), None)


class Subject(ABC):
    """An environment that is audited."""

    kind: str = ""
    """The sort of environment in words."""

    independent = False
    """Whether rows know nothing of each other, as in a vector environment."""

    def __init__(self, env: Any, name: str, heads: Heads) -> None:
        self.env = env
        self.name = name
        self.heads = heads

    @property
    def n_actions(self) -> int:
        """Choices of all heads of one row together."""
        return sum(sizes_of(self.heads))

    @abstractmethod
    def reset(self, seed: int | None) -> Moment:
        """Begin an episode; without a seed the next one."""

    @abstractmethod
    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """Let every row of the last moment act: int64 [K] each, None for one that waits."""

    def attempt(self, choices: Sequence[IntArray | None]) -> Moment:
        """As `step`, past wrappers that would answer a disallowed action themselves."""
        return self.step(choices)

    def fork(self) -> Subject:
        """An independent copy in the same state.

        Raises:
            ConfigError: It lives in other processes, or a copy would be in no state.
            Exception: Whatever copying the environment raises.
        """
        refuse_copies(self.env)
        return copy.deepcopy(self)

    def generators(self) -> list[Any]:
        """Generators of random numbers that the environment keeps as attributes."""
        layer, found = self.env, []
        while layer is not None:
            for value in list(getattr(layer, "__dict__", {}).values()):
                if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
                    found.append(value)
            layer = getattr(layer, "__dict__", {}).get("env")
        return found

    def close(self) -> None:
        """Close the environment."""
        close = getattr(self.env, "close", None)
        if callable(close):
            close()


def refuse_copies(env: Any, *, fresh_ones: bool = False) -> None:
    """Refuse to copy an environment of which a copy would be something else.

    Of one in other processes a copy would hold the same pipes, and closing it would close those
    of the original. Of Gymnasium's `EzPickle` it would be a fresh one, made with the same
    arguments, in no state at all.

    Args:
        env: The environment.
        fresh_ones: Whether a fresh one will do.

    Raises:
        ConfigError: It, or an environment that it wraps, is one of these.
    """
    layer = env
    while layer is not None:
        kind = type(layer)
        made_anew = getattr(kind, "__setstate__", None) is EzPickle.__setstate__
        if made_anew and not fresh_ones and not hasattr(kind, "__deepcopy__"):
            raise ConfigError("EzPickle makes it anew instead of copying its state")
        held = getattr(layer, "__dict__", {})
        for value in held.values():
            parts = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(part, BaseProcess | Connection) for part in parts):
                raise ConfigError("it lives in other processes, of which there are no copies")
        layer = held.get("env")


def as_number(reward: Any) -> float:
    """A reward as a number; 0 where it is none, which is for adapters to refuse."""
    try:
        return float(reward)
    except (TypeError, ValueError):
        array = np.asarray(reward)
        return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else 0.0


def flatten(observation: Any, leave_out: Collection[str] = ()) -> FloatArray:
    """An observation as one flat row of numbers, in a fixed order.

    Args:
        observation: Arrays, numbers, texts, and dicts and tuples of them.
        leave_out: Keys of the outermost dict that do not count.
    """
    parts: list[FloatArray] = []
    _collect(observation, leave_out, parts)
    return np.concatenate(parts) if parts else np.zeros(0)


def _collect(value: Any, leave_out: Collection[str], parts: list[FloatArray]) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            if key not in leave_out:
                _collect(value[key], (), parts)
        return
    if value is None or isinstance(value, str | bytes):
        parts.append(np.array([float(hash(value) % 2**31)]))
        return
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value, np.float64)
        except (ValueError, TypeError):
            for part in value:
                _collect(part, (), parts)
            return
        parts.append(array.reshape(-1))
        return
    try:
        parts.append(np.asarray(value).astype(np.float64).reshape(-1))
    except (ValueError, TypeError):
        parts.append(np.array([float(hash(str(value)) % 2**31)]))

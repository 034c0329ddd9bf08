"""From the observation of one agent to entries of a team's, with a row for every agent.

Agents of foreign environments observe boxes, whole numbers or nested dictionaries of them.
Each part becomes one `Box` entry [N, ...]: numbers keep their shape (floats become
float32), choices become one-hot. Rows of agents that are not there are zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces

from maskrl.envs.entries import AGENT_CELLS, is_mask_key
from maskrl.envs.teams import SCENE_ENTRIES
from maskrl.errors import ConfigError

Indicator = Literal["type", "slot", "none"]

JOINER = "."
"""Between the names of nested entries: `sensors.camera`."""

RENAMED = "own_"
"""Before names that mean something else in a team's observation."""

RESERVED = (AGENT_CELLS, "grid", "candidates", *SCENE_ENTRIES)


@dataclass(frozen=True)
class AgentEntry:
    """One entry of a team's observation and where an agent's part of it comes from.

    Attributes:
        name: Of the entry.
        path: Keys from the agent's observation to the part; empty for all of it.
        space: Of the part, as the environment declares it.
        shape: Of one agent's row.
        dtype: Of the entry.
    """

    name: str
    path: tuple[Any, ...]
    space: spaces.Space[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def stacked_space(self, agents: int) -> spaces.Box:
        """The space of the entry: a Box [N, ...] that also holds the zeros of those not there."""
        low: Any = 0.0
        high: Any = 1.0
        if isinstance(self.space, spaces.Box):
            low = np.minimum(self.space.low, 0).astype(self.dtype)
            high = np.maximum(self.space.high, 0).astype(self.dtype)
        shape = (agents, *self.shape)
        return spaces.Box(
            np.broadcast_to(np.asarray(low, self.dtype), shape),
            np.broadcast_to(np.asarray(high, self.dtype), shape),
            dtype=self.dtype.type,
        )

    def row(self, observation: Any) -> np.ndarray:
        """This entry's row of one agent, from the agent's whole observation.

        Raises:
            ConfigError: The part is missing, or of another shape than its space.
        """
        part = observation
        for key in self.path:
            try:
                part = part[key]
            except (KeyError, IndexError, TypeError) as error:
                raise ConfigError(
                    f"the observation has no entry {self._where()}, which its space has"
                ) from error
        if isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete):
            return _one_hot(part, self.space, self._where())
        values = np.asarray(part)
        if values.shape != self.shape or values.dtype.kind not in "biuf":
            raise ConfigError(
                f"{self._where()} has shape {values.shape} and dtype {values.dtype}, its space "
                f"{self.space} says {self.shape}"
            )
        return values.astype(self.dtype)

    def _where(self) -> str:
        return f"observation{''.join(f'[{key!r}]' for key in self.path)}"


def agent_entries(
    space: spaces.Space[Any], name: str, leave_out: Sequence[str] = ()
) -> tuple[AgentEntry, ...]:
    """The entries that hold all parts of an agent's observation.

    Args:
        space: Of one agent's observation.
        name: What messages call the environment.
        leave_out: Keys of the outermost Dict that are no features: the masks.

    Raises:
        ConfigError: A part is of a kind that has no fixed shape, or two parts get one name.
    """
    entries = []
    for path, part in _parts(space, leave_out):
        if isinstance(part, spaces.Box):
            floats = part.dtype.kind == "f" if part.dtype is not None else False
            dtype = np.dtype(np.float32) if floats else np.dtype(part.dtype)
            shape = part.shape
        elif isinstance(part, spaces.MultiBinary):
            dtype, shape = np.dtype(np.float32), tuple(part.shape)
        elif isinstance(part, spaces.Discrete | spaces.MultiDiscrete):
            dtype, shape = np.dtype(np.float32), (sum(_sizes(part)),)
        else:
            where = JOINER.join(map(str, path)) or "the observation"
            raise ConfigError(
                f"environment {name!r}: {where} of an agent is {part}; expected Box, Discrete, "
                "MultiDiscrete, MultiBinary, or a Dict or Tuple of them: agents' observations are "
                "stacked, so they need one shape. Ask the environment for another kind of "
                "observation, or pad this one."
            )
        entry = JOINER.join(map(str, path)) or "observation"
        if is_mask_key(entry) or entry in RESERVED:
            entry = RENAMED + entry
        entries.append(AgentEntry(entry, path, part, shape, dtype))
    names = [entry.name for entry in entries]
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise ConfigError(
            f"environment {name!r}: two parts of an agent's observation would both be called "
            f"{twice!r}; rename one."
        )
    return tuple(entries)


def first_difference(one: Any, other: Any, where: str = "") -> str | None:
    """What differs between two spaces, in words; None where they are equal."""
    if one == other:
        return None
    if type(one) is type(other) and isinstance(one, spaces.Dict):
        for key in {**one.spaces, **other.spaces}:
            if key not in one.spaces or key not in other.spaces:
                return f"only one of them has the entry {where}[{key!r}]"
            if inner := first_difference(one[key], other[key], f"{where}[{key!r}]"):
                return inner
    return f"{where + ' is ' if where else ''}{one} and {other}"


def possible_agents(env: Any, name: str) -> tuple[Any, ...]:
    """The names of all agents that can ever be there, each once.

    Raises:
        ConfigError: There are none, or one is there twice.
    """
    agents = tuple(getattr(env, "possible_agents", None) or ())
    if not agents:
        raise ConfigError(
            f"environment {name!r} has no possible_agents. Every agent that can ever be there "
            "gets a slot, so they must be known from the start."
        )
    if len(set(agents)) < len(agents):
        raise ConfigError(f"environment {name!r}: possible_agents has one twice: {list(agents)}")
    return agents


def indicator_rows(kind: str, agents: Sequence[Any], name: str) -> dict[str, np.ndarray]:
    """One-hot rows that tell agents apart, by the name of their entry; empty for none.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in get_args(Indicator):
        raise ConfigError(
            f"environment {name!r}: agent_indicator is {kind!r}; expected one of "
            f"{', '.join(get_args(Indicator))}."
        )
    if kind == "slot":
        return {"agent_slot": np.eye(len(agents), dtype=np.float32)}
    types = [re.sub(r"_?\d+$", "", str(agent)) for agent in agents]
    known = list(dict.fromkeys(types))
    if kind == "none" or len(known) == 1:
        return {}
    return {"agent_type": np.eye(len(known), dtype=np.float32)[[known.index(t) for t in types]]}


def _parts(
    space: spaces.Space[Any], leave_out: Sequence[str], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], spaces.Space[Any]]]:
    """The leaves of nested Dict and Tuple spaces with the keys that lead to them."""
    children: Mapping[Any, spaces.Space[Any]]
    if isinstance(space, spaces.Dict):
        children = space.spaces
    elif isinstance(space, spaces.Tuple):
        children = dict(enumerate(space.spaces))
    else:
        yield path, space
        return
    for key, inner in children.items():
        if path or key not in leave_out:
            yield from _parts(inner, (), (*path, key))


def _sizes(space: spaces.Discrete | spaces.MultiDiscrete) -> tuple[int, ...]:
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    return tuple(int(n) for n in space.nvec.reshape(-1))


def _one_hot(value: Any, space: spaces.Discrete | spaces.MultiDiscrete, where: str) -> np.ndarray:
    sizes = _sizes(space)
    index = np.asarray(value)
    if index.dtype.kind not in "biu" or index.shape != (space.shape or ()):
        raise ConfigError(f"{where} is {value!r}, its space {space}")
    index = index.reshape(-1).astype(np.int64) - np.asarray(space.start, np.int64).reshape(-1)
    if (index < 0).any() or (index >= np.asarray(sizes)).any():
        raise ConfigError(f"{where} is {value!r}, its space {space}")
    row = np.zeros(sum(sizes), np.float32)
    row[np.cumsum((0, *sizes[:-1])) + index] = 1.0
    return row

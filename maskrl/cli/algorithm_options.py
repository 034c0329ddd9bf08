"""Which algorithm a command is about, and options with the settings of that one alone.

`--algorithm` is looked for before anything is parsed, because the other options depend
on it: `--dqn.gamma` exists where DQN trains. A setting of another algorithm is refused by
a message that says which word is missing.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from maskrl.cli.arguments import word_after
from maskrl.errors import ConfigError
from maskrl.trainers.algorithms import ALGORITHMS

Name = Literal["ppo", "dqn", "sac"]
"""The names of `ALGORITHMS`, as a type that the parser can list."""

DEFAULT = "ppo"

T = TypeVar("T")


def algorithm_in(argv: Sequence[str], *, verb: str) -> str:
    """The algorithm that the words name, or the default.

    Args:
        argv: The words after a verb.
        verb: For messages.

    Raises:
        ConfigError: There is no such algorithm; or a word sets what belongs to another one.

    >>> algorithm_in(["panda", "--algorithm", "dqn"], verb="train")
    'dqn'
    """
    chosen = word_after("--algorithm", argv) or DEFAULT
    if chosen not in ALGORITHMS:
        near = difflib.get_close_matches(chosen.lower(), ALGORITHMS, n=1)
        advice = f" Did you mean {near[0]}?" if near else ""
        known = "; ".join(f"{name}: {a.summary}" for name, a in ALGORITHMS.items())
        raise ConfigError(f"--algorithm {chosen}: there is no such algorithm.{advice} {known}")
    for word in argv:
        owner = word.removeprefix("--").partition(".")[0]
        if word.startswith("--") and "." in word and owner in ALGORITHMS and owner != chosen:
            raise ConfigError(
                f"{word.partition('=')[0]} is a setting of {owner}, and this would {verb} with "
                f"{chosen}: add --algorithm {owner}, or leave it out. "
                f"`maskrl {verb} --algorithm {chosen} --help` lists the settings of {chosen}."
            )
    return chosen


def options_with(options: type[T], algorithm: str) -> type[T]:
    """A dataclass of options with one more field: the algorithm's settings, under its name.

    Args:
        options: A frozen dataclass without required fields.
        algorithm: Out of `ALGORITHMS`.
    """
    config: Any = ALGORITHMS[algorithm].config
    settings = (algorithm, config, dataclasses.field(default_factory=config))
    return dataclasses.make_dataclass(
        options.__name__,
        [settings],
        bases=(options,),
        frozen=True,
        namespace={"__doc__": options.__doc__, "__module__": options.__module__},
    )

"""From words to options: tyro, set up once, and the settings of an environment.

Help keeps the paragraphs and examples of a docstring. An environment's own settings are
written `--env key=value` or `--env.key value`, as often as needed; values are read as
in an environment's id.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import quote

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from maskrl.envs.registry import parse_env_id
from maskrl.errors import ConfigError

T = TypeVar("T")

_NONE = "none"
_KINDS = ConstructorRegistry()
_EMPTY_LINE = "\u200b"  # invisible; tyro would make two lines of a really empty one
_SECTIONS = re.compile(r"^(Args|Attributes|Returns|Raises|Reference|Yields):", re.MULTILINE)


def parse_options(
    options: type[T] | Callable[..., T], verb: str, argv: Sequence[str], *, default: Any = None
) -> T:
    """Parse the words after a verb; help and complaints are printed by tyro, which then exits.

    Args:
        options: A dataclass, or a function that is then called.
        verb: For the usage line.
        argv: The words.
        default: An instance of the dataclass whose values are the defaults.
    """
    extra = {} if default is None else {"default": default}
    return tyro.cli(
        options,
        prog=f"maskrl {verb}",
        description=help_text(options),
        args=split_env_options(argv),
        registry=_KINDS,
        **extra,
    )


@_KINDS.primitive_rule
def _whole_numbers(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[tuple[int, ...]] | None:
    """How lists of whole numbers are read and shown: tyro would show an empty one as nothing."""
    if get_origin(kind.type) is not tuple or get_args(kind.type) != (int, ...):
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[INT [INT ...]]",
        instance_from_str=lambda words: () if words == [_NONE] else tuple(map(int, words)),
        is_instance=lambda given: (
            isinstance(given, tuple) and all(isinstance(number, int) for number in given)
        ),
        str_from_instance=lambda numbers: [str(number) for number in numbers] or [_NONE],
    )


def call_with_options(function: Callable[..., Any], verb: str, argv: Sequence[str]) -> int:
    """Call a verb's function with what its signature and the words say."""
    return int(parse_options(function, verb, argv) or 0)


def help_text(documented: Any) -> str:
    """A docstring up to its formal sections, wrapped to the terminal: summary and examples.

    Every line is indented, because tyro joins lines that begin with a letter.
    """
    text = inspect.getdoc(documented) or ""
    found = _SECTIONS.search(text)
    width = min(100, shutil.get_terminal_size().columns) - 2
    lines: list[str] = []
    for block in (text[: found.start()] if found else text).strip().split("\n\n"):
        is_prose = "\n " not in block
        lines += textwrap.wrap(block, width) if is_prose else block.split("\n")
        lines.append("")
    return "\n".join(f"  {line}" if line else _EMPTY_LINE for line in lines[:-1])


def word_after(option: str, argv: Sequence[str]) -> str | None:
    """What is given to an option, looked for before anything is parsed; the last one counts.

    Returns:
        None where the option is not there, or nothing follows it.

    >>> word_after("--out", ["panda", "--out", "here", "--seed", "1"])
    'here'
    """
    found = None
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name == option:
            found = value if equals else next(iter(argv[place + 1 :]), None)
    return found


def split_env_options(argv: Sequence[str]) -> list[str]:
    """Rewrite `--env.key value` and `--env.key=value` as `--env key=value`.

    Raises:
        ConfigError: A `--env.key` has no value.

    >>> split_env_options(["panda", "--env.sight", "full"])
    ['panda', '--env', 'sight=full']
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if not word.startswith("--env."):
            words.append(word)
            continue
        key, equals, value = word.removeprefix("--env.").partition("=")
        if not equals:
            following = next(rest, None)
            if following is None:
                raise ConfigError(f"{word} needs a value, as in {word} VALUE")
            value = following
        words += ["--env", f"{key.replace('-', '_')}={value}"]
    return words


def env_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings of an environment from `key=value` words; later ones win.

    Raises:
        ConfigError: A word is not of that form.

    >>> env_settings(["sight=full", "max_trees=3"])
    {'sight': 'full', 'max_trees': 3}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--env {pair}: expected key=value, as in --env sight=full")
        settings |= parse_env_id(f"env?{name}={quote(value, safe='')}")[1]
    return settings


def join_env_id(base_id: str, settings: Mapping[str, Any]) -> str:
    """The id that `parse_env_id` splits into these two again.

    >>> join_env_id("panda", {"sight": "full", "max_trees": 3})
    'panda?sight=full&max_trees=3'
    """
    parts = []
    for name, value in settings.items():
        text = value if isinstance(value, str) else repr(value)
        part = f"{name}={quote(text, safe='')}"
        if parse_env_id(f"env?{part}")[1][name] != value:
            part = f"{name}={quote(repr(value), safe='')}"
        parts.append(part)
    return f"{base_id}?{'&'.join(parts)}" if parts else base_id

"""Which PettingZoo environment an id means, and making it.

"knights_archers_zombies_v11" is looked for in all of PettingZoo's families, as is
"butterfly/knights_archers_zombies_v11"; "package.module:factory" is one's own. PettingZoo
is imported when one is asked for. Environments in which agents take turns are converted
where they say that this is safe; the others are games, of which one seat is trained.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from maskrl.envs import construct
from maskrl.envs.adapters.pettingzoo_parallel import TEAM_OPTIONS, ParallelTeam
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, UnknownEnvError, UsageError

PREFIX = "pettingzoo:"
RECIPE = 'pip install "maskrl[pettingzoo]"'
FACTORY_NAMES = ("parallel_env", "env", "raw_env")
"""What PettingZoo's own modules call the functions that make their environments."""


LINE_GAMES = ("connect_four", "tictactoe")
SELF_PLAYED = (
    *LINE_GAMES,
    "chess",
    "go",
    "leduc_holdem",
    "texas_holdem",
    "texas_holdem_no_limit",
)
"""Games of two players with equal chances, in which a learner may play against itself."""


class PettingZooMissingError(UsageError, ImportError):
    """PettingZoo, or what one of its families needs, is not installed."""


def short_id(name: str) -> str:
    """A name without its family and with "_v" before its version: one spelling for one thing.

    >>> short_id("butterfly/knights_archers_zombies-v11"), short_id("mine.envs:MyEnv")
    ('knights_archers_zombies_v11', 'mine.envs:MyEnv')
    """
    if ":" in name:
        return name
    return re.sub(r"-v(\d+)$", r"_v\1", name.rpartition("/")[2])


def game_defaults(name: str) -> dict[str, Any]:
    """What is said of a game in its entry: against whom it is trained, and measured.

    >>> game_defaults("connect_four_v3")["default_kwargs"]
    {'opponent': 'self'}
    """
    base = re.sub(r"_v\d+$", "", short_id(name))
    if base not in SELF_PLAYED:
        return {}
    lines = base in LINE_GAMES
    measured = {"opponent": "win_or_block" if lines else "random", "opening_moves": int(lines)}
    return {
        "default_kwargs": {"opponent": "self"},
        "validation_kwargs": measured,
        "evaluation_kwargs": measured,
    }


def check_name(name: str) -> None:
    """Check that a name means an environment, without making it.

    Raises:
        PettingZooMissingError: PettingZoo is not installed.
        UnknownEnvError: It means none; the message offers the nearest.
        ConfigError: It names something that makes no PettingZoo environment.
    """
    if ":" in name:
        _find_own(name)
    else:
        _find_registered(name)


def make_parallel(name: str, **kwargs: Any) -> ParallelTeam:
    """Make one environment by its name and adapt it.

    Args:
        name: As after "pettingzoo:".
        kwargs: Settings in `TEAM_OPTIONS`; all others are the environment's.

    Raises:
        PettingZooMissingError: PettingZoo, or what the environment needs, is not installed.
        UnknownEnvError: There is no such environment.
        ConfigError: It cannot be made, or agents take turns in it.
    """
    options = {key: kwargs.pop(key) for key in TEAM_OPTIONS if key in kwargs}
    factory = find_factory(name, kwargs.get("render_mode"))
    made = construct.call(f"environment {PREFIX + name!r}", factory, kwargs)
    return ParallelTeam(as_parallel(made, PREFIX + name), name=PREFIX + name, **options)


def find_factory(name: str, render_mode: str | None = None) -> Callable[..., Any]:
    """What makes an environment, with what it needs imported.

    Args:
        name: As after "pettingzoo:".
        render_mode: What it is going to be made with.

    Raises:
        PettingZooMissingError: PettingZoo, or what the environment needs, is not installed.
        UnknownEnvError: There is no such environment.
    """
    _draw_nowhere(render_mode)
    return _find_own(name) if ":" in name else _factory(name, *_find_registered(name))


def is_turn_game(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether agents take turns in it, and could not act at once.

    Of PettingZoo's own those are games that it offers in no parallel form. Of one's own, which
    may be either, one is made and its metadata are asked for `is_parallelizable`.

    Args:
        name: As after "pettingzoo:".
        kwargs: What it is made with.

    Raises:
        PettingZooMissingError: PettingZoo is not installed.
        UnknownEnvError: There is no such environment.
        ConfigError: One's own cannot be made.
    """
    if ":" not in name:
        return _find_registered(name)[0] == "aec"
    from pettingzoo import AECEnv, ParallelEnv

    factory = _find_own(name)
    if inspect.isclass(factory) and issubclass(factory, ParallelEnv):
        return False
    made = construct.call(f"environment {PREFIX + name!r}", factory, kwargs)
    found = isinstance(made, AECEnv) and not made.metadata.get("is_parallelizable", False)
    if isinstance(made, AECEnv | ParallelEnv):
        made.close()
    return found


def make_parallel_vec(
    name: str, num_envs: int, *, seed: int | None = None, **kwargs: Any
) -> GymnasiumVectorEnv:
    """Make `num_envs` environments by their name, stepping in this process."""
    return GymnasiumVectorEnv([lambda: make_parallel(name, **kwargs)] * num_envs, seed=seed)


def as_parallel(env: Any, name: str) -> Any:
    """A `ParallelEnv` as it is, an `AECEnv` converted where it says that this is safe.

    Raises:
        ConfigError: Agents take turns in it, or it is no PettingZoo environment.
    """
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils.conversions import aec_to_parallel

    if isinstance(env, ParallelEnv):
        return env
    if not isinstance(env, AECEnv):
        raise ConfigError(
            f"environment {name!r}: expected a pettingzoo.ParallelEnv or AECEnv, got {type(env)}."
        )
    if not env.metadata.get("is_parallelizable", False):
        raise ConfigError(
            f"environment {name!r}: its agents take turns (an AECEnv whose metadata do not say "
            "is_parallelizable), and a team acts at once. Give a ParallelEnv, or its id, by which "
            "one agent is trained against opponents. If all that happens in it happens at the end "
            'of a round of turns, say metadata["is_parallelizable"] = True.'
        )
    return aec_to_parallel(env)


def is_pettingzoo(env: Any) -> bool:
    """Whether an object is an environment of PettingZoo's; asked without importing it."""
    package = sys.modules.get("pettingzoo")
    kinds = (getattr(package, "ParallelEnv", None), getattr(package, "AECEnv", None))
    return any(kind is not None and isinstance(env, kind) for kind in kinds)


def _pettingzoo() -> Any:
    """The package with its registries."""
    try:
        module = importlib.import_module("pettingzoo")
    except ImportError as error:
        raise PettingZooMissingError(
            f"PettingZoo is not installed, or does not import ({error}). Install it: {RECIPE}"
        ) from error
    if not hasattr(module, "parallel_registry"):
        raise PettingZooMissingError(
            f"PettingZoo {getattr(module, '__version__', '?')} has no registry of its "
            f"environments; 1.27 has. Install it: {RECIPE}"
        )
    return module


def _find_registered(name: str) -> tuple[str, Any]:
    """("parallel" or "aec", specification) of an environment that PettingZoo knows."""
    package = _pettingzoo()
    registries: dict[str, Mapping[str, Any]] = {
        "parallel": package.parallel_registry,
        "aec": package.aec_registry,
    }
    wanted = re.sub(r"_v(\d+)$", r"-v\1", name)
    for kind, registry in registries.items():
        found = [key for key in registry if wanted in (key, key.rpartition("/")[2])]
        if len(found) > 1:
            raise UnknownEnvError(
                f"environment {PREFIX + name!r}: several families have it; name one: "
                f"{' or '.join(PREFIX + key for key in found)}."
            )
        if found:
            return kind, registry[found[0]]
    known = {short_id(key): key for registry in registries.values() for key in registry}
    base = re.sub(r"[-_]v\d+$", "", short_id(name))
    versions = [short for short in known if re.sub(r"_v\d+$", "", short) == base]
    near = versions or difflib.get_close_matches(short_id(name), known, n=3, cutoff=0.5)
    why = "does not know it"
    if versions:
        version = re.search(r"[-_](v\d+)$", name)
        why = f"does not have {version[1]}" if version else "names it with its version"
    advice = f" Did you mean {' or '.join(PREFIX + short for short in near)}?" if near else ""
    raise UnknownEnvError(
        f"environment {PREFIX + name!r}: PettingZoo {package.__version__} {why}.{advice} One's "
        f"own is {PREFIX}package.module:factory."
    )


def _factory(name: str, kind: str, spec: Any) -> Callable[..., Any]:
    """What makes an environment of PettingZoo's, with its family's packages imported."""
    module_name, _, function = str(spec.entry_point).partition(":")
    try:
        if callable(spec.entry_point):
            return spec.make
        getattr(importlib.import_module(module_name), function)
    except ImportError as error:
        family = spec.namespace or "all"
        recipe = RECIPE if family == "butterfly" else f'pip install "pettingzoo[{family}]"'
        raise PettingZooMissingError(
            f"environment {PREFIX + name!r}: what it needs is not installed ({error}). Install "
            f"it: {recipe}"
        ) from error
    return spec.make


def _find_own(path: str) -> Callable[..., Any]:
    """The class or function named "package.module:factory".

    A function must say that it makes an environment, by its annotation or by a name that
    PettingZoo uses: names also come from run folders, and `os:system` is a function too.
    """
    module_name, _, name = path.partition(":")
    _pettingzoo()
    found: Any = construct.import_module(module_name, PREFIX + path)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UnknownEnvError(
                f"environment {PREFIX + path!r}: module {module_name!r} has no {name!r}."
                f"{_offers(found)}"
            )
        found = getattr(found, part)
    if not _makes_environments(found, name.rpartition(".")[2]):
        raise ConfigError(
            f"environment {PREFIX + path!r}: expected a class derived from pettingzoo.ParallelEnv "
            "or AECEnv, or a function that is annotated as returning one (def "
            f"{name}(...) -> ParallelEnv) or is called {' or '.join(FACTORY_NAMES)}, got "
            f"{found!r}."
        )
    return found


def _makes_environments(found: Any, name: str) -> bool:
    """Whether this is a class of environments, or a function that makes some."""
    from pettingzoo import AECEnv, ParallelEnv

    if inspect.isclass(found):
        return issubclass(found, ParallelEnv | AECEnv)
    if not inspect.isroutine(found):
        return False
    if name in FACTORY_NAMES:
        return True
    try:
        declared = typing.get_type_hints(found).get("return")
    except Exception:  # an annotation that cannot be resolved says nothing
        return False
    declared = typing.get_origin(declared) or declared
    return inspect.isclass(declared) and issubclass(declared, ParallelEnv | AECEnv)


def _offers(module: Any) -> str:
    """What a module makes itself; the end of a message."""
    names = [
        key
        for key, value in vars(module).items()
        if _makes_environments(value, key)
        and (key in FACTORY_NAMES or getattr(value, "__module__", "") == module.__name__)
    ]
    return f" It has {', '.join(names)}." if names else " It makes no PettingZoo environment."


def _draw_nowhere(render_mode: str | None) -> None:
    """Where there is no screen, let pygame draw without one."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and render_mode != "human":
        if not any(os.environ.get(screen) for screen in screens):
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

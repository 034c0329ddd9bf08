"""From a name to an environment object: importing, calling, and saying what went wrong.

Classes are found by "package.module:Class", also in the current directory; Gymnasium's
by their id. What a foreign constructor raises is turned into one message that names
the environment, the arguments and the cause, because users meet these lines first.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.autoreset import as_same_step
from maskrl.envs.foreign_modules import import_module
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, MaskrlError, UnknownEnvError

T = TypeVar("T")


MASK_OPTIONS = {
    "mask_key": "Name of the action mask in the observation or in info, or of the method or "
    "attribute that gives it; the names in use (action_mask, action_masks, legal_actions, ...) if "
    "nothing is said.",
    "mask_source": "The only place to look for the mask: observation, info, method or attribute.",
    "mask_fn": "A function that computes the mask from env, observation, info or state: "
    "package.module:function, or in Python the function itself.",
    "mask_form": "mask (one flag per action), ids (numbers of the allowed actions) or dict (flags "
    "by number), where the first mask leaves it open.",
    "mask_missing": "all if a mask that is None or absent allows everything; error, which holds "
    "if nothing is said, otherwise.",
    "mask_allowed": "The value that means allowed, 1 or 0; 1 if nothing is said.",
    "binary_convention": "How a MultiBinary mask is written: pairs (may be 0, may be 1), which "
    "holds if nothing is said, or gymnasium (0, 1, and 2 for a free bit).",
}
"""Settings that every environment takes which came without a mask in its observation."""


class LazyCallable:
    """A callable named "package.module:name", imported at its first call.

    Args:
        path: Module and attribute, joined by a colon.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def resolve(self) -> Callable[..., Any]:
        """Import the module and return the named attribute."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import and call."""
        return self.resolve()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LazyCallable({self.path!r})"


def call(operation: str, factory: Callable[..., T], kwargs: Mapping[str, Any]) -> T:
    """Call a factory; whatever it raises becomes a `ConfigError` that says what was tried.

    Raises:
        ConfigError: The factory raised an error that is not one of maskrl's own.
    """
    try:
        return factory(**kwargs)
    except MaskrlError:
        raise
    except Exception as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "none"
        raise ConfigError(
            f"{operation}: the environment could not be made with the arguments {shown}: "
            f"{type(error).__name__}: {error}"
        ) from error


def find_class(path: str) -> Callable[..., Any]:
    """Import the environment class (or factory function) named "package.module:Class".

    A function must declare that it returns an environment: names and arguments also come
    from run folders, and `os:system` is a function too.

    Raises:
        UnknownEnvError: The module or the name is not there.
        ConfigError: It is no Gymnasium environment, or importing it fails.
    """
    module_name, _, name = path.partition(":")
    module = import_module(module_name, path)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UnknownEnvError(_no_such_class(path, module, name))
        found = getattr(found, part)
    if not _is_env_class(found) and not _declares_env(found):
        what = f"a class with the bases {_bases(found)}" if inspect.isclass(found) else repr(found)
        raise ConfigError(
            f"environment {path!r}: expected a class derived from gymnasium.Env, or a function "
            f"annotated as returning one (def {name}(...) -> gymnasium.Env), got {what}."
        )
    return found


def make_class(path: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment of the class at `path` and adapt its masks."""
    factory = find_class(path)
    if inspect.isclass(factory) and issubclass(factory, VectorEnv):
        raise ConfigError(
            f"environment {path!r} is a VectorEnv: it can be trained on, but has no single form."
        )
    masks = _mask_arguments(kwargs)
    env = call(f"environment {path!r}", factory, kwargs)
    if not isinstance(env, gymnasium.Env):
        raise ConfigError(
            f"environment {path!r}: expected a gymnasium.Env from the call, got {type(env)}."
        )
    return adapt(env, name=path, **masks)


def make_class_vec(
    path: str, num_envs: int, *, seed: int | None = None, **kwargs: Any
) -> VectorEnv[Any, Any, Any]:
    """Make a vector environment of the class at `path`."""
    factory = find_class(path)
    if inspect.isclass(factory) and issubclass(factory, VectorEnv):
        if seed is not None:
            kwargs["seed"] = seed
        masks = _mask_arguments(kwargs)
        venv = call(f"environment {path!r}", factory, {"num_envs": num_envs, **kwargs})
        return as_same_step(venv, name=path, **masks)
    return GymnasiumVectorEnv([lambda: make_class(path, **kwargs)] * num_envs, seed=seed)


def find_gymnasium_spec(name: str) -> str:
    """Check that Gymnasium knows the id, without making it.

    Raises:
        UnknownEnvError: Unknown or retired; the message says what to write instead.
    """
    module_name, colon, _ = name.partition(":")
    if colon:  # "module:ID": importing the module registers the id
        import_module(module_name, f"gymnasium:{name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gymnasium.spec(name.rpartition(":")[2])
    except gymnasium.error.DeprecatedEnv as error:
        base = name.rpartition("-v")[0]
        newer = [known for known in gymnasium.registry if known.rpartition("-v")[0] == base]
        advice = f" Use gymnasium:{newer[-1]} instead." if newer else ""
        raise UnknownEnvError(
            f"environment 'gymnasium:{name}': this version is retired in Gymnasium "
            f"{gymnasium.__version__}.{advice}"
        ) from error
    except gymnasium.error.Error as error:
        near = _nearest(name, list(gymnasium.registry))
        advice = f" Did you mean {' or '.join(f'gymnasium:{n}' for n in near)}?" if near else ""
        raise UnknownEnvError(
            f"environment 'gymnasium:{name}': Gymnasium {gymnasium.__version__} does not know "
            f"{name!r}.{advice}"
        ) from error
    return name


def spec_behind(env_id: str) -> EnvSpec | None:
    """Gymnasium's entry for "gymnasium:ID" or "gymnasium:module:ID"; None for other ids."""
    source, _, name = env_id.partition(":")
    if source != "gymnasium":
        return None
    return gymnasium.registry.get(name.rpartition(":")[2])


def make_gymnasium(name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment by its Gymnasium id and adapt its masks."""
    masks = _mask_arguments(kwargs)
    env = call(
        f"environment 'gymnasium:{name}'",
        partial(gymnasium.make, name),
        {"disable_env_checker": True, **kwargs},
    )
    return adapt(env, name=f"gymnasium:{name}", **masks)


def make_gymnasium_vec(
    name: str, num_envs: int, *, seed: int | None = None, **kwargs: Any
) -> VectorEnv[Any, Any, Any]:
    """Make `num_envs` environments by their Gymnasium id, stepping in this process."""
    return GymnasiumVectorEnv([lambda: make_gymnasium(name, **kwargs)] * num_envs, seed=seed)


def _mask_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the arguments that are for the adapter out of those for the environment."""
    return {name: kwargs.pop(name) for name in MASK_OPTIONS if name in kwargs}


def _is_env_class(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, gymnasium.Env | VectorEnv)


def _declares_env(found: Any) -> bool:
    """Whether this is a function whose annotation says that it returns an environment."""
    if not inspect.isroutine(found):
        return False
    try:
        declared = typing.get_type_hints(found).get("return")
    except Exception:  # an annotation that cannot be resolved says nothing
        return False
    return _is_env_class(typing.get_origin(declared) or declared)


def _nearest(name: str, known: list[str]) -> list[str]:
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[n] for n in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]


def _bases(found: type) -> str:
    return ", ".join(f"{base.__module__}.{base.__qualname__}" for base in found.__bases__)


def _no_such_class(path: str, module: Any, name: str) -> str:
    classes = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, gymnasium.Env | VectorEnv)
        and value.__module__.partition(".")[0] == module.__name__.partition(".")[0]
    ]
    near = difflib.get_close_matches(name, classes, n=3, cutoff=0.4)
    shown = [*near, *(key for key in classes if key not in near and not key.startswith("_"))][:8]
    advice = f" Its environments: {', '.join(shown)}." if shown else " It defines no environment."
    return f"environment {path!r}: module {module.__name__!r} has no {name!r}.{advice}"

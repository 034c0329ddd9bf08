"""What a function that gives a mask is called with: nothing, the environment, its state.

Masks are computed by methods and functions of many signatures: `action_masks()`,
`legal_actions(state)`, `mask_fn(env)`. A parameter's name says what belongs there; a
required one of unknown name is never filled by guessing, but for the only parameter of a
function handed over in Python, which gets the environment, as in sb3-contrib.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from maskrl.envs.foreign_modules import import_module
from maskrl.errors import ConfigError, UsageError

KNOWN = {
    "env": "env",
    "environment": "env",
    "observation": "observation",
    "obs": "observation",
    "info": "info",
    "state": "state",
    "s": "state",
}
"""Names of parameters and what they get; "state" is looked up in the environment."""

_STATES = ("state", "s")


def arguments_of(
    function: Callable[..., Any],
    env: gymnasium.Env[Any, Any],
    where: str,
    *,
    only: str | None = None,
) -> tuple[str, ...]:
    """What the required parameters of a function get, in their order.

    Args:
        function: As it is called, so without `self`.
        env: Whose state a parameter may ask for.
        where: What messages call the function.
        only: What a single required parameter of unknown name gets; None refuses it.

    Returns:
        Words for `call_with`: "env", "observation", "info", "env.state", "env.s".

    Raises:
        ConfigError: A required parameter has another name.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # compiled, and it does not tell
        return () if only is None else (only,)
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if only is not None and len(required) == 1 and required[0].name not in KNOWN:
        return (only,)
    strange = [p.name for p in required if p.name not in KNOWN or p.kind is p.KEYWORD_ONLY]
    if strange:
        raise ConfigError(
            f"{where} takes {', '.join(p.name for p in required)}, and what {strange[0]!r} should "
            f"get is not known; known are {', '.join(KNOWN)} by position. Hand over a function of "
            "these: mask_fn=lambda env: ..."
        )
    return tuple(_state_of(env) if (w := KNOWN[p.name]) == "state" else w for p in required)


def call_with(
    function: Callable[..., Any],
    arguments: tuple[str, ...],
    env: gymnasium.Env[Any, Any],
    observation: Any,
    info: Mapping[str, Any],
) -> Any:
    """Call a function with what `arguments_of` said."""
    if not arguments:
        return function()
    given = {"env": env, "observation": observation, "info": info}
    inner: Any = env.unwrapped
    return function(
        *(given[word] if word in given else getattr(inner, word[4:]) for word in arguments)
    )


def import_function(path: str) -> Callable[..., Any]:
    """The function named "package.module:function", also in the current directory.

    Ids come from run folders too, so only a Python function whose required parameters all
    have names in `KNOWN`, and that has one, is taken: `os:system` and `os:abort` are none.

    Raises:
        ConfigError: It is not there, or another kind of thing.
    """
    module_name, colon, name = path.partition(":")
    if not (colon and module_name and name):
        raise ConfigError(
            f"mask_fn: expected a callable or the name of one, package.module:function, got "
            f"{path!r}"
        )
    found: Any = import_module(module_name, f"mask_fn={path}")
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"mask_fn: module {module_name!r} has no {name!r}.")
        found = getattr(found, part)
    if not inspect.isfunction(found) or not _asks_only_known(found):
        raise ConfigError(
            f"mask_fn: {path} is {found!r}; expected a function written in Python whose "
            f"parameters have names out of {', '.join(KNOWN)}: def {name}(env): ..."
        )
    return found


def function_path(function: Callable[..., Any]) -> str:
    """The name "package.module:function" under which `import_function` finds a function.

    Raises:
        ConfigError: It finds none, or another one: a lambda, or a function inside another.
    """
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    path = f"{module}:{name}"
    try:
        found = import_function(path) if module and name else None
    except UsageError:
        found = None
    if found is not function:
        raise ConfigError(
            f"mask_fn: {function!r} is to be written down by its name, for evaluations and other "
            "runs, and no name leads back to it. Define it in a module, as def name(env): ..., or "
            "hand over an environment that has it: adapt(env, mask_fn=...)"
        )
    return path


def _asks_only_known(function: Callable[..., Any]) -> bool:
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return bool(required) and all(
        p.name in KNOWN and p.kind is p.POSITIONAL_OR_KEYWORD for p in required
    )


def _state_of(env: gymnasium.Env[Any, Any]) -> str:
    """Where an environment keeps its state; the observation, where it has none of that name."""
    inner = env.unwrapped
    for name in _STATES:
        if getattr(inner, name, None) is not None and not callable(getattr(inner, name)):
            return f"env.{name}"
    return "observation"

"""Which environments there are and how an id becomes one.

An id is the name of an entry registered here ("panda"), "gymnasium:ID" for anything
that Gymnasium can make, "pettingzoo:ID" for PettingZoo's environments, or
"package.module:Class" for one's own; keyword arguments may follow as in
"panda?sight=full". Entries name their classes as strings, which are imported when an
environment is made and not before.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from maskrl.envs import construct
from maskrl.envs.adapters import pettingzoo_ids
from maskrl.envs.adapters.mask_regime import (
    MASK_REGIME,
    MASKED,
    one_by_one,
    tested_under,
    under_regime,
)
from maskrl.envs.adapters.mask_removal import REMOVE_MASKS, remove_masks
from maskrl.envs.subprocesses import in_processes
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.envs.versus.settings import GAME_OPTIONS
from maskrl.errors import ConfigError, UnknownEnvError

Phase = Literal["train", "validation", "evaluation"]

ID_FORMS = (
    "panda (an id that `maskrl envs` lists)",
    "panda?sight=full (an id with keyword arguments)",
    "gymnasium:Taxi-v4 (anything that gymnasium.make takes)",
    "pettingzoo:knights_archers_zombies_v11 (PettingZoo's environments whose agents act at once)",
    "pettingzoo:connect_four_v3?opponent=random (PettingZoo's games of turns, of which one seat is "
    "the agent's)",
    "microrts:maps/8x8/basesWorkers8x8.xml (a map of microRTS, which `make microrts` installs)",
    "jumanji:Snake-v1 (an environment of Jumanji's, with the extra maskrl[jumanji])",
    "smax:3m (a battle of JaxMARL's SMAX, with the extra maskrl[smax])",
    "rl4co:tsp (a combinatorial problem of rl4co's, with the extra maskrl[rl4co])",
    "mypackage.envs:MyEnv (a gymnasium.Env class of your own)",
    "pettingzoo:mypackage.envs:parallel_env (a pettingzoo.ParallelEnv or AECEnv of your own)",
)

_entries: dict[str, EnvEntry] = {}

_pettingzoo_make = construct.LazyCallable("maskrl.envs.adapters.pettingzoo_versus:make")
_pettingzoo_make_vec = construct.LazyCallable("maskrl.envs.adapters.pettingzoo_versus:make_vec")
_microrts_entry = construct.LazyCallable("maskrl.envs.adapters.microrts.entry:microrts_entry")
_library_entry = construct.LazyCallable("maskrl.envs.adapters.library_ids:library_entry")

LIBRARIES = ("jumanji", "smax", "rl4co")
"""Sources of ids whose libraries are extras; `adapters.library_ids` has their entries."""


@dataclass(frozen=True)
class EnvEntry:
    """One environment: how to make it and what it is trained and measured with.

    Attributes:
        id: The name it is asked for by.
        summary: One line for lists.
        make: Builds one `gymnasium.Env`; `LazyCallable` imports it at the call.
        make_vec: Builds a `VectorEnv` from `num_envs` and keyword arguments.
        default_kwargs: Arguments that every environment of this entry gets.
        presets: Per algorithm ("ppo") the settings that differ from its defaults.
        evaluation_kwargs: Arguments for a final evaluation, e.g. `{"split": "test"}`.
        validation_kwargs: Arguments for the evaluations during training.
        reference: `reference(env_kwargs, layout_ids)` gives "planner" and "random" returns
            per layout, or None.
        settings: Dataclass that declares what may follow the id, imported when called
            for (`LazyCallable.resolve`); None where nothing is known.
        action_names: Names for the actions of an environment that has no attribute
            `action_names` itself; empty where none are known.
        query_kwargs: Arguments that came with the id ("?sight=full").
        all_starts: `all_starts(choose, env_kwargs)` plays one episode from every state in which
            one can begin, and gives `maskrl.envs.all_starts.AllStarts`; None where there are many.
        test_episodes: How many a final evaluation plays unless said otherwise; None for the
            usual number. Few do where all episodes begin alike and only the agent is random.
        options: What else may follow the id where `settings` says nothing: names and what
            they mean.
    """

    id: str
    summary: str
    make: Callable[..., gymnasium.Env[Any, Any]]
    make_vec: Callable[..., VectorEnv[Any, Any, Any]]
    default_kwargs: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evaluation_kwargs: Mapping[str, Any] = field(default_factory=dict)
    validation_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[..., Mapping[str, Any]] | None = None
    settings: construct.LazyCallable | None = None
    action_names: tuple[str, ...] = ()
    query_kwargs: Mapping[str, Any] = field(default_factory=dict)
    all_starts: construct.LazyCallable | None = None
    test_episodes: int | None = None
    options: Mapping[str, str] = field(default_factory=lambda: construct.MASK_OPTIONS)

    def kwargs_for(self, phase: Phase = "train", **extra: Any) -> dict[str, Any]:
        """All keyword arguments of one phase; later ones win: default, phase, id, `extra`.

        Evaluations charge no penalty of a `mask_regime`: all are judged by the same rewards.
        """
        of_phase: Mapping[str, Any] = {}
        if phase == "evaluation":
            of_phase = self.evaluation_kwargs
        elif phase == "validation":
            of_phase = self.validation_kwargs
        found = {**self.default_kwargs, **of_phase, **self.query_kwargs, **extra}
        if phase != "train" and MASK_REGIME in found:
            found[MASK_REGIME] = tested_under(found[MASK_REGIME])
        return found


def register(entry: EnvEntry) -> EnvEntry:
    """Make an entry known under its id.

    Raises:
        ConfigError: The id is taken.
    """
    if entry.id in _entries:
        raise ConfigError(f"register: the environment id {entry.id!r} is taken.")
    if entry.reference is not None:
        entry = replace(entry, reference=partial(_refer, entry.reference))
    _entries[entry.id] = entry
    return entry


def env_ids() -> tuple[str, ...]:
    """Ids of all registered entries, in the order of registration."""
    return tuple(_entries)


def parse_env_id(env_id: str) -> tuple[str, dict[str, Any]]:
    """Split "panda?sight=full&max_trees=3" into the id and its keyword arguments.

    Values are read as JSON or Python literals where they are such, as text otherwise.

    Raises:
        ConfigError: It is no string, or the part after "?" is not of the form
            name=value&name=value.

    >>> parse_env_id("panda?sight=full&max_trees=3")
    ('panda', {'sight': 'full', 'max_trees': 3})
    """
    if not isinstance(env_id, str):
        name = env_id.__name__ if isinstance(env_id, type) else type(env_id).__name__
        raise ConfigError(
            f"environment id: expected a string, got {name}. A class has one too: "
            "package.module:Class"
        )
    base_id, _, query = env_id.partition("?")
    kwargs: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not (equals and name.isidentifier()):
            raise ConfigError(
                f"environment id {env_id!r}: expected name=value pairs joined by '&' after '?', "
                f"got {part!r}. Example: panda?sight=full&max_trees=3"
            )
        kwargs[name] = _parse_value(unquote(value))
    return base_id, kwargs


def find_entry(env_id: str) -> EnvEntry:
    """The entry behind an id; a new one where the id says how the environment is made.

    Raises:
        PettingZooMissingError: An id of PettingZoo's, which is not installed.
        UnknownEnvError: There is none; the message offers the nearest names.
    """
    base_id, query = parse_env_id(env_id)
    if base_id.startswith(pettingzoo_ids.PREFIX):
        name = base_id.removeprefix(pettingzoo_ids.PREFIX)
        if "/" in name:
            pettingzoo_ids.check_name(name)  # the family that it names has it
        base_id = pettingzoo_ids.PREFIX + pettingzoo_ids.short_id(name)
    entry = _entries.get(base_id)
    if entry is None:
        source, colon, name = base_id.partition(":")
        if colon and source == "gymnasium" and name:
            construct.find_gymnasium_spec(name)
            entry = EnvEntry(
                base_id,
                f"Gymnasium's {name}",
                partial(construct.make_gymnasium, name),
                partial(construct.make_gymnasium_vec, name),
            )
        elif colon and source == "pettingzoo" and name:
            entry = pettingzoo_entry(name)
        elif colon and source == "microrts" and name:
            entry = _microrts_entry(name)
        elif colon and source in LIBRARIES and name:
            entry = _library_entry(source, name)
        elif colon and source and name:
            construct.find_class(base_id)
            entry = EnvEntry(
                base_id,
                f"{name} of {source}",
                partial(construct.make_class, base_id),
                partial(construct.make_class_vec, base_id),
            )
        else:
            raise UnknownEnvError(_unknown(base_id))
    return replace(entry, query_kwargs=query) if query else entry


def pettingzoo_entry(
    name: str,
    summary: str | None = None,
    *,
    check: bool = True,
    **more: Any,
) -> EnvEntry:
    """The entry of an environment of PettingZoo's.

    Args:
        name: As after "pettingzoo:".
        summary: One line for lists.
        check: Whether to look it up, for which PettingZoo is imported.
        more: Further attributes of the entry.

    Raises:
        PettingZooMissingError: PettingZoo is not installed.
        UnknownEnvError: There is no such environment.
    """
    if check:
        pettingzoo_ids.check_name(name)
    more = {**pettingzoo_ids.game_defaults(name), **more}
    more.setdefault("options", {**pettingzoo_ids.TEAM_OPTIONS, **GAME_OPTIONS})
    return EnvEntry(
        f"{pettingzoo_ids.PREFIX}{pettingzoo_ids.short_id(name)}",
        summary or f"PettingZoo's {name}",
        partial(_pettingzoo_make, name),
        partial(_pettingzoo_make_vec, name),
        **more,
    )


def make(env_id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment whose observation is a Dict with its masks.

    Args:
        env_id: In one of the forms that `ID_FORMS` lists.
        kwargs: Arguments of the environment; they win over those in the id. `remove_masks`
            ("action_mask", "agent_mask" or both) takes masks away, for ablations; `mask_regime`
            ("none", "penalty:P") punishes what the mask disallows instead of telling it.

    Raises:
        UnknownEnvError: No such environment.
        NoMaskError: It offers none of action, entity and agent mask.
        ConfigError: It cannot be made with these arguments, or has no mask to remove.
    """
    entry = find_entry(env_id)
    arguments = {**entry.kwargs_for("train"), **kwargs}
    removed, regime = arguments.pop(REMOVE_MASKS, ()), arguments.pop(MASK_REGIME, MASKED)
    env = construct.call(f"make({env_id!r})", entry.make, arguments)
    return remove_masks(under_regime(env, regime), removed)


def make_vec(
    env_id: str,
    num_envs: int,
    *,
    seed: int | None = None,
    workers: int | None = None,
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """Make `num_envs` copies of an environment that step together.

    Args:
        env_id: In one of the forms that `ID_FORMS` lists.
        num_envs: Number of sub-environments, at least 1.
        seed: Seed of a first `reset()` that gives none.
        workers: Processes among which they are divided; None or 0 steps all in this one, which
            is faster unless a step takes long, some 0.1 ms or more. Never forked; a script that
            asks for processes does so under `if __name__ == "__main__":`.
        kwargs: Arguments of the environment; they win over those in the id. `remove_masks`
            ("action_mask", "agent_mask" or both) takes masks away, for ablations; `mask_regime`
            ("none", "penalty:P") punishes what the mask disallows instead of telling it.

    Returns:
        A `VectorEnv` with Dict observations that resets in SAME_STEP mode.

    Raises:
        UnknownEnvError: No such environment.
        NoMaskError: It offers none of action, entity and agent mask.
        ConfigError: `num_envs` is below 1 or stands in the id too, it cannot be made with
            these arguments, it has no mask to remove, or there are more workers than
            environments.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise ConfigError(
            f"make_vec({env_id!r}): num_envs must be a positive int, got {num_envs!r}."
        )
    entry = find_entry(env_id)
    arguments: dict[str, Any] = {**entry.kwargs_for("train"), **kwargs}
    refuse_reserved(f"make_vec({env_id!r})", arguments, ("num_envs",))
    refuse_reserved(f"make_vec({env_id!r})", arguments, ("workers",))
    if seed is not None:
        refuse_reserved(f"make_vec({env_id!r})", arguments, ("seed",))
    maker = _Maker(env_id, entry.make_vec, arguments, construct.spec_behind(entry.id))
    if workers:
        name = f"environment {env_id!r}"
        return in_processes(maker, num_envs, workers, seed=seed, name=name)
    return maker(num_envs, seed)


@dataclass(frozen=True)
class _Maker:
    """Makes environments, here or in another process, where less may be registered.

    Attributes:
        env_id: What was asked for.
        make_vec: Of its entry.
        arguments: Of the environment.
        spec: Gymnasium's entry for the id, if it is one of Gymnasium's.
    """

    env_id: str
    make_vec: Callable[..., VectorEnv[Any, Any, Any]]
    arguments: Mapping[str, Any]
    spec: EnvSpec | None

    def __call__(self, num_envs: int, seed: int | None = None) -> VectorEnv[Any, Any, Any]:
        if self.spec is not None:
            gymnasium.registry.setdefault(self.spec.id, self.spec)
        arguments = dict(self.arguments)
        if arguments.get(MASK_REGIME, MASKED) != MASKED:
            # What is withheld from one environment and not from another needs them one by one.
            seed = arguments.pop("seed", seed)
            fns = one_by_one(partial(make, self.env_id), num_envs, arguments)
            return GymnasiumVectorEnv(fns, seed=seed)
        arguments.pop(MASK_REGIME, None)
        if seed is not None:
            arguments["seed"] = seed
        removed = arguments.pop(REMOVE_MASKS, ())
        arguments["num_envs"] = num_envs
        venv = construct.call(f"make_vec({self.env_id!r})", self.make_vec, arguments)
        return remove_masks(venv, removed)


def refuse_reserved(
    operation: str, kwargs: Mapping[str, Any], names: tuple[str, ...] = ("num_envs", "seed")
) -> None:
    """Refuse arguments of an environment that training and evaluation choose themselves.

    Raises:
        ConfigError: One of `names` is among `kwargs`.
    """
    given = [name for name in names if name in kwargs]
    if given:
        raise ConfigError(
            f"{operation}: {given[0]} was given among the environment's own arguments (or in its "
            f"id, after '?'), where it would contradict the setting {given[0]}; give it there"
        )


def _refer(
    reference: Callable[..., Mapping[str, Any]], env_kwargs: Mapping[str, Any], layout_ids: Any
) -> Mapping[str, Any]:
    """A reference's returns, which are the same whichever masks a learner goes without."""
    ours = (REMOVE_MASKS, MASK_REGIME)
    kept = {name: value for name, value in env_kwargs.items() if name not in ours}
    return reference(kept, layout_ids)


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _unknown(base_id: str) -> str:
    names = [*_entries, *(f"gymnasium:{name}" for name in gymnasium.registry)]
    near = difflib.get_close_matches(base_id, names, n=3, cutoff=0.6)
    for prefix in ("gymnasium:", pettingzoo_ids.PREFIX):
        if prefix + base_id in names:
            near = [prefix + base_id, *near]
    advice = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    return (
        f"unknown environment {base_id!r}.{advice} Forms of an environment id:\n  "
        + "\n  ".join(ID_FORMS)
    )

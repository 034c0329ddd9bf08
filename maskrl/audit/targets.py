"""From what a user names or hands over to the environment as its author wrote it.

Adapters check and repair, so an audit takes them off again and looks at what lies below.
A target knows how to make fresh ones of both, raw and adapted, where that is possible:
repeating an episode on a second environment and stacking several need it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from maskrl.audit.subjects.moments import Subject, refuse_copies
from maskrl.audit.subjects.parallel import ParallelSubject
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.team import TeamSubject
from maskrl.audit.subjects.turns import TurnsSubject
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.envs import construct
from maskrl.envs.adapters import pettingzoo_ids
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.envs.adapters.mask_wrapper import MaskWrapper
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.adapters.team_observation import TeamMasks
from maskrl.envs.registry import find_entry, make, make_vec, parse_env_id
from maskrl.envs.teams import is_team
from maskrl.errors import ConfigError

_FIELDS = {
    "mask_key": "key",
    "mask_source": "source",
    "mask_fn": "fn",
    "mask_form": "form",
    "mask_missing": "missing",
    "mask_allowed": "allowed",
    "binary_convention": "binary_convention",
}
"""Settings of an environment's id and the fields of `MaskSettings` that they are."""


@dataclass(frozen=True)
class Target:
    """An environment to audit.

    Attributes:
        name: What messages call it.
        settings: What was said about its masks.
        make_raw: Makes one as its author wrote it.
        can_repeat: Whether `make_raw` may be called more than once.
        make_adapted: Makes one as trainers get it; None where there is no adapter.
        make_many: Makes a vector environment of n as trainers get it, or None.
        obstacle: Why there is no second one; empty where there may be.
    """

    name: str
    settings: MaskSettings
    make_raw: Callable[[], Any]
    can_repeat: bool = True
    make_adapted: Callable[[], Any] | None = None
    make_many: Callable[[int], Any] | None = None
    obstacle: str = ""


def find_target(env: Any, kwargs: Mapping[str, Any] | None = None) -> Target:
    """What an id, an environment, a class or a function stands for.

    Args:
        env: An id; a `gymnasium.Env`, a `VectorEnv`, an environment of PettingZoo's; or
            something that makes one of them when it is called.
        kwargs: Arguments of the environment and settings of its masks.

    Raises:
        UnknownEnvError, ConfigError: It is none of these, or a setting is none.
    """
    given = dict(kwargs or {})
    if isinstance(env, str):
        return _of_id(env, given)
    masks = {key: given.pop(key) for key in _FIELDS if key in given}
    settings = settings_of(masks)
    if isinstance(env, gymnasium.Env | VectorEnv) or pettingzoo_ids.is_pettingzoo(env):
        if given:
            raise ConfigError(
                f"audit: arguments {sorted(given)} for an environment that is made already; give "
                "its class or its id instead"
            )
        return _of_object(env, settings, masks)
    if callable(env):
        name = getattr(env, "__name__", type(env).__name__)
        make_raw = partial(construct.call, f"environment {name!r}", env, given)
        return Target(name, settings, make_raw, True, partial(_adapted, make_raw, name, masks))
    raise ConfigError(
        "audit: expected an environment's id, a gymnasium.Env, a VectorEnv, an environment of "
        f"PettingZoo's, or something that makes one, got {type(env).__name__}"
    )


def settings_of(masks: Mapping[str, Any]) -> MaskSettings:
    """Settings of masks under the names that ids use."""
    return MaskSettings(**{_FIELDS[name]: value for name, value in masks.items()})


def subject_of(env: Any, name: str, settings: MaskSettings) -> Subject:
    """The view of an environment that fits its kind.

    Raises:
        ConfigError, MaskError: Its spaces take no mask or contradict each other.
    """
    if isinstance(env, VectorEnv):
        return VectorSubject(env, name, settings)
    if isinstance(env, gymnasium.Env):
        team = is_team(env.observation_space)
        return (TeamSubject if team else SingleSubject)(env, name, settings)
    from pettingzoo import AECEnv

    return (TurnsSubject if isinstance(env, AECEnv) else ParallelSubject)(env, name, settings)


def below_adapters(env: Any) -> Any:
    """The environment that maskrl's own adapters lie around."""
    if isinstance(env, ParallelTeam):
        return env.parallel_env
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if isinstance(layer, MaskWrapper | TeamMasks):
            return layer.env
        layer = layer.env
    return layer if isinstance(layer, ParallelTeam) else env


def _of_id(env_id: str, given: dict[str, Any]) -> Target:
    base, query = parse_env_id(env_id)
    entry = find_entry(env_id)
    arguments = {**entry.kwargs_for("train"), **given}
    masks = {key: arguments[key] for key in _FIELDS if key in arguments}
    plain = {key: value for key, value in arguments.items() if key not in _FIELDS}
    settings = settings_of(masks)
    source, _, name = base.partition(":")
    if source == "gymnasium":
        make_raw = _raw(
            env_id, partial(gymnasium.make, name), plain | {"disable_env_checker": True}
        )
    elif source == "pettingzoo":
        own = {**query, **given}  # what the entry itself says is for the adapter
        own = {key: value for key, value in own.items() if key not in entry.options}
        make_raw = partial(_pettingzoo, name, env_id, own)
    elif ":" in base and source != "microrts":
        make_raw = _raw(env_id, construct.find_class(base), plain)
    else:
        make_raw = partial(_without_adapters, env_id, given)
    return Target(
        env_id,
        settings,
        make_raw,
        True,
        partial(make, env_id, **given),
        lambda count: make_vec(env_id, count, **given),
    )


def _raw(env_id: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> Callable[[], Any]:
    return partial(construct.call, f"environment {env_id!r}", factory, arguments)


def _without_adapters(env_id: str, given: dict[str, Any]) -> Any:
    return below_adapters(make(env_id, **given))


def _pettingzoo(name: str, env_id: str, arguments: dict[str, Any]) -> Any:
    """One of PettingZoo's environments as it is."""
    factory = pettingzoo_ids.find_factory(name, arguments.get("render_mode"))
    return construct.call(f"environment {env_id!r}", factory, arguments)


def _of_object(env: Any, settings: MaskSettings, masks: dict[str, Any]) -> Target:
    raw = below_adapters(env)
    name = _name(raw)
    wraps = isinstance(raw, gymnasium.Env)
    try:
        refuse_copies(raw, fresh_ones=True)
        fresh = copy.deepcopy(raw)
    except Exception as error:
        again = f"it cannot be copied ({type(error).__name__}: {error})"
        return Target(name, settings, lambda: raw, False, obstacle=again)

    def make_raw() -> Any:
        return copy.deepcopy(fresh)

    adapted = partial(_adapted, make_raw, name, masks) if wraps else None
    return Target(name, settings, make_raw, True, adapted)


def _adapted(make_raw: Callable[[], Any], name: str, masks: dict[str, Any]) -> Any:
    raw = make_raw()
    if isinstance(raw, gymnasium.Env):
        return adapt(raw, name=name, **masks)
    if isinstance(raw, VectorEnv):
        return raw
    return ParallelTeam(
        pettingzoo_ids.as_parallel(raw, name),
        name=name,
        **{key: value for key, value in masks.items() if key in ("mask_key", "mask_allowed")},
    )


def _name(env: Any) -> str:
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(getattr(env, "unwrapped", env)).__name__

"""Whatever a trainer is given as its environment, as one vector environment.

An id goes through the registry, a single environment is adapted and wrapped, a vector
environment is taken as it is if it keeps the contract, and is made to keep it otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.call_arguments import function_path
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.adapters.pettingzoo_ids import as_parallel, is_pettingzoo
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.autoreset import as_same_step
from maskrl.envs.construct import MASK_OPTIONS
from maskrl.envs.contract import (
    EnvDescription,
    describe_env,
    gives_agent_rewards,
    require_same_step,
)
from maskrl.envs.registry import make_vec, refuse_reserved
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError
from maskrl.runs.json_file import to_json

EnvLike = str | VectorEnv[Any, Any, Any] | gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class TrainingEnv:
    """A vector environment and where it came from.

    Attributes:
        venv: Dict observations with masks, SAME_STEP resets.
        description: Of one environment: its masks, and the heads of its actions.
        id: What made it, if it was an id.
        kwargs: Arguments beside the id.
    """

    venv: VectorEnv[Any, Any, Any]
    description: EnvDescription
    id: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def observation_space(self) -> spaces.Dict:
        """Of one environment."""
        space = self.venv.single_observation_space
        if not isinstance(space, spaces.Dict):
            raise ConfigError(f"expected a Dict observation space, got {space}")
        return space

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Of one environment."""
        return self.venv.single_action_space

    @property
    def gives_agent_rewards(self) -> bool:
        """Whether infos say what every agent of a team got."""
        return gives_agent_rewards(self.venv)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.id or type(self.venv.unwrapped).__name__


def open_training_env(
    env: EnvLike,
    num_envs: int,
    *,
    seed: int,
    kwargs: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> TrainingEnv:
    """Make the environments to train on.

    Args:
        env: An id; a `VectorEnv`; or one `gymnasium.Env` or one of PettingZoo's, which is then
            the only one.
        num_envs: How many, where an id is given.
        seed: Of a vector environment made here.
        kwargs: Arguments of the environment, where an id is given; of an object the settings
            of its mask in `MASK_OPTIONS`.
        workers: Processes among which they are divided, where an id is given; None for this one.

    Raises:
        UnknownEnvError: No such id.
        NoMaskError: The environment has none of action, entity and agent mask.
        ConfigError: It cannot be made, or cannot be made to reset in the step that ends an
            episode; its action space takes no mask; or arguments or workers are given for an
            object that exists already.
    """
    venv: VectorEnv[Any, Any, Any]
    env_id: str | None = None
    given: dict[str, Any] = {}
    if workers and not isinstance(env, str):
        raise ConfigError(
            f"workers: {workers} processes cannot be given an environment that exists already "
            f"({type(env).__name__}); train on an id, or make it with maskrl.make_vec(..., "
            "workers=...)"
        )
    if isinstance(env, str):
        given = dict(kwargs or {})
        refuse_reserved(f"environment {env!r}", given)
        if callable(given.get("mask_fn")):  # a run folder holds its name
            given["mask_fn"] = function_path(given["mask_fn"])
        venv, env_id = make_vec(env, num_envs, seed=seed, workers=workers, **given), env
    elif kwargs and not set(kwargs) <= _settings_of_masks(env):
        raise ConfigError(
            f"env_kwargs: {sorted(kwargs)} were given for an environment that exists already "
            f"({type(env).__name__}); they apply to an id. To an object apply, if to any, settings "
            f"of its mask: {', '.join(MASK_OPTIONS)}"
        )
    elif isinstance(env, VectorEnv):
        venv = as_same_step(env, **(kwargs or {}))
    elif is_pettingzoo(env):
        team = ParallelTeam(as_parallel(env, str(env)))
        venv = GymnasiumVectorEnv([lambda: team], seed=seed)
    elif isinstance(env, gymnasium.Env):
        adapted = adapt(env, **(kwargs or {}))
        venv = GymnasiumVectorEnv([lambda: adapted], seed=seed)
    else:
        name = getattr(env, "__name__", None)
        raise ConfigError(
            "env: expected an id, a VectorEnv or a gymnasium.Env, got "
            + (type(env).__name__ if name is None else f"the {type(env).__name__} {name!r}")
            + '; of a class pass an instance, or its id "package.module:Class", of which many '
            "step in parallel"
        )
    require_same_step(venv)
    return TrainingEnv(venv, describe_env(venv), env_id, given)


def _settings_of_masks(env: Any) -> set[str]:
    """Settings of masks that an environment takes which exists already."""
    if isinstance(env, VectorEnv):
        return set(MASK_OPTIONS) - {"mask_fn"}  # a function is of one environment
    return set(MASK_OPTIONS) if isinstance(env, gymnasium.Env) else set()


def stored_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """An environment's arguments as a run folder or a checkpoint holds them.

    Raises:
        ConfigError: One of them is an object that cannot be written.
    """
    for name, value in kwargs.items():
        try:
            to_json(value)
        except TypeError as error:
            raise ConfigError(
                f"env_kwargs[{name!r}]: expected numbers, text, lists or dicts, which a run folder "
                f"can hold, got {type(value).__name__}; make the environment yourself and hand it "
                f"over: env = maskrl.envs.make_vec(env_id, num_envs, {name}=...)"
            ) from error
    return dict(kwargs)

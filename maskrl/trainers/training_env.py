"""Whatever a trainer is given as its environment, as one vector environment.

An id goes through the registry, a single environment is adapted and wrapped, a vector
environment is taken as it is, after a look at its masks and at how it resets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.adapters.pettingzoo_ids import as_parallel, is_pettingzoo
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.contract import (
    EnvDescription,
    describe_env,
    gives_agent_rewards,
    require_same_step,
)
from maskrl.envs.registry import make_vec, refuse_reserved
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError

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
    env: EnvLike, num_envs: int, *, seed: int, kwargs: Mapping[str, Any] | None = None
) -> TrainingEnv:
    """Make the environments to train on.

    Args:
        env: An id; a `VectorEnv`; or one `gymnasium.Env` or one of PettingZoo's, which is then
            the only one.
        num_envs: How many, where an id is given.
        seed: Of a vector environment made here.
        kwargs: Arguments of the environment, where an id is given.

    Raises:
        UnknownEnvError: No such id.
        NoMaskError: The environment has none of action, entity and agent mask.
        ConfigError: It cannot be made, resets in another mode, its action space takes no mask,
            or arguments are given for an object that exists already.
    """
    venv: VectorEnv[Any, Any, Any]
    env_id: str | None = None
    given: dict[str, Any] = {}
    if isinstance(env, str):
        given = dict(kwargs or {})
        refuse_reserved(f"environment {env!r}", given)
        venv, env_id = make_vec(env, num_envs, seed=seed, **given), env
    elif kwargs:
        raise ConfigError(
            f"env_kwargs: {sorted(kwargs)} were given for an environment that exists already "
            f"({type(env).__name__}); they apply to an id"
        )
    elif isinstance(env, VectorEnv):
        venv = env
    elif is_pettingzoo(env):
        team = ParallelTeam(as_parallel(env, str(env)))
        venv = GymnasiumVectorEnv([lambda: team], seed=seed)
    elif isinstance(env, gymnasium.Env):
        adapted = adapt(env)
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

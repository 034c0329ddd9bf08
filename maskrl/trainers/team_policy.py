"""The policy of a team and the settings that go with it: resolved, or refused with the reason.

A team asks for decisions that one agent does not: what death means, whose value is learned,
what has a trust region. Where they contradict each other, the environment or a policy that
exists already, they are refused here, before anything is collected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from gymnasium import spaces
from torch import nn

from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.protocol import has_memory
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.policies.team_protocol import require_team_policy
from maskrl.trainers.ppo_config import PPOConfig

_OF_ONE_AGENT = (
    ("masked_scores", True),
    ("measure_kl", False),
    ("entropy_of", "policy"),
    ("bootstrap_truncated", True),
    ("mask_removed_rollouts", None),
)
"""Settings that a team must leave as they are."""

TERMINAL = (
    "'terminal' ends what is credited to an agent with its death, for rewards of each agent's own"
)
POSTHUMOUS = (
    "'posthumous' credits it with what its team gets afterwards too, for rewards of the team"
)


def team_settings(
    config: PPOConfig,
    team: TeamDescription,
    name: str,
    *,
    own_rewards: bool,
    policy: nn.Module | None = None,
) -> PPOConfig:
    """The settings for a team, with what "auto" stands for.

    Args:
        config: Of the training.
        team: Of the environment.
        name: What messages call the environment.
        own_rewards: Whether the environment gives every agent rewards of its own.
        policy: One's own, whose critic is what it is.

    Raises:
        ConfigError: Death was not chosen, or settings contradict each other or the environment.
    """
    if config.death is None:
        raise ConfigError(
            f"death: {name} is a team environment, whose agents may die, and there is no default, "
            f"because the two meanings are different tasks: {TERMINAL}; {POSTHUMOUS}. Set "
            "PPOConfig(death=...), on the command line --ppo.death"
        )
    for setting, default in _OF_ONE_AGENT:
        if getattr(config, setting) != default:
            raise ConfigError(
                f"{setting}: {getattr(config, setting)} is for environments in which one agent "
                f"acts, and in {name} a team does; leave it at {default}"
            )
    critic: Literal["team", "agent"] | str = config.critic
    if critic == "auto":
        own_critic = getattr(policy, "critic", None)
        by_env = "agent" if config.death == "terminal" and own_rewards else "team"
        critic = own_critic if own_critic in ("team", "agent") else by_env
    if critic == "agent" and config.death == "posthumous":
        raise ConfigError(
            "death: 'posthumous' needs critic='team': what the team gets after an agent's death is "
            "credited by the value of the team's state, and a critic of single agents has no "
            f"value for a state in which its agent is dead. Or death='terminal': {TERMINAL}"
        )
    if critic == "agent" and config.ratio == "joint":
        raise ConfigError(
            "ratio: 'joint' is one ratio for what all agents do, which needs one advantage for "
            "all: critic='team'. With critic='agent' every agent has its own: ratio='agent', or "
            "'head'"
        )
    if config.ratio == "joint" and config.death == "terminal":
        raise ConfigError(
            "death: 'terminal' is not possible with ratio='joint': what all agents do together has "
            "one advantage, the team's, which does not end with one agent's death; use "
            f"death='posthumous' ({POSTHUMOUS}), or ratio='agent' or 'head'"
        )
    if not team.has_identity:
        advice = "its observation has no agent_cells, so nobody knows which agent is which"
        if critic == "agent":
            raise ConfigError(f"critic: 'agent' is not possible in {name}: {advice}; use 'team'")
        if config.death == "terminal":
            raise ConfigError(
                f"death: 'terminal' is not possible in {name}: {advice} from step to step, and a "
                "death cannot be seen; use 'posthumous', which goes by the value of the team"
            )
    if not config.waiting_discount and (config.ratio == "joint" or not team.has_identity):
        why = "with ratio='joint'" if team.has_identity else f"in {name}, without agent_cells"
        raise ConfigError(
            f"waiting_discount: False has no effect {why}: advantages are the team's, step by "
            "step, and no agent's waiting is told apart; leave it at True"
        )
    ratio = "agent" if config.ratio == "auto" else config.ratio
    return config.replace(critic=critic, ratio=ratio)


def team_policy_for(
    config: PPOConfig,
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    team: TeamDescription,
    policy: nn.Module | None = None,
) -> nn.Module:
    """The policy to train.

    Args:
        config: Of the training, as `team_settings` resolved it.
        observation_space: Of one environment.
        action_space: Of one environment.
        team: What they say.
        policy: One's own; without it a `TeamActorCritic` is built.

    Raises:
        ConfigError: The policy lacks a method, or contradicts settings or spaces.
    """
    critic: Literal["team", "agent"] = "agent" if config.critic == "agent" else "team"
    if policy is None:
        return TeamActorCritic.from_spaces(
            observation_space,
            action_space,
            config.network,
            action_tree=team.action_tree,
            critic=critic,
            normalize_observations=config.normalize_observations,
            empty=config.empty,
            idle_action=config.idle_action,
            max_agents=team.agents,
        )
    if has_memory(policy):
        raise ConfigError(
            f"policy: {type(policy).__name__} remembers earlier steps (state_size), and a team's "
            "policy must not: agents come and go. Tell agents what they must remember in the "
            "observation"
        )
    policy = require_team_policy(policy, team)
    own_critic = getattr(policy, "critic", None)
    if own_critic != critic:
        raise ConfigError(
            f"critic: {critic!r} is set for the training, and {type(policy).__name__} has the "
            f"critic {own_critic!r}"
        )
    if isinstance(policy, TeamActorCritic):
        _require_same(policy, config, observation_space, action_space, team)
    elif config.network != NetworkConfig():
        raise ConfigError("network: these settings have no effect on a policy of one's own")
    normalizer = getattr(policy, "normalizer", None)
    if config.normalize_observations and not isinstance(normalizer, ObservationNormalizer):
        raise ConfigError(
            "normalize_observations: a policy of one's own normalises for itself; give it an "
            "attribute normalizer of type maskrl.networks.team_normalize.TeamNormalizer and apply "
            "it to what it reads"
        )
    unlearned = isinstance(normalizer, ObservationNormalizer) and not normalizer.has_learned
    if unlearned and not config.normalize_observations:
        raise ConfigError(
            "normalize_observations: the policy has a normalizer without statistics, which would "
            "never learn any: set normalize_observations=True"
        )
    return policy


@contextlib.contextmanager
def trusted_team(policy: nn.Module) -> Iterator[None]:
    """As `maskrl.policies.actor_critic.trusted`, for `TeamActorCritic`; no effect on others."""
    if not isinstance(policy, TeamActorCritic):
        yield
        return
    policy._trusted = True
    try:
        yield
    finally:
        policy._trusted = False


def _require_same(
    policy: TeamActorCritic,
    config: PPOConfig,
    observation_space: spaces.Dict,
    action_space: spaces.Space[Any],
    team: TeamDescription,
) -> None:
    for name, own, given in (
        ("observation space", policy.observation_space, observation_space),
        ("action space", policy.action_space, action_space),
        ("action tree", policy.action_tree, team.action_tree),
    ):
        if own != given:
            raise ConfigError(f"policy: its {name} {own} is not that of the environment, {given}")
    if config.network not in (NetworkConfig(), policy.config):
        raise ConfigError("network: these settings have no effect on a policy built already")
    for name in ("empty", "idle_action"):
        mine, theirs = getattr(policy, name), getattr(config, name)
        if mine != theirs and config.empty == "idle":
            raise ConfigError(
                f"{name}: {theirs!r} is set for the training, and the policy was built with "
                f"{mine!r}"
            )

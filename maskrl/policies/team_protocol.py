"""What a policy of one's own for teams must offer to be trained and evaluated.

Any `torch.nn.Module` with these methods and attributes will do; nothing is inherited. It
gets team observations as a dict of tensors with a leading batch dimension, and the list of
who acts; it answers with one row for each of them. `TeamActorCritic` is the one built from
spaces.
"""

from __future__ import annotations

import logging
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError
from maskrl.masks.packed import PackedMask
from maskrl.policies.acting import Acting

logger = logging.getLogger("maskrl")

TeamCritic = Literal["team", "agent"]


@runtime_checkable
class TeamPolicy(Protocol):
    """One distribution over what all agents do, and a value of the team or of each agent.

    `distribution` is packed: `GridwiseCategorical.from_packed(logits [M, A], acting.offsets,
    acting.action_mask, ...)`, a row for each of the M agents that act, in the order of
    `acting`. While learning, `acting` comes from the rollout, with the action masks that the
    actions were sampled under, and the observation has none.

    More is used where it is there: `one_pass = True` where calling the module with
    `(obs, acting)` gives distribution and value together; `value_reads`, the names of the
    entries that `value` reads, where it shares no work with the distribution and each row's
    value depends on that row alone; a submodule `normalizer` of the type
    `maskrl.networks.normalize.ObservationNormalizer`.
    """

    team: TeamDescription
    """What the spaces of the environment say."""
    critic: TeamCritic
    """Whose value `value` gives: the team's, or each agent's."""

    def distribution(
        self, obs: dict[str, Tensor], acting: Acting | None = None
    ) -> GridwiseCategorical:
        """What the agents that act do, for a batch of B observations; None reads who does."""
        ...

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """Of the team `[B]`; or of each agent `[B, N]`, finite also where nobody is."""
        ...


def team_distribution_and_value(
    policy: nn.Module, obs: dict[str, Tensor], acting: Acting
) -> tuple[GridwiseCategorical, Tensor]:
    """Distribution and values of a team policy, in one pass where it offers one."""
    if getattr(policy, "one_pass", False):
        both: tuple[GridwiseCategorical, Tensor] = policy(obs, acting)
        return both
    return policy.distribution(obs, acting), policy.value(obs)  # type: ignore[operator]


def require_team_policy(policy: object, team: TeamDescription) -> nn.Module:
    """Return the policy if it is one that can be trained for this team.

    Raises:
        ConfigError: It is no module, a method or attribute is missing, or it is made for
            another team.
    """
    if not isinstance(policy, nn.Module):
        raise ConfigError(
            f"policy: expected a torch.nn.Module, got {type(policy).__name__}; see "
            "maskrl.policies.TeamPolicy for what one needs"
        )
    name = type(policy).__name__
    for method in ("distribution", "value"):
        if not callable(getattr(policy, method, None)):
            raise ConfigError(
                f"policy: {name} has no method {method}. A team's policy offers "
                "distribution(obs, acting=None) -> GridwiseCategorical and value(obs) -> [B] or "
                "[B, N]; see maskrl.policies.TeamPolicy"
            )
    critic = getattr(policy, "critic", None)
    if critic not in get_args(TeamCritic):
        raise ConfigError(
            f"policy: {name}.critic is {critic!r}, expected 'team' for one value [B] or 'agent' "
            "for a value of each agent [B, N]"
        )
    own = getattr(policy, "team", None)
    if not isinstance(own, TeamDescription):
        raise ConfigError(
            f"policy: {name}.team is {own!r}, expected the TeamDescription of the environment, "
            "from maskrl.envs.teams.describe_team"
        )
    for what in ("form", "source", "agents", "grid_shape", "nvec", "has_head_axis"):
        mine, theirs = getattr(own, what), getattr(team, what)
        if mine != theirs:
            raise ConfigError(
                f"policy: {name} is made for a team with {what}={mine!r}, the environment's has "
                f"{what}={theirs!r}"
            )
    return policy


def require_team_answer(
    policy: nn.Module, distribution: object, value: object, acting: Acting
) -> None:
    """Refuse what a policy of one's own answered if it cannot be trained with.

    Args:
        policy: For its name, and what it says about itself.
        distribution: What it gave as distribution for the M agents of `acting`.
        value: What it gave as value of the B observations.
        acting: Who acts.

    Raises:
        ConfigError: The distribution is no packed `GridwiseCategorical` of these agents, or it
            or the value has another shape.
    """
    name = type(policy).__name__
    team: TeamDescription = policy.team  # type: ignore[assignment]
    if not isinstance(distribution, GridwiseCategorical):
        raise ConfigError(
            f"policy: {name}.distribution(obs, acting) returned a {type(distribution).__name__}, "
            "expected GridwiseCategorical.from_packed(logits, acting.offsets, acting.action_mask)"
        )
    heads = (team.n_heads,) if team.has_head_axis else ()
    batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
    if batch != (acting.batch,) or event != heads:
        raise ConfigError(
            f"policy: {name}.distribution(obs, acting) has the batch shape {batch} and the event "
            f"shape {event}, expected {(acting.batch,)} and {heads}, those of one agent: build it "
            "with from_packed"
        )
    if not torch.equal(distribution.agent_counts, acting.offsets.diff()):
        raise ConfigError(
            f"policy: {name}.distribution(obs, acting) has "
            f"{distribution.agent_counts.tolist()} agents in the rows of the batch, expected "
            f"{acting.offsets.diff().tolist()}: a row of logits for each agent that acts, in the "
            "order of acting"
        )
    _warn_of_disallowed(name, distribution, acting)
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    wanted = (acting.batch,) if policy.critic == "team" else (acting.batch, team.agents)
    if shape != wanted or not isinstance(value, Tensor):
        raise ConfigError(
            f"policy: {name}.value(obs) gave {shape}, expected a tensor of shape {wanted}, as "
            f"critic={policy.critic!r} says"
        )


def _warn_of_disallowed(name: str, distribution: GridwiseCategorical, acting: Acting) -> None:
    """Say if actions are allowed that the masks disallow, which is legitimate for comparison."""
    mask = acting.action_mask
    if mask is None:
        return
    mask = mask.unpack() if isinstance(mask, PackedMask) else mask
    allowed = distribution.action_mask
    if allowed.shape != mask.shape:
        raise ConfigError(
            f"policy: {name}.distribution(obs, acting) decides between {allowed.shape[-1]} "
            f"actions, the action_mask of the environment is about {mask.shape[-1]}"
        )
    wrong = (allowed & ~mask).nonzero()
    if len(wrong):
        row, action = wrong[0].tolist()
        logger.warning(
            "policy: %s.distribution(obs, acting) allows action %d of the agent in row %d, place "
            "%d, which its action_mask disallows; such actions will be executed, and counted as "
            "illegal. To rule them out: from_packed(logits, acting.offsets, acting.action_mask)",
            name,
            action,
            int(acting.row[row]),
            int(acting.place[row]),
        )

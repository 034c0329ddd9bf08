"""How many threads torch should use for a team's network: measured, as for one agent's.

What is measured are the first observations, because how much there is to compute depends
on how many agents act.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from maskrl.envs.teams import TeamDescription
from maskrl.objectives.team_loss import TeamActed, TeamLossSettings, team_loss
from maskrl.policies.acting import Acting
from maskrl.policies.team_protocol import require_team_answer, team_distribution_and_value
from maskrl.trainers.gradient_steps import entropy_estimate
from maskrl.trainers.team_policy import trusted_team
from maskrl.trainers.threads import ThreadChoice, by_measuring, without_measuring


def choose_team_threads(
    policy: nn.Module,
    obs: dict[str, Tensor],
    *,
    num_envs: int = 1,
    acts_per_step: float = 0.0,
) -> ThreadChoice:
    """Number of threads with which training on such minibatches is fastest.

    Args:
        policy: As `maskrl.policies.TeamPolicy`; not changed: a copy is measured.
        obs: A minibatch of observations of the size that training will use, with all masks.
        num_envs: Rows of an acting step, at most those of the minibatch.
        acts_per_step: Acting steps per gradient step: their time counts too.

    Raises:
        ConfigError: What the policy answers cannot be trained with.

    Empty rows:
        Where nobody acts in the minibatch there is nothing to measure: one thread.
    """
    team: TeamDescription = policy.team  # type: ignore[assignment]
    acting = Acting.read(obs, team)
    known = without_measuring(policy, max(len(acting), acting.batch))
    if known is not None:
        return known
    few = {key: tensor[:num_envs] for key, tensor in obs.items()}
    few_acting = Acting.read(few, team)
    if not len(few_acting):
        return ThreadChoice(1, "nobody acts in the first observations")
    trial = copy.deepcopy(policy)
    settings = TeamLossSettings(clip=0.2, entropy_coef=0.01, value_coef=0.5)
    with torch.random.fork_rng(devices=[]), trusted_team(trial):
        with torch.no_grad():
            distribution, value = team_distribution_and_value(trial, obs, acting)
            require_team_answer(trial, distribution, value, acting)
            actions = distribution.sample()
            old = distribution.log_prob(actions, reduce="none").reshape(len(actions), -1)
        per_agent = value.ndim == 2
        advantages = torch.linspace(-1.0, 1.0, len(actions), device=actions.device)
        values = value[acting.row, acting.slot] if per_agent else value
        acted = TeamActed(
            acting.row, acting.offsets, actions, old, None, advantages, values, values
        )
        generator = torch.Generator().manual_seed(0)

        def learn() -> None:
            trial.zero_grad()
            distribution, value = team_distribution_and_value(trial, obs, acting)
            estimate = entropy_estimate(distribution.of_agents, generator, old.device)
            values = value[acting.row, acting.slot] if per_agent else value
            team_loss(distribution, values, acted, settings, entropy=estimate).backward()

        def act() -> None:
            with torch.inference_mode():
                acting = Acting.read(few, team)
                team_distribution_and_value(trial, few, acting)[0].sample()

        return by_measuring(learn, act, acts_per_step)

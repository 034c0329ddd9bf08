"""All of PPO's losses for teams, with what watches over them.

Many agents act in one environment step, and three things can have a trust region: what
all of them did together, what each did, and each head of it. Whichever is chosen, before
any ratio is clipped the gradient is the same; how often each of the three leaves its
region is always told. Sums go over those who acted and had a choice, and so do the
numbers that they are divided by: nobody else leaves a trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.errors import ConfigError
from maskrl.objectives.policy_gradient import approximate_kl, clip_fraction, log_ratio
from maskrl.objectives.value import value_loss

TeamRatio = Literal["joint", "agent", "head"]
Weight = Literal["agent_step", "env_step"]

TEAM_STATISTICS = (
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "clip_fraction_joint",
    "clip_fraction_agent",
    "clip_fraction_head",
)
"""What `TeamLoss.statistics` holds, in this order."""


@dataclass(frozen=True, slots=True)
class TeamLossSettings:
    """What the loss is made of.

    Attributes:
        clip: Half width of the trust region of the ratio.
        entropy_coef: Weight of the entropy, which is subtracted.
        value_coef: Weight of the value loss.
        value_clip: As of `value_loss`.
        ratio: What has a trust region: "joint" what all agents did in a step, "agent" what
            each did, "head" each head of it.
        weight: What sums over agents are divided by: "agent_step" the number of agents that
            decided, over all steps; "env_step" the number of environment steps in which one did.

    Raises:
        ConfigError: `ratio` or `weight` is something else.
    """

    clip: float
    entropy_coef: float
    value_coef: float
    value_clip: float | None = None
    ratio: TeamRatio = "agent"
    weight: Weight = "agent_step"

    def __post_init__(self) -> None:
        """Refuse what nobody computes."""
        for name, choices in (("ratio", get_args(TeamRatio)), ("weight", get_args(Weight))):
            if (value := getattr(self, name)) not in choices:
                raise ConfigError(
                    f"TeamLossSettings: {name} is {value!r}; expected one of {list(choices)}."
                )


@dataclass(frozen=True, slots=True)
class TeamActed:
    """Environment steps of a rollout with those who acted, as far as a loss asks for them.

    Attributes:
        row: int64 `[M]`, in which of the R steps each agent acted, ascending.
        offsets: int64 `[R + 1]`, where the agents of each step begin.
        actions: `[M]`, or `[M, K]` for several heads.
        log_probs: `[M, K]`, per head, under the policy that acted.
        keep: bool `[M]`, False where no head of an agent decided; None where all count.
        advantages: `[M]`; of the ratio "joint" `[R]`.
        values: `[R]`, or `[M]` of each agent; predicted then.
        returns: As `values`.
    """

    row: Tensor
    offsets: Tensor
    actions: Tensor
    log_probs: Tensor
    keep: Tensor | None
    advantages: Tensor
    values: Tensor
    returns: Tensor


@dataclass(frozen=True, slots=True)
class TeamLoss:
    """A loss with its statistics.

    Attributes:
        loss: A scalar, whose gradient is asked by `backward`.
        statistics: float `[8]`, named by `TEAM_STATISTICS`, without gradient.
        log_probs: `[M, K]`, per head, without gradient.
    """

    loss: Tensor
    statistics: Tensor
    log_probs: Tensor

    def backward(self) -> None:
        """Add the gradient to whatever logits and values were computed from."""
        self.loss.backward()


def team_loss(
    distribution: GridwiseCategorical | None,
    values: Tensor,
    acted: Any,
    settings: TeamLossSettings,
    *,
    entropy: Tensor | None = None,
) -> TeamLoss:
    """The loss of PPO on some environment steps of teams.

    `policy_loss - entropy_coef * entropy + value_coef * value_loss`

    Policy loss and entropy are sums over the agents that decided, divided by what `weight` says.
    A joint ratio is one for a step: its surrogates are summed over the steps.

    Args:
        distribution: Of the M agents, packed, under the policy being trained; None where M is 0.
        values: `[R]` of the team, or `[M]` of each agent that acted, being trained.
        acted: What was done, predicted and found: a `TeamActed`, or anything with its attributes.
        settings: Clipping and weights.
        entropy: `[M]`, in place of the distribution's own: an estimate.

    Empty rows:
        A step in which nobody acts adds 0 to policy loss and entropy and to what they are
        divided by, and its value is learned if it is the team's. An agent that may do nothing is
        not kept: ratio 1, weight 0, and its own value is learned. With nobody in any step
        policy loss and entropy are 0.

    Reference:
        Schulman et al., Proximal Policy Optimization Algorithms, equations 7 and 9,
        https://arxiv.org/abs/1707.06347; Yu et al., The Surprising Effectiveness of PPO in
        Cooperative Multi-Agent Games, https://arxiv.org/abs/2103.01955 (a ratio for each agent).
    """
    critic_loss = _value_loss(values, acted, settings)
    if distribution is None:
        nothing = critic_loss.detach().new_zeros(())
        statistics = [nothing, critic_loss.detach(), *[nothing] * (len(TEAM_STATISTICS) - 2)]
        none = acted.log_probs.detach()
        return TeamLoss(settings.value_coef * critic_loss, torch.stack(statistics), none)
    keep, clip, old, steps = acted.keep, settings.clip, acted.log_probs, len(acted.offsets) - 1
    log_probs = distribution.log_prob(acted.actions, reduce="none").reshape(old.shape)
    by_head = log_ratio(log_probs, old, None if keep is None else keep.unsqueeze(-1))
    by_agent = by_head.sum(-1)
    joint = by_agent.new_zeros(steps).index_add(0, acted.row, by_agent)
    kept = torch.ones_like(acted.row, dtype=torch.bool) if keep is None else keep
    deciding = torch.zeros_like(acted.offsets[1:]).index_add(0, acted.row, kept.long()) > 0
    chose = kept.unsqueeze(-1) & (old != 0.0)

    outside = {
        "joint": clip_fraction(joint.detach(), clip=clip, keep=deciding),
        "agent": clip_fraction(by_agent.detach(), clip=clip, keep=kept),
        "head": clip_fraction(by_head.detach(), clip=clip, keep=chose),
    }
    if settings.ratio == "joint":
        surrogate, counts = _surrogate(joint, acted.advantages, clip), deciding
        divergence = approximate_kl(joint.detach(), deciding)
    else:
        own = by_agent if settings.ratio == "agent" else by_head
        counts = kept if settings.ratio == "agent" else kept.unsqueeze(-1)
        advantages = acted.advantages
        surrogate = _surrogate(own, advantages.view(-1, *[1] * (own.ndim - 1)), clip)
        divergence = approximate_kl(by_agent.detach(), kept)
    divisor = (kept if settings.weight == "agent_step" else deciding).sum().clamp(min=1)
    policy_loss = -torch.where(counts, surrogate, 0.0).sum() / divisor
    entropies = distribution.entropy("agent") if entropy is None else entropy
    bonus = torch.where(kept, entropies, 0.0).sum() / divisor
    loss = policy_loss - settings.entropy_coef * bonus + settings.value_coef * critic_loss
    found = (policy_loss, critic_loss, bonus, divergence, outside[settings.ratio])
    statistics = [x.detach() for x in (*found, *outside.values())]
    return TeamLoss(loss, torch.stack(statistics), log_probs.detach())


def _surrogate(moved: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped surrogate of each log-ratio, to be maximised."""
    ratio = moved.exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages)


def _value_loss(values: Tensor, acted: Any, settings: TeamLossSettings) -> Tensor:
    if not values.numel():
        return values.sum()  # 0, where a mean would be NaN
    return value_loss(values, acted.returns, old_values=acted.values, clip=settings.value_clip)

"""Learning from one rollout of a team: minibatches of environment steps, with all their agents.

All agents of an environment step stay together, because a joint ratio is theirs together
and a value may be. What an action was sampled under, its mask, comes from the rollout's
own rows. Before the first gradient step every factor of every agent must have the ratio 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.teams import TeamBuffer, TeamMinibatch
from maskrl.distributions import ConditionalCategorical, GridwiseCategorical
from maskrl.errors import RatioDriftError
from maskrl.masks.heads import masks_along, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.objectives import mean_over, normalize_advantages
from maskrl.objectives.team_loss import (
    TEAM_STATISTICS,
    TeamLoss,
    TeamLossSettings,
    TeamRatio,
    team_loss,
)
from maskrl.policies.acting import Acting
from maskrl.policies.action_heads import mass_outside
from maskrl.policies.team_protocol import team_distribution_and_value
from maskrl.trainers.gradient_steps import (
    RATIO_TOLERANCE,
    GradientSteps,
    entropy_estimate,
    shuffled_parts,
)
from maskrl.trainers.team_rollout import name_agent


class TeamUpdate(GradientSteps[TeamBuffer]):
    """Gradient steps on the policy of a team; arguments as of `GradientSteps`."""

    statistics = TEAM_STATISTICS

    def normalize(self, buffer: TeamBuffer) -> None:
        """Over the decisions of agents; of joint advantages over the steps in which one decided."""
        keep = ~buffer.idle
        if buffer.joint:
            decided = np.zeros(len(buffer.advantages), np.bool_)
            decided[buffer.acted.entries[keep]] = True
            keep = decided
        advantages = torch.from_numpy(buffer.advantages)
        kept = None if keep.all() else torch.from_numpy(keep)
        buffer.advantages = normalize_advantages(advantages, kept).numpy()

    def lesson(self, buffer: TeamBuffer, entropy_coef: float) -> TeamLesson:
        """What there is to learn from a rollout."""
        return TeamLesson(self, buffer, entropy_coef)


class TeamLesson:
    """One rollout of a team, ready to be learned from.

    Args:
        update: Whose policy and settings they are.
        buffer: The rollout.
        entropy_coef: Of this update.
    """

    def __init__(self, update: TeamUpdate, buffer: TeamBuffer, entropy_coef: float) -> None:
        config = update.config
        self._settings = TeamLossSettings(
            config.clip,
            entropy_coef,
            config.value_coef,
            config.value_clip,
            cast(TeamRatio, config.ratio),
            config.weight,
        )
        self._update = update
        self._policy: nn.Module = update.policy
        self._buffer = buffer
        self._last: tuple[GridwiseCategorical | None, TeamMinibatch] | None = None

    def minibatches(self) -> Iterator[np.ndarray]:
        """Flat positions `[R]` of every minibatch of every epoch, of nearly equal sizes."""
        rows = self._buffer.num_envs * self._buffer.steps
        update = self._update
        for index in shuffled_parts(rows, update.config, update.shuffle):
            yield index.numpy()

    def loss(self, minibatch: np.ndarray) -> TeamLoss:
        """The loss of a minibatch under the policy as it is now."""
        batch = self._buffer.minibatch(minibatch, self._update.device)
        distribution: GridwiseCategorical | None = None
        estimate = None
        if len(batch.row):
            acting = acting_in(batch)
            distribution, values = team_distribution_and_value(
                self._policy, batch.observations, acting
            )
            estimate = entropy_estimate(
                distribution.of_agents, self._update.shuffle, self._update.device
            )
        else:
            values = self._policy.value(batch.observations)  # type: ignore[operator]
        if self._buffer.critic == "agent":
            values = values[batch.row, batch.slot]
        self._last = distribution, batch
        return team_loss(distribution, values, batch, self._settings, entropy=estimate)

    def look(self, loss: TeamLoss) -> dict[str, float]:
        """How far ratios are from 1, and what masks do; of steps in which somebody acts."""
        assert self._last is not None
        distribution, batch = self._last
        log_probs = loss.log_probs
        if distribution is None:
            where = np.flatnonzero(self._buffer.acted.counts)[: self._update.config.minibatch_size]
            if not len(where):
                return {"ratio_drift": 0.0, "entropy_normalized": 0.0, "disallowed_mass": 0.0}
            batch = self._buffer.minibatch(where, self._update.device)
            with torch.no_grad():
                distribution = self._policy.distribution(  # type: ignore[operator]
                    batch.observations, acting_in(batch)
                )
                log_probs = distribution.log_prob(batch.actions, reduce="none")
            log_probs = log_probs.reshape(batch.log_probs.shape)
        drift = check_team_ratio(log_probs, batch, self._buffer)
        return {"ratio_drift": drift, **_measure(distribution, batch)}

    def backward(self, loss: TeamLoss) -> bool:
        """Replace the parameters' gradients; False where nobody acted and nothing is learned."""
        if not loss.loss.requires_grad or self._nothing_to_learn():
            return False
        for parameter in self._update.parameters:
            parameter.grad = None
        loss.backward()
        return True

    def look_back(self) -> dict[str, float]:
        """Nothing: how far teams moved is what the losses estimate."""
        return {}

    def _nothing_to_learn(self) -> bool:
        assert self._last is not None
        return self._last[0] is None and self._buffer.critic == "agent"


def acting_in(batch: TeamMinibatch) -> Acting:
    """Who acts in a minibatch, as a policy takes it."""
    tables = {key.partition(":")[2]: mask for key, mask in batch.masks.items() if key != FLAT_MASK}
    mask = batch.masks.get(FLAT_MASK)
    return Acting(batch.row, batch.slot, batch.place, batch.offsets, mask, tables)


def check_team_ratio(log_probs: Tensor, batch: TeamMinibatch, buffer: TeamBuffer) -> float:
    """The largest distance of a factor's ratio from 1, before the first gradient step.

    Args:
        log_probs: `[M, K]`, scored now.
        batch: The minibatch, with the log-probabilities `[M, K]` of the rollout.
        buffer: Where the minibatch came from.

    Raises:
        RatioDriftError: It is more than `RATIO_TOLERANCE`, or not a number; names environment,
            step, agent, head and mask.
    """
    drift = torch.expm1(log_probs.detach() - batch.log_probs).abs()
    if batch.keep is not None:
        drift = torch.where(batch.keep.unsqueeze(-1), drift, 0.0)
    largest = float(drift.max())
    if largest <= RATIO_TOLERANCE:
        return largest
    agent, head = (int(i) for i in (~(drift <= RATIO_TOLERANCE)).nonzero()[0])
    step, env = divmod(int(batch.index[int(batch.row[agent])]), buffer.num_envs)
    who = name_agent(buffer.team, int(batch.place[agent]), int(batch.slot[agent]))
    heads = buffer.team.heads
    name = repr(heads.names[head]) if isinstance(heads, ActionTree) else str(head)
    then, now = batch.log_probs[agent, head].item(), log_probs[agent, head].item()
    actions = batch.actions[agent].reshape(-1).cpu().numpy()
    raise RatioDriftError(
        f"environment {env}, step {step} of the rollout, {who}, head {name}: action "
        f"{int(actions[head])} was sampled with log-probability {then:.6g} and is scored with "
        f"{now:.6g} before any gradient step; {_allowed(batch, agent, head, actions, buffer)}. "
        f"The ratio must be 1 within {RATIO_TOLERANCE:g}. Either the mask or the observation is "
        "another one than at sampling (an array changed in place), or the policy is not the same "
        "function twice: dropout, batch statistics, a normaliser that moves, or it reads the "
        "observation's agent_mask or action_mask where it is given who acts"
    )


def _allowed(
    batch: TeamMinibatch, agent: int, head: int, actions: np.ndarray, buffer: TeamBuffer
) -> str:
    """What an agent's mask allowed in a head, for messages."""
    if FLAT_MASK not in batch.masks:
        return "there is no action_mask"
    masks = {key: mask[agent].cpu().numpy() for key, mask in batch.masks.items()}
    heads = buffer.team.heads
    row = np.split(masks_along(actions, masks, heads), starts_of(heads)[1:])[head]
    allowed = np.flatnonzero(row).tolist()
    return f"its action_mask allows {allowed[:20]}{' ...' if len(allowed) > 20 else ''}"


@torch.no_grad()
def _measure(distribution: GridwiseCategorical, batch: TeamMinibatch) -> dict[str, float]:
    """What the masks do to the policy that acted: measured on the first minibatch."""
    agents = distribution.of_agents
    tree = isinstance(agents, ConditionalCategorical)
    normalized = float("nan")
    if not isinstance(agents, ConditionalCategorical) or agents.is_enumerable:
        decides = torch.ones_like(batch.row) if batch.keep is None else batch.keep.long()
        counts = torch.zeros_like(batch.offsets[1:]).index_add(0, batch.row, decides) > 0
        normalized = float(mean_over(distribution.entropy_normalized(), counts))
    mask = batch.masks.get(FLAT_MASK)
    if mask is None:
        return {"entropy_normalized": normalized, "disallowed_mass": 0.0}
    mass = float("nan")
    if not tree:
        mass = _disallowed_mass(distribution, mask, batch.keep)
    return {"entropy_normalized": normalized, "disallowed_mass": mass}


def _disallowed_mass(distribution: Any, mask: Tensor, keep: Tensor | None) -> float:
    """Mean over agents and heads that decide of the probability on what the mask disallows."""
    agents = distribution.of_agents
    sizes = list(agents.nvec) if len(distribution.event_shape) else [mask.shape[-1]]
    raw = agents._raw_logits.detach()
    pairs = zip(raw.split(sizes, -1), mask.split(sizes, -1), strict=True)
    masses = torch.stack([mass_outside(own, row) for own, row in pairs], -1)
    decides = torch.stack([row.any(-1) for row in mask.split(sizes, -1)], -1)
    each = torch.where(decides, masses, 0.0).sum(-1) / decides.sum(-1).clamp(min=1)
    return float(mean_over(each, keep))

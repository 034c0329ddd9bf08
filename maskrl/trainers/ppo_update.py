"""Learning from one rollout: epochs of minibatches, and the check that comes first.

Before the first gradient step the policy that is trained is the policy that acted, so
every probability ratio must be 1. Where one is not, an action is being scored under
another mask or another state than it was sampled under, which teaches nonsense without
failing; the first minibatch's own forward pass finds it, and training stops. A policy with
memory learns from whole sequences, each from the state that it began with while acting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.minibatch import Minibatch, MinibatchReader
from maskrl.buffers.rollout import RolloutBuffer
from maskrl.buffers.sequences import SequenceBatch, Sequences
from maskrl.distributions import ConditionalCategorical
from maskrl.errors import RatioDriftError
from maskrl.masks.heads import masks_along, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.networks.chain import is_watched
from maskrl.networks.encoders import DictEncoder
from maskrl.objectives import entropy_of_actions, mean_over, normalize_advantages
from maskrl.objectives.ppo_loss import STATISTICS, LossSettings, PPOLoss, ppo_loss
from maskrl.policies.action_heads import ActionDistribution, ActionHeads, mass_outside
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.protocol import has_memory
from maskrl.trainers.gradient_steps import (
    RATIO_TOLERANCE,
    GradientSteps,
    entropy_estimate,
    shuffled_parts,
)
from maskrl.trainers.learning_network import network_of
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.update_divergence import update_divergences


class PPOUpdate(GradientSteps[RolloutBuffer]):
    """Gradient steps on the policy of one agent.

    Args:
        policy: As `maskrl.policies.Policy`.
        config: Of the whole training.
        device: Of the policy.
        shuffle: Generator of the minibatches, on the CPU.
        heads: Of the actions; None where an action is one choice.
    """

    statistics = STATISTICS

    def __init__(
        self,
        policy: nn.Module,
        config: PPOConfig,
        *,
        device: torch.device,
        shuffle: torch.Generator,
        heads: ActionHeads | None = None,
    ) -> None:
        super().__init__(policy, config, device=device, shuffle=shuffle)
        self.heads = heads

    def normalize(self, buffer: RolloutBuffer) -> None:
        """Over the steps in which something was decided."""
        keep = torch.from_numpy(~buffer.idle) if buffer.idle.any() else None
        advantages = torch.from_numpy(buffer.advantages)
        advantages.copy_(normalize_advantages(advantages, keep))

    def lesson(self, buffer: RolloutBuffer, entropy_coef: float) -> OneAgentLesson:
        """What there is to learn from a rollout."""
        return OneAgentLesson(self, buffer, entropy_coef)


class OneAgentLesson:
    """One rollout of one agent, ready to be learned from.

    Args:
        update: Whose policy and settings they are.
        buffer: The rollout.
        entropy_coef: Of this update.
    """

    def __init__(self, update: PPOUpdate, buffer: RolloutBuffer, entropy_coef: float) -> None:
        config = update.config
        ratio: Literal["joint", "head"] = "head" if config.ratio == "head" else "joint"
        self._settings = LossSettings(
            config.clip, entropy_coef, config.value_coef, config.value_clip, ratio
        )
        self._update = update
        self._buffer = buffer
        self._read = self._reader()
        self._network = network_of(update.policy)
        self._last: tuple[ActionDistribution, Minibatch] | None = None
        self._scored = None if config.masked_scores else update.heads
        self._before: tuple[Tensor, Tensor] | None = None

    def loss(self, minibatch: tuple[Tensor, SequenceBatch | None]) -> PPOLoss:
        """The loss of a minibatch under the policy as it is now."""
        index, sequences = minibatch
        batch = self._read(index)
        seen = batch.observations
        if self._scored is not None:
            seen = self._scored.opened(seen)
        distribution, values = self._network.forward(seen, sequences)
        self._last = distribution, batch
        if self._update.config.entropy_of == "action":
            estimate: Tensor | None = entropy_of_actions(
                distribution.log_prob(batch.actions, reduce="none").reshape(batch.log_probs.shape)
            )
        else:
            estimate = entropy_estimate(distribution, self._update.shuffle, self._update.device)
        return ppo_loss(distribution, values, batch, self._settings, entropy=estimate)

    def look(self, loss: PPOLoss) -> dict[str, float]:
        """How far ratios are from 1, and what masks do."""
        assert self._last is not None
        distribution, batch = self._last
        drift = check_ratio(loss.log_probs, batch, self._buffer)
        logits = self._network.raw_logits(batch.observations)
        measured = _measure(distribution, logits, batch, self._update.heads)
        if self._update.config.measure_kl and logits is not None:
            self._before = batch.index.clone(), logits.clone()
        return {"ratio_drift": drift, **measured}

    def backward(self, loss: PPOLoss) -> bool:
        """Replace the parameters' gradients."""
        self._network.backward(loss)
        return True

    def look_back(self) -> dict[str, float]:
        """How far the policy moved on the rows of the first minibatch, if that is wanted."""
        config, heads = self._update.config, self._update.heads
        if self._before is None or heads is None or has_memory(self._update.policy):
            return {}
        index, before = self._before
        batch = self._read(index)
        with torch.no_grad():
            self._network.forward(batch.observations)
            after = self._network.raw_logits(batch.observations)
        if after is None or after.shape[-1] != heads.n_logits:
            return {}
        return update_divergences(
            heads,
            before,
            after,
            batch,
            masked_scores=config.masked_scores,
            idle_action=config.idle_action,
        )

    def _reader(self) -> MinibatchReader:
        """What cuts minibatches: as bits and into the same memory where the policy is ours."""
        policy, device = self._update.policy, self._update.device
        packed = getattr(policy, "packed_masks", ()) if device.type == "cpu" else ()
        if has_memory(policy) and type(policy) is not ActorCritic:
            packed = ()
        return MinibatchReader(self._buffer, device, packed=packed, reuse=_keeps_nothing(policy))

    def minibatches(self) -> Iterator[tuple[Tensor, SequenceBatch | None]]:
        """Flat positions `[M]` of every minibatch of every epoch, of nearly equal sizes.

        With memory: and the sequences that they are the steps of.
        """
        buffer, config, shuffle = self._buffer, self._update.config, self._update.shuffle
        rows = buffer.num_envs * buffer.steps
        if not has_memory(self._update.policy):
            for index in shuffled_parts(rows, config, shuffle):
                yield index, None
            return
        cut = Sequences(buffer)
        parts = min(-(-rows // min(config.minibatch_size, rows)), len(cut))
        for _ in range(config.epochs):
            for which in torch.randperm(len(cut), generator=shuffle).tensor_split(parts):
                sequences = cut(which)
                yield sequences.index, sequences


def _keeps_nothing(policy: nn.Module) -> bool:
    """Whether nobody can hold on to the observations that a policy is given."""
    if type(policy) is not ActorCritic or is_watched(policy.modules()):
        return False
    encoders = (policy.actor, policy.actor if policy.critic is None else policy.critic)
    return all(type(encoder) is DictEncoder for encoder in encoders)


def check_ratio(log_probs: Tensor, batch: Minibatch, buffer: RolloutBuffer) -> float:
    """The largest distance of a factor's ratio from 1, before the first gradient step.

    Args:
        log_probs: `[M, K]`, scored now.
        batch: The minibatch, with the log-probabilities `[M, K]` of the rollout.
        buffer: Where the minibatch came from.

    Raises:
        RatioDriftError: It is more than `RATIO_TOLERANCE`, or not a number; names row,
            head and mask.
    """
    drift = torch.expm1(log_probs.detach() - batch.log_probs).abs()
    if batch.keep is not None:
        drift = torch.where(batch.keep.unsqueeze(-1), drift, 0.0)
    largest = float(drift.max())
    if largest <= RATIO_TOLERANCE:
        return largest
    row, head = (int(i) for i in (~(drift <= RATIO_TOLERANCE)).nonzero()[0])
    position = int(batch.index[row])
    step, env = divmod(position, buffer.num_envs)
    name, action, mask = _describe_choice(position, head, buffer)
    remembered = "."
    if len(buffer.states):
        remembered = (
            ", or what it remembers is not what it remembered then: unroll must answer from the "
            "stored states as act did, and begin anew where an episode does."
        )
    then, now = batch.log_probs[row, head].item(), log_probs[row, head].item()
    raise RatioDriftError(
        f"row {position} of the rollout (step {step}, environment {env}), head {name}: action "
        f"{action} was sampled with log-probability {then:.6g} and is scored "
        f"with {now:.6g} before any gradient step; {mask}. The ratio must be 1 within "
        f"{RATIO_TOLERANCE:g}. Either the mask or the observation is another one than at "
        "sampling (an array changed in place), or the policy is not the same function twice "
        "(dropout, batch statistics, a normaliser that moves)" + remembered
    )


def _describe_choice(position: int, head: int, buffer: RolloutBuffer) -> tuple[str, int, str]:
    """Name of a head, its stored choice, and what its mask allowed, for messages."""
    heads = buffer.heads
    action = buffer.actions.reshape(-1, buffer.log_probs.shape[-1])[position]
    name = repr(heads.names[head]) if isinstance(heads, ActionTree) else str(head)
    if FLAT_MASK not in buffer.bits:
        return name, int(action[head]), "there is no action_mask"
    masks = {key: buffer.mask_at(key, position) for key in buffer.action_masks}
    if heads is None:
        row = masks[FLAT_MASK]
    else:
        row = np.split(masks_along(action, masks, heads), starts_of(heads)[1:])[head]
    allowed = np.flatnonzero(row).tolist()
    shown = f"{allowed[:20]}{' ...' if len(allowed) > 20 else ''}"
    return name, int(action[head]), f"action_mask allows {shown}"


@torch.no_grad()
def _measure(
    distribution: ActionDistribution,
    logits: Tensor | None,
    batch: Minibatch,
    heads: ActionHeads | None,
) -> dict[str, float]:
    """What the masks do to the policy that acted: measured on the first minibatch."""
    countable = not isinstance(distribution, ConditionalCategorical) or distribution.is_enumerable
    normalized = (
        mean_over(distribution.entropy_normalized(), batch.keep) if countable else float("nan")
    )
    mask = batch.observations.get(FLAT_MASK)
    if mask is None:
        mass = 0.0
    elif logits is None or (heads is not None and logits.shape[-1] != heads.n_logits):
        mass = float("nan")  # a policy of one's own, which does not say or has its own layout
    else:
        outside = (
            mass_outside(logits, mask)
            if heads is None
            else heads.disallowed_mass(logits, batch.observations, batch.actions)
        )
        mass = float(mean_over(outside, batch.keep))
    return {"entropy_normalized": float(normalized), "disallowed_mass": mass}

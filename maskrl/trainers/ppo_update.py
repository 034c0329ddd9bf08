"""Learning from one rollout: epochs of minibatches, and the check that comes first.

Before the first gradient step the policy that is trained is the policy that acted, so
every probability ratio must be 1. Where one is not, an action is being scored under
another mask or another state than it was sampled under, which teaches nonsense without
failing; the first minibatch's own forward pass finds it, and training stops. A policy with
memory learns from whole sequences, each from the state that it began with while acting.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.minibatch import Minibatch, MinibatchReader
from maskrl.buffers.rollout import RolloutBuffer
from maskrl.buffers.sequences import SequenceBatch, Sequences
from maskrl.distributions import ConditionalCategorical
from maskrl.errors import ConfigError, RatioDriftError
from maskrl.masks.heads import masks_along, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.networks.chain import is_watched
from maskrl.networks.encoders import DictEncoder
from maskrl.objectives import mean_over, normalize_advantages
from maskrl.objectives.ppo_loss import STATISTICS, LossSettings, PPOLoss, ppo_loss
from maskrl.policies.action_heads import ActionDistribution, ActionHeads, mass_outside
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.protocol import has_memory
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.learning_network import network_of
from maskrl.trainers.ppo_config import PPOConfig

RATIO_TOLERANCE = 1e-3
"""How far a factor's ratio may be from 1 before the first gradient step."""

KL_MARGIN = 1.5
"""An update ends when the policy has moved by this many times `target_kl`."""

ENTROPY_SAMPLES = 4
"""Sampled actions a row where a tree has too many prefixes for its exact entropy."""


class PPOUpdate:
    """Gradient steps on a policy.

    Args:
        policy: As `maskrl.policies.Policy`.
        config: Of the whole training.
        device: Of the policy.
        shuffle: Generator of the minibatches, on the CPU.
        heads: Of the actions; None where an action is one choice.
    """

    def __init__(
        self,
        policy: nn.Module,
        config: PPOConfig,
        *,
        device: torch.device,
        shuffle: torch.Generator,
        heads: ActionHeads | None = None,
    ) -> None:
        self.policy = policy
        self.config = config
        self.device = device
        self.shuffle = shuffle
        self.heads = heads
        self.parameters = [p for p in policy.parameters() if p.requires_grad]
        if not self.parameters:
            raise ConfigError(f"policy: {type(policy).__name__} has no parameter to train")
        self.optimizer = ClippedAdam(self.parameters, lr=config.learning_rate, eps=config.adam_eps)

    def run(
        self, buffer: RolloutBuffer, *, learning_rate: float, entropy_coef: float
    ) -> dict[str, float]:
        """Learn from the buffer, whose advantages and returns are filled in.

        Args:
            buffer: One rollout; its advantages are normalised in place if so configured.
            learning_rate: Of this update.
            entropy_coef: Of this update.

        Returns:
            Means over the gradient steps, and what was measured before the first.

        Raises:
            RatioDriftError: A ratio was not 1 before the first gradient step.
        """
        config = self.config
        if config.normalize_advantage:
            keep = torch.from_numpy(~buffer.idle) if buffer.idle.any() else None
            advantages = torch.from_numpy(buffer.advantages)
            advantages.copy_(normalize_advantages(advantages, keep))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # What is not trained any more must not move by a gradient of before.
        self.optimizer.zero_grad()
        self.optimizer.look_again()
        settings = LossSettings(
            config.clip, entropy_coef, config.value_coef, config.value_clip, config.ratio
        )
        read = self._reader(buffer)
        network = network_of(self.policy)
        measured: dict[str, float] = {}
        statistics: list[Tensor] = []
        norms: list[Tensor | float] = []
        for index, sequences in self._minibatches(buffer):
            batch = read(index)
            distribution, values = network.forward(batch.observations, sequences)
            estimate = self._entropy_estimate(distribution)
            loss = ppo_loss(distribution, values, batch, settings, entropy=estimate)
            if not measured:
                measured["ratio_drift"] = check_ratio(loss.log_probs, batch, buffer)
                logits = network.raw_logits(batch.observations)
                measured |= _measure(distribution, logits, batch, self.heads)
            if norms and config.target_kl and _kl(loss) > KL_MARGIN * config.target_kl:
                break
            network.backward(loss)
            norms.append(self.optimizer.clipped_step(config.max_grad_norm or None))
            statistics.append(loss.statistics)
        means = torch.stack(statistics).mean(0).tolist()
        return {
            **dict(zip(STATISTICS, means, strict=True)),
            "grad_norm": float(torch.stack([torch.as_tensor(norm) for norm in norms]).mean()),
            **measured,
            "gradient_steps": float(len(norms)),
            "learning_rate": learning_rate,
            "entropy_coef": entropy_coef,
        }

    def _reader(self, buffer: RolloutBuffer) -> MinibatchReader:
        """What cuts minibatches: as bits and into the same memory where the policy is ours."""
        packed = getattr(self.policy, "packed_masks", ()) if self.device.type == "cpu" else ()
        if has_memory(self.policy) and type(self.policy) is not ActorCritic:
            packed = ()
        return MinibatchReader(
            buffer, self.device, packed=packed, reuse=_keeps_nothing(self.policy)
        )

    def _entropy_estimate(self, distribution: ActionDistribution) -> Tensor | None:
        """Entropies `[M]`, estimated for a tree with too many prefixes; None if they are exact."""
        if isinstance(distribution, ConditionalCategorical) and not distribution.is_enumerable:
            # Seeded by the minibatches' generator, whose state a checkpoint keeps.
            seed = int(torch.randint(2**62, (), generator=self.shuffle))
            paths = torch.Generator(self.device).manual_seed(seed)
            return distribution.entropy_estimate(ENTROPY_SAMPLES, generator=paths)
        return None

    def _minibatches(self, buffer: RolloutBuffer) -> Iterator[tuple[Tensor, SequenceBatch | None]]:
        """Flat positions `[M]` of every minibatch of every epoch, of nearly equal sizes.

        With memory: and the sequences that they are the steps of.
        """
        rows = buffer.num_envs * buffer.steps
        parts = -(-rows // min(self.config.minibatch_size, rows))
        if not has_memory(self.policy):
            for _ in range(self.config.epochs):
                for index in torch.randperm(rows, generator=self.shuffle).tensor_split(parts):
                    yield index, None
            return
        cut = Sequences(buffer)
        parts = min(parts, len(cut))
        for _ in range(self.config.epochs):
            for which in torch.randperm(len(cut), generator=self.shuffle).tensor_split(parts):
                sequences = cut(which)
                yield sequences.index, sequences


def _keeps_nothing(policy: nn.Module) -> bool:
    """Whether nobody can hold on to the observations that a policy is given."""
    if type(policy) is not ActorCritic or is_watched(policy.modules()):
        return False
    encoders = (policy.actor, policy.actor if policy.critic is None else policy.critic)
    return all(type(encoder) is DictEncoder for encoder in encoders)


def _kl(loss: PPOLoss) -> float:
    return float(loss.statistics[STATISTICS.index("approx_kl")])


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

"""The naive regime of PPO: chosen under the mask, scored as if there were none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

CONFIG = PPOConfig(
    num_envs=4,
    rollout_steps=32,
    minibatch_size=32,
    epochs=2,
    threads=1,
    evaluate_every=0,
    measure_kl=True,
    network=NetworkConfig(hidden=(16,)),
)
NAIVE = CONFIG.replace(masked_scores=False)


class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_rollout(self, trainer, metrics):
        self.rows.append(metrics)


def rollout(env, config, seed=3):
    trainer = PPO(env, config, seed=seed)
    trainer.collector.collect()
    return trainer


def test_the_same_actions_are_taken_and_other_scores_are_noted(corridor):
    masked, naive = (rollout(corridor(4), config) for config in (CONFIG, NAIVE))
    assert np.array_equal(masked.buffer.actions, naive.buffer.actions)
    assert naive.collector.illegal_actions == 0
    everything = naive.buffer.observations_at(np.arange(128), torch.device("cpu"))
    with torch.no_grad():
        logits = naive.policy.logits(everything)
    taken = torch.from_numpy(naive.buffer.actions.reshape(128, 1))
    # By hand: a softmax over all ten actions, and over the two that are allowed.
    alone = logits.log_softmax(-1).gather(-1, taken).squeeze(-1)
    allowed = everything["action_mask"]
    under = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1).gather(-1, taken).squeeze(-1)
    assert np.allclose(naive.buffer.log_probs.reshape(-1), alone.numpy(), atol=1e-5)
    assert np.allclose(masked.buffer.log_probs.reshape(-1), under.numpy(), atol=1e-5)


def test_the_gradient_is_that_of_the_network_without_masks(corridor):
    """One gradient step on the whole rollout, against the loss written down in torch."""
    config = NAIVE.replace(
        minibatch_size=128, epochs=1, normalize_advantage=False, max_grad_norm=0.0
    )
    trainer = rollout(corridor(4), config)
    trainer.buffer.advantages[...] = np.linspace(-1, 1, 128).reshape(32, 4)
    trainer.buffer.returns[...] = 0.5
    seen = trainer.buffer.observations_at(np.arange(128), torch.device("cpu"))
    actions = torch.from_numpy(trainer.buffer.actions.reshape(128, 1))
    logits, values = trainer.policy.logits_and_value(seen)
    scores = logits.log_softmax(-1)
    entropy = -(scores.exp() * scores).sum(-1).mean()
    advantages = torch.from_numpy(trainer.buffer.advantages.reshape(-1)).float()
    # The ratio is 1, so the policy's gradient is that of the plain policy gradient.
    chosen = scores.gather(-1, actions).squeeze(-1)
    loss = -(chosen * advantages).mean() - config.entropy_coef * entropy
    loss = loss + config.value_coef * 0.5 * (values - 0.5).square().mean() * 2
    wanted = torch.autograd.grad(loss, list(trainer.policy.actor.parameters()))
    trainer.update.run(trainer.buffer, learning_rate=0.0, entropy_coef=config.entropy_coef)
    for parameter, gradient in zip(trainer.policy.actor.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)


def test_training_goes_on_with_ratio_one_and_measures_both_divergences(corridor):
    log = Log()
    PPO(corridor(4), NAIVE, seed=1).learn(3 * 128, callbacks=[log])
    assert all(row["ratio_drift"] < 1e-4 for row in log.rows)
    assert all(row["illegal_actions"] == 0 for row in log.rows)
    assert all(row["kl_masked"] >= 0 and row["kl_unmasked"] > 0 for row in log.rows)
    assert all(np.isfinite(row["kl_published"]) for row in log.rows)
    plain = Log()
    PPO(corridor(4), CONFIG.replace(measure_kl=False), seed=1).learn(128, callbacks=[plain])
    assert "kl_masked" not in plain.rows[0]


def test_measuring_changes_nothing(corridor):
    logs = [Log(), Log()]
    for log, measured in zip(logs, (False, True), strict=True):
        trainer = PPO(corridor(4), CONFIG.replace(measure_kl=measured), seed=1)
        trainer.learn(3 * 128, callbacks=[log])
    for without, with_it in zip(logs[0].rows, logs[1].rows, strict=True):
        assert without == {name: with_it[name] for name in without}


class OwnPolicy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(7, 11)

    def distribution(self, obs):
        from maskrl import MaskedCategorical

        return MaskedCategorical(self.layer(obs["observation"])[:, :10], obs["action_mask"])

    def value(self, obs):
        return self.layer(obs["observation"])[:, 10]


def test_what_cannot_be_scored_without_masks_is_refused(corridor, shifts):
    with pytest.raises(ConfigError, match="how a OwnPolicy masks is its own business"):
        PPO(corridor(4), NAIVE.replace(network=NetworkConfig()), policy=OwnPolicy())
    memory = NAIVE.replace(network=NetworkConfig(hidden=(16,), memory="gru"))
    with pytest.raises(ConfigError, match="a policy with memory"):
        PPO(corridor(4), memory)
    team = PPOConfig(num_envs=4, death="posthumous", masked_scores=False)
    with pytest.raises(ConfigError, match="a team does; leave it at True"):
        PPO(shifts(4), team)
    with pytest.raises(ConfigError, match="masked_scores: expected a bool"):
        PPOConfig(masked_scores=1)

"""PPO's arithmetic without an environment and without a library: what cannot be left out.

Two perceptrons act on stored observations, sample under stored masks, and learn from
minibatches: loss, gradient, clipping, Adam. Plain torch, written tightly; no buffer, no
statistics, no checks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrl.bench.contenders.plain_torch import entropy, masked_log_probs, score
from maskrl.bench.groups.training_world import ACTIONS, FEATURES, settle
from maskrl.trainers.ppo_config import PPOConfig


def perceptron(config: PPOConfig, outputs: int) -> nn.Sequential:
    """Fully connected layers with tanh, of the sizes of the configuration's network."""
    layers: list[nn.Module] = []
    width = FEATURES
    for hidden in config.network.hidden:
        layers += [nn.Linear(width, hidden), nn.Tanh()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class BareLoop:
    """One call: the acting steps of a rollout, then all epochs of learning.

    Args:
        config: Sizes and coefficients.
        seed: Of the stored observations.
    """

    def __init__(self, config: PPOConfig, *, seed: int = 0) -> None:
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        rows = config.batch_size
        numbers = torch.randn(rows, FEATURES, generator=generator)
        observations, masks = settle(numbers.numpy())
        self.observations, self.masks = torch.from_numpy(observations), torch.from_numpy(masks)
        self.advantages = torch.randn(rows, generator=generator)
        self.returns = torch.randn(rows, generator=generator)
        self.actions = torch.zeros(rows, dtype=torch.int64)
        self.log_probs = torch.zeros(rows)
        self.values = torch.zeros(rows)
        self.policy = perceptron(config, ACTIONS)
        self.critic = perceptron(config, 1)
        self.parameters = [*self.policy.parameters(), *self.critic.parameters()]
        self.adam = torch.optim.Adam(
            self.parameters, lr=config.learning_rate, eps=config.adam_eps, fused=True
        )

    def __call__(self) -> None:
        """Act and learn."""
        self.act()
        self.learn()

    def act(self) -> None:
        """A forward pass, a sample and its log-probability for every step of a rollout."""
        envs = self.config.num_envs
        with torch.no_grad():
            for start in range(0, self.config.batch_size, envs):
                at = slice(start, start + envs)
                observations = self.observations[at]
                log_probs = masked_log_probs(self.policy(observations), self.masks[at])
                actions = torch.multinomial(log_probs.exp(), 1)
                self.actions[at] = actions.squeeze(-1)
                self.log_probs[at] = log_probs.gather(-1, actions).squeeze(-1)
                self.values[at] = self.critic(observations).squeeze(-1)

    def learn(self) -> None:
        """Gradient steps over shuffled minibatches."""
        config = self.config
        for _ in range(config.epochs):
            for index in torch.randperm(config.batch_size).split(config.minibatch_size):
                loss = self.loss(index)
                self.adam.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
                self.adam.step()

    def loss(self, index: Tensor) -> Tensor:
        """The clipped objective, the value loss and the entropy bonus of some rows."""
        config, masks = self.config, self.masks[index]
        observations, advantages = self.observations[index], self.advantages[index]
        log_probs = masked_log_probs(self.policy(observations), masks)
        ratio = (score(log_probs, self.actions[index]) - self.log_probs[index]).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
        value_loss = (self.critic(observations).squeeze(-1) - self.returns[index]).square().mean()
        bonus = entropy(log_probs, masks).mean()
        return config.value_coef * value_loss - gain - config.entropy_coef * bonus

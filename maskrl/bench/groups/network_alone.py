"""The network arithmetic of maskrl's PPO and nothing else, to see what the rest takes.

The same passes through the same networks as a rollout and the learning from it: actions from
the actor, values from the critic, and for every minibatch both forward, both backward, the
clipping and the step of Adam. No environment, masks, losses, buffers or metrics.
"""

from __future__ import annotations

import torch
from gymnasium import spaces

from maskrl.bench.groups.training_world import ACTIONS, FEATURES, observation_space
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.rollout import ROWS_AT_ONCE


class NetworkAlone:
    """One call: the passes of one rollout and of all its minibatches.

    Args:
        config: Sizes.
    """

    def __init__(self, config: PPOConfig) -> None:
        self.config = config
        space = observation_space()
        self.policy = ActorCritic(space, spaces.Discrete(ACTIONS), config.network)
        towers = self.policy.towers()
        assert towers is not None, "the benchmark's network is made of perceptrons"
        self.towers = towers
        self.adam = ClippedAdam(
            self.policy.parameters(), lr=config.learning_rate, eps=config.adam_eps
        )
        self._acting = self._rows(config.num_envs)
        self._valued = self._rows(min(ROWS_AT_ONCE, config.batch_size))
        self._learning = self._rows(config.minibatch_size)
        rows = config.minibatch_size
        self._upstream = torch.randn(rows, ACTIONS) / rows, torch.randn(rows) / rows

    def __call__(self) -> None:
        """Act, judge and learn."""
        config = self.config
        with trusted(self.policy), torch.inference_mode():
            for _ in range(config.rollout_steps):
                self.policy.logits(self._acting)
            for _ in range(-(-config.batch_size // len(self._valued["observation"]))):
                self.policy.value(self._valued)
        for _ in range(config.epochs * -(-config.batch_size // config.minibatch_size)):
            self.towers.forward(self._learning)
            self.towers.backward(*self._upstream)
            self.adam.clipped_step(config.max_grad_norm)

    def _rows(self, count: int) -> dict[str, torch.Tensor]:
        return {"observation": torch.randn(count, FEATURES)}

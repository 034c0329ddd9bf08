"""What was seen must be remembered: a cue at the start, a question at the end.

The first observation of an episode shows one of four cues. For two to five steps only waiting
is allowed, and noise is seen; then the four answers are, and the one that the cue named pays
1. Who remembers nothing gets 0.25 on average, whatever it does; the optimum is 1. Episodes are
shorter than sequences, so that several of them lie in one.
"""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.contract import mask_space
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

CUES, WAIT = 4, 4


class Recall(VectorEnv):
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = spaces.Dict(
            {
                "observation": spaces.Box(-np.inf, np.inf, (CUES + 2,), np.float32),
                "action_mask": mask_space(CUES + 1),
            }
        )
        self.single_action_space = spaces.Discrete(CUES + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rng = np.random.default_rng(0)
        self.cue, self.left, self.is_new = (np.zeros(num_envs, np.int64) for _ in range(3))

    def reset(self, *, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self._begin(np.ones(self.num_envs, np.bool_))
        return self._observe(), {}

    def step(self, actions):
        asked = self.left == 0
        rewards = (asked & (np.asarray(actions) == self.cue)).astype(np.float64)
        self.left -= 1
        self.is_new[...] = 0
        infos = {"final_obs": self._observe()} if asked.any() else {}
        self._begin(asked)
        return self._observe(), rewards, asked, np.zeros_like(asked), infos

    def _begin(self, which):
        self.cue = np.where(which, self.rng.integers(CUES, size=self.num_envs), self.cue)
        self.left = np.where(which, self.rng.integers(2, 6, self.num_envs), self.left)
        self.is_new = np.where(which, 1, self.is_new)

    def _observe(self):
        asked = self.left <= 0
        seen = self.rng.normal(size=(self.num_envs, CUES + 2)).astype(np.float32)
        seen[:, :CUES] *= self.is_new[:, None] == 0
        seen[np.arange(self.num_envs), self.cue] += self.is_new
        seen[:, CUES], seen[:, CUES + 1] = self.is_new, asked
        mask = np.zeros((self.num_envs, CUES + 1), np.bool_)
        mask[asked, :CUES] = True
        mask[~asked, WAIT] = True
        return {"observation": seen, "action_mask": mask}


def share_of_right_answers(memory, seed, steps):
    config = PPOConfig(
        num_envs=32,
        rollout_steps=32,
        minibatch_size=256,
        epochs=4,
        learning_rate=5e-3,
        gamma=0.9,
        threads=1,
        evaluate_every=0,
        sequence_length=16,
        network=NetworkConfig(hidden=(32,), memory=memory, memory_size=32),
    )
    trainer = PPO(Recall(32), config, seed=seed).learn(steps)
    env = Recall(64)
    obs, _ = env.reset(seed=99)
    state, start, answers = None, np.ones(64, np.bool_), []
    for _ in range(80):
        action, state = trainer.predict(obs, state=state, episode_start=start)
        obs, rewards, start, _, _ = env.step(action)
        answers += rewards[start].tolist()
    assert len(answers) > 500
    return float(np.mean(answers))


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_a_policy_with_memory_answers_right(memory):
    assert share_of_right_answers(memory, 0, 32 * 32 * 15) >= 0.97


def test_without_memory_it_is_a_guess():
    assert share_of_right_answers("none", 0, 32 * 32 * 15) <= 0.32

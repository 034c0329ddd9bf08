"""PPO on parallel environments: agents die, wait and come back while their network learns."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

KNIGHTS = "pettingzoo:knights_archers_zombies_v11"
SMALL = {"num_envs": 2, "rollout_steps": 64, "minibatch_size": 64, "threads": 1}


class Doors(ParallelEnv):
    """Each of three agents must choose the number that it is shown, or dies; 12 steps.

    In even steps only numbers up to 2 are shown and legal; in odd steps one agent waits.
    A right choice is worth 1, so that a team gets 30 at most.
    """

    metadata = {"name": "doors_v0"}
    possible_agents = ["a_0", "a_1", "a_2"]
    render_mode = None

    def observation_space(self, agent):
        return spaces.Dict(
            {"number": spaces.Discrete(4), "action_mask": spaces.Box(0, 1, (4,), np.int8)}
        )

    def action_space(self, agent):
        return spaces.Discrete(4)

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.t, self.agents = 0, self.possible_agents[:]
        return self._show(self.agents), {}

    def _show(self, agents):
        odd = self.t % 2
        self.numbers = {a: int(self.rng.integers(4 if odd else 3)) for a in agents}
        self.waits = self.possible_agents[(self.t // 2) % 3] if odd else None
        masks = {a: np.array([1, 1, 1, odd], np.int8) * (a != self.waits) for a in agents}
        return {a: {"number": self.numbers[a], "action_mask": masks[a]} for a in agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        right = {a: a == self.waits or actions[a] == self.numbers[a] for a in self.agents}
        rewards = {a: float(right[a] and a != self.waits) for a in self.agents}
        self.t += 1
        over = self.t >= 12
        died = {a: not right[a] for a in self.agents}
        cut = {a: over and right[a] for a in self.agents}
        seen = self._show(self.agents)
        self.agents = [a for a in self.agents if right[a] and not over]
        return seen, rewards, died, cut, {a: {} for a in right}


@pytest.mark.parametrize("death", ["terminal", pytest.param("posthumous", marks=pytest.mark.slow)])
def test_agents_that_die_and_wait_under_action_masks_learn(death):
    """Of the 30 that a team can get, one that chooses at random gets about 1.5."""
    config = PPOConfig.from_json(
        {
            **SMALL,
            "num_envs": 8,
            "epochs": 4,
            "learning_rate": 1e-2,
            "death": death,
            "evaluate_every": 0,
            "network": {"hidden": (32,)},
        }
    )
    venv = GymnasiumVectorEnv([lambda: ParallelTeam(Doors())] * 8, seed=0)
    trainer = PPO(venv, config, seed=0)
    trainer.learn(512 * 6)
    obs, _ = venv.reset(seed=1)
    total, finished, returns = np.zeros(8), 0, []
    while finished < 24:
        actions, _ = trainer.predict(obs)
        obs, rewards, terminated, truncated, _ = venv.step(actions)
        total += rewards
        ended = terminated | truncated
        returns += total[ended].tolist()
        finished += int(ended.sum())
        total[ended] = 0
    assert venv.illegal_actions == 0
    assert np.mean(returns) > 25, returns


def test_knights_and_archers_train_a_little():
    """A real environment, dying agents included: two updates."""
    config = PPOConfig.from_json({**SMALL, "death": "terminal", "epochs": 2, "evaluate_every": 0})
    trainer = PPO(
        KNIGHTS, config, seed=0, env_kwargs={"spawn_delay": 3, "max_zombies": 20, "max_cycles": 90}
    )
    before = [p.detach().clone() for p in trainer.policy.parameters()]
    trainer.learn(256)
    moved = [
        not np.array_equal(a, b.detach())
        for a, b in zip(before, trainer.policy.parameters(), strict=True)
    ]
    assert all(moved) and all(p.isfinite().all() for p in trainer.policy.parameters())


def test_what_death_means_must_be_said():
    with pytest.raises(ConfigError, match="death"):
        PPO(KNIGHTS, PPOConfig.from_json({**SMALL, "evaluate_every": 0}), seed=0)

"""What a team's decisions were worth, from environment to advantages, against sums by hand.

gamma = lambda = 1/2 and small numbers, so that every expected value is exact in float32.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.policies.acting import Acting
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

FINAL = 50


class Scripted(VectorEnv):
    """One environment in which everything happens as written down; its observation is the time.

    Args:
        life: Per agent a string with a letter for each of T + 1 steps: a(cts), w(aits), d(ead).
        rewards: Per agent, T numbers.
        cut: Step that truncates, with the letters of who is there in the final observation.
        over: Step that terminates.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, life, rewards, *, cut=None, over=None, own=True):
        self.num_envs, self.life, self.over = 1, life, over
        self.cut = {} if cut is None else dict([cut])
        self.rewards = np.array(rewards, np.float64)
        self.gives_agent_rewards = own
        n = len(life)
        self.single_observation_space = spaces.Dict(
            {
                "observation": spaces.Box(0, 100, (n, 1), np.float32),
                "agent_mask": mask_space(n),
                "alive": mask_space(n),
            }
        )
        self.single_action_space = spaces.MultiDiscrete([2] * n)
        self.observation_space = batch_space(self.single_observation_space, 1)
        self.action_space = batch_space(self.single_action_space, 1)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.observe(self.letters(0), 0), {}

    def letters(self, t):
        return [life[t] for life in self.life]

    def observe(self, letters, time):
        letters = np.array(letters)
        return {
            "observation": np.full((1, len(letters), 1), time, np.float32),
            "agent_mask": (letters == "a")[None],
            "alive": (letters != "d")[None],
        }

    def step(self, actions):
        t, self.time = self.time, self.time + 1
        got = self.rewards[:, t]
        infos = {"agent_rewards": got[None]}
        cut, over = t in self.cut, t == self.over
        if cut or over:
            last = self.cut.get(t, self.letters(t))
            infos["final_obs"] = self.observe(last, FINAL + t)
        obs = self.observe(self.letters(self.time), self.time)
        return obs, np.array([got.sum()]), np.array([over]), np.array([cut]), infos


class Told(nn.Module):
    """A policy whose values are told: of the team per time, or of each agent per time."""

    def __init__(self, env, values, critic):
        super().__init__()
        self.critic = critic
        self.team = describe_team(env.single_observation_space, env.single_action_space)
        self.logits = nn.Parameter(torch.zeros(2))
        self.values = {time: torch.tensor(value) for time, value in values.items()}

    def distribution(self, obs, acting=None):
        acting = acting or Acting.read(obs, self.team)
        return GridwiseCategorical.from_packed(self.logits.expand(len(acting), 2), acting.offsets)

    def value(self, obs):
        return torch.stack([self.values[int(row[0, 0])] for row in obs["observation"]])


def judged(env, values, *, critic, death, **settings):
    """Advantages by (step, agent), and the trainer."""
    config = PPOConfig(
        num_envs=1,
        minibatch_size=1,
        rollout_steps=env.rewards.shape[1],
        gamma=0.5,
        gae_lambda=0.5,
        threads=1,
        death=death,
        critic=critic,
        **settings,
    )
    trainer = PPO(env, config, policy=Told(env, values, critic))
    trainer.parts.judge(trainer.collector.collect())
    acted = trainer.buffer.acted
    if trainer.buffer.joint:
        return trainer.buffer.advantages.tolist(), trainer
    advantages = trainer.buffer.advantages.tolist()
    places = zip(acted.entries.tolist(), acted.slots.tolist(), strict=True)
    return dict(zip(places, advantages, strict=True)), trainer


def test_an_agent_that_waits_dies_and_comes_back():
    """terminal, rewards and values of each agent; the last row bootstraps the rollout's end."""
    env = Scripted(
        ["awadaaa", "aaaaaaa"],
        [[1, 2, 4, 8, 1, 2], [0, 1, 0, 1, 0, 1]],
    )
    own = [1.0, 90.0, 2.0, 90.0, 3.0, 1.0, 4.0]  # 90: where it does not act, never read
    values = {time: [own[time], 1.0] for time in range(7)}
    got, trainer = judged(env, values, critic="agent", death="terminal")
    first = {
        5: 3.0,  # 2 + 4/2 - 1
        4: -0.75,  # 1 + 1/2 - 3 + 3/4
        2: 2.0,  # 4 + nothing - 2: it died; the 8 is not its own
        0: 1.75,  # 1 + 2/2 + 2/4 - 1 + 2/4 * 1/2: after waiting
    }
    second = {5: 0.5, 4: -0.375, 3: 0.40625, 2: -0.3984375, 1: 0.400390625, 0: -0.39990234375}
    expected = {(t, 0): a for t, a in first.items()} | {(t, 1): a for t, a in second.items()}
    assert got == expected
    # Targets: advantage and value of those who acted, in the order of the packed rows.
    packed = dict(zip(got, trainer.buffer.returns.tolist(), strict=True))
    assert packed == {(t, n): a + values[t][n] for (t, n), a in expected.items()}


TRUNCATED = {
    "alive at the end": ({}, "w", 3.0),  # 1 + 2/2 + 8/4 - 1
    "dead at the end": ({}, "d", 1.0),  # 1 + 2/2 - 1
    "one discount per decision": ({"waiting_discount": False}, "w", 6.0),  # 1 + 2 + 8/2 - 1
}


@pytest.mark.parametrize("case", TRUNCATED)
def test_truncated_while_waiting(case):
    settings, letter, expected = TRUNCATED[case]
    env = Scripted(["awaa"], [[1, 2, 4]], cut=(1, [letter]))
    values = {0: [1.0], 1: [90.0], 2: [2.0], 3: [4.0], FINAL + 1: [8.0]}
    got, _ = judged(env, values, critic="agent", death="terminal", **settings)
    assert got == {(0, 0): expected, (2, 0): 4.0}  # 4 + 4/2 - 2: the next episode


def test_terminated_while_waiting():
    env = Scripted(["awaa"], [[1, 2, 4]], over=1)
    values = {0: [1.0], 1: [90.0], 2: [2.0], 3: [4.0]}
    got, _ = judged(env, values, critic="agent", death="terminal")
    assert got == {(0, 0): 1.0, (2, 0): 4.0}


TEAM_VALUES = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}


def test_the_dead_are_owed_what_their_team_gets():
    """posthumous: team rewards 1, 2, 4."""
    env = Scripted(["adda", "aaaa"], [[1, 2, 2], [0, 0, 2]])
    got, trainer = judged(env, TEAM_VALUES, critic="team", death="posthumous")
    # 4 + 4/2 - 3; 2 + 3/2 - 2 + 3/4; 1 + 2/2 - 1 + 2.25/4
    assert got == {(0, 0): 1.5625, (0, 1): 1.5625, (1, 1): 2.25, (2, 1): 3.0}
    assert trainer.buffer.returns.tolist() == [2.5625, 4.25, 6.0]


def test_a_team_value_with_terminal_death():
    env = Scripted(["adda", "aaaa"], [[1, 2, 2], [0, 0, 2]])
    got, trainer = judged(env, TEAM_VALUES, critic="team", death="terminal")
    assert got == {(0, 0): 0.0, (0, 1): 1.5625, (1, 1): 2.25, (2, 1): 3.0}  # 1 - 1
    assert trainer.buffer.returns.tolist() == [2.5625, 4.25, 6.0]


def test_waiting_for_the_team():
    env = Scripted(["awaa", "aaaa"], [[1, 2, 2], [0, 0, 2]])
    got, _ = judged(env, TEAM_VALUES, critic="team", death="posthumous")
    assert got[0, 0] == 2.125  # 1 + 2/2 + 3/4 - 1 + 3/8
    assert got[2, 0] == got[2, 1] == 3.0


def test_a_joint_ratio_has_the_advantages_of_the_team():
    """Also of the step in which nobody acts, whose value is learned."""
    env = Scripted(["adda", "adaa"], [[1, 2, 2], [0, 0, 2]], own=False)
    got, trainer = judged(env, TEAM_VALUES, critic="team", death="posthumous", ratio="joint")
    assert got == [1.5625, 2.25, 3.0]
    assert trainer.buffer.returns.tolist() == [2.5625, 4.25, 6.0]


def test_agents_may_value_what_their_team_gets():
    """critic="agent" without rewards of their own: everybody's reward is the team's."""
    env = Scripted(["aaa", "ada"], [[1, 2], [0, 0]], own=False)
    values = {0: [1.0, 1.0], 1: [2.0, 90.0], 2: [4.0, 4.0]}
    got, _ = judged(env, values, critic="agent", death="terminal")
    assert got == {(0, 0): 1.5, (0, 1): 0.0, (1, 0): 2.0}  # 1 + 2/2 - 1 + 2/4; 1 - 1; 2 + 4/2 - 2


def test_the_scale_of_rewards_counts_who_is_alive():
    env = Scripted(["aada", "aaaa"], [[1, 2, 64], [3, 1, 0]])
    values = dict.fromkeys(range(4), [0.0, 0.0])
    _, trainer = judged(env, values, critic="agent", death="terminal", normalize_rewards=True)
    trainer.parts.update_statistics()
    # Running returns with gamma 1/2: 1, 2.5 and, dead, none; 3, 2.5, 1.25.
    alive = np.array([1, 2.5, 3, 2.5, 1.25])
    assert float(trainer.reward_scale.moments.count) == 5
    assert float(trainer.reward_scale.moments.variance) == pytest.approx(alive.var())
    # The dead agent's return begins anew.
    np.testing.assert_allclose(trainer.reward_scale.running, [0.0, 1.25])
    _, team = judged(env, TEAM_VALUES, critic="team", death="posthumous", normalize_rewards=True)
    team.parts.update_statistics()
    assert float(team.reward_scale.moments.variance) == pytest.approx(np.var([4, 5, 66.5]))


def test_explained_variance_is_of_what_is_learned():
    env = Scripted(["adda", "aaaa"], [[1, 2, 2], [0, 0, 2]])
    _, trainer = judged(env, TEAM_VALUES, critic="team", death="posthumous")
    returns, values = np.array([2.5625, 4.25, 6.0]), np.array([1.0, 2.0, 3.0])
    trainer = PPO(env, trainer.config, policy=trainer.policy)
    explained = trainer.parts.judge(trainer.collector.collect())
    assert explained == pytest.approx(1 - (returns - values).var() / returns.var())
    nobody = Scripted(["ddd"], [[0, 0]])
    told = Told(nobody, dict.fromkeys(range(3), [0.0]), "agent")
    sizes = {"num_envs": 1, "rollout_steps": 2, "minibatch_size": 1, "threads": 1}
    config = PPOConfig(**sizes, death="terminal", critic="agent")
    empty = PPO(nobody, config, policy=told)
    assert np.isnan(empty.parts.judge(empty.collector.collect()))

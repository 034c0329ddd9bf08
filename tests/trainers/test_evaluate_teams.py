"""Evaluation of teams, against a world whose every step was worked out by hand."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, register
from maskrl.envs.teams import describe_team
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoAllowedActionError
from maskrl.policies.acting import Acting
from maskrl.trainers.evaluate import evaluate, evaluate_random

AGENTS, ACTIONS = 3, 4


class Lanterns(gymnasium.Env):
    """Three agents, four steps; each gets the number of what it does.

    Agent 1 waits at odd steps, agent 2 is dead at step 2 and then back, if it `returns`; nobody
    acts at step 2 if `pause`. Action 3 is disallowed to agent 0, from `stuck` on everything.
    """

    gives_agent_rewards = True
    observation_space = spaces.Dict(
        {
            "observation": spaces.Box(0, 99, (AGENTS, 1), np.float32),
            "agent_mask": mask_space(AGENTS),
            "alive": mask_space(AGENTS),
            "action_mask": mask_space(AGENTS, ACTIONS),
        }
    )
    action_space = spaces.MultiDiscrete([ACTIONS] * AGENTS)

    def __init__(self, pause=False, stuck=99, opened=False, endless=False, returns=True):
        self.pause, self.stuck, self.opened, self.endless = pause, stuck, opened, endless
        self.returns = returns
        self.illegal_actions = 0

    def masks(self):
        alive = np.array([True, True, self.at != 2 if self.returns else self.at < 2])
        acts = alive & [True, self.at % 2 == 0, True]
        if self.pause and self.at == 2:
            acts[:] = False
        keep = np.ones((AGENTS, ACTIONS), np.bool_)
        keep[0, 3] = False
        keep[0] &= self.at < self.stuck
        return alive, acts, keep

    def observe(self):
        alive, acts, keep = self.masks()
        if self.opened:
            keep = np.ones_like(keep)
        return {
            "observation": np.full((AGENTS, 1), self.at, np.float32),
            "agent_mask": acts,
            "alive": alive,
            "action_mask": keep,
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        self.wins = bool(self.np_random.random() < 0.5)
        return self.observe(), {"agent_rewards": np.zeros(AGENTS)}

    def step(self, action):
        _, acts, keep = self.masks()
        done = acts & keep[np.arange(AGENTS), action]
        self.illegal_actions += int((acts & ~done).sum())
        rewards = np.where(done, action, 0).astype(np.float64)
        self.at += 1
        over = self.at == 4 and not self.endless
        info = {"agent_rewards": rewards}
        if over:
            info["outcome"] = 1.0 if self.wins else -1.0
        return self.observe(), float(rewards.sum()), over, False, info


class Same(nn.Module):
    """All do the same, whatever the masks say; or, sampled, anything allowed."""

    critic = "team"
    empty = "idle"

    def __init__(self, action=1):
        super().__init__()
        self.action = action
        self.team = describe_team(Lanterns.observation_space, Lanterns.action_space)

    def distribution(self, obs, acting=None):
        acting = acting or Acting.read(obs, self.team)
        logits = torch.zeros(len(acting), ACTIONS)
        logits[:, self.action] = 5.0
        return GridwiseCategorical.from_packed(logits, acting.offsets, empty="idle")

    def value(self, obs):
        return torch.zeros(len(obs["agent_mask"]))


@pytest.fixture(autouse=True)
def lanterns():
    def make_vec(num_envs, seed=None, **kwargs):
        return GymnasiumVectorEnv([lambda: Lanterns(**kwargs)] * num_envs, seed=seed)

    register(EnvEntry("lanterns", "a test", Lanterns, make_vec))
    yield
    del _entries["lanterns"]


def test_decisions_deaths_and_returns_are_those_worked_out_by_hand():
    result = evaluate(Same(1), "lanterns", episodes=6, num_envs=4)
    # acting: step 0: 0 1 2, step 1: 0 2, step 2: 0 1 (2 is dead), step 3: 0 2 = 9 decisions
    team = result.team
    assert team.agents == AGENTS
    assert team.agent_steps == 6 * 9
    assert team.agents_acting == 9 / 4
    assert team.idle_share == 0
    assert team.agents_alive == (3 + 3 + 2 + 3) / 4
    assert team.deaths.tolist() == [1] * 6
    assert team.last_deaths.tolist() == [0] * 6
    assert team.alive_at_end.tolist() == [3] * 6  # it is back after the last step
    np.testing.assert_array_equal(team.agent_returns, [[4, 2, 3]] * 6)
    assert result.returns.tolist() == [9.0] * 6 and result.lengths.tolist() == [4] * 6
    assert result.illegal_actions == 0
    # 9 decisions, of which agent 0 makes 4 with 3 of 4 actions
    assert result.allowed_share == pytest.approx((4 * 0.75 + 5) / 9)
    assert result.summary()["team"]["agent_return_means"] == [4.0, 2.0, 3.0]


def test_every_illegal_decision_is_counted_once_and_only_in_episodes_that_count():
    result = evaluate(Same(3), "lanterns", episodes=5, num_envs=4)
    assert result.illegal_actions == 5 * 4  # agent 0, at each of four steps
    assert result.returns.tolist() == [3 * 5.0] * 5
    # The mask is taken away, so that the environment alone counts: sub-environment by
    # sub-environment, without those that play on for nothing.
    result = evaluate(Same(3), "lanterns", episodes=5, num_envs=4, env_kwargs={"opened": True})
    assert result.illegal_actions == 5 * 4
    assert result.allowed_share == 1.0


def test_at_some_step_nobody_acts():
    result = evaluate(Same(1), "lanterns", episodes=2, env_kwargs={"pause": True})
    assert result.team.idle_share == 0.25
    assert result.team.agent_steps == 2 * 7
    assert result.returns.tolist() == [7.0, 7.0]


def test_who_does_not_come_back_is_dead_at_the_end():
    result = evaluate(Same(1), "lanterns", episodes=2, env_kwargs={"returns": False})
    assert result.team.deaths.tolist() == [1, 1]
    assert result.team.alive_at_end.tolist() == [2, 2]
    assert result.team.agent_returns[:, 2].tolist() == [2.0, 2.0]
    assert result.team.last_deaths.tolist() == [0, 0]


def test_who_is_taken_out_as_the_episode_ends_is_told_apart(monkeypatch):
    step = Lanterns.step

    def nobody_is_left(self, action):
        obs, reward, terminated, truncated, info = step(self, action)
        if terminated or truncated:
            obs["alive"][:] = obs["agent_mask"][:] = False
        return obs, reward, terminated, truncated, info

    monkeypatch.setattr(Lanterns, "step", nobody_is_left)
    team = evaluate(Same(1), "lanterns", episodes=3, num_envs=2).team
    assert team.deaths.tolist() == [1 + AGENTS] * 3  # agent 2 died, came back and was taken out
    assert team.last_deaths.tolist() == [AGENTS] * 3
    assert team.summary()["last_deaths_mean"] == AGENTS


def test_wins_are_counted_from_outcomes():
    result = evaluate(Same(1), "lanterns", episodes=40)
    won = float((result.outcomes == 1).mean())
    assert result.win_rate == won and 0 < won < 1 and result.draw_rate == 0
    assert result.to_json()["per_episode"]["outcomes"] == result.outcomes.tolist()
    # of an episode that was cut off nothing is told, and it is no win
    result = evaluate(Same(1), "lanterns", episodes=4, env_kwargs={"endless": True}, max_steps=5)
    assert result.outcomes is None and result.cut_episodes == 4


def test_random_agents_do_only_what_they_may():
    result = evaluate_random("lanterns", episodes=200, seed=3)
    assert result.illegal_actions == 0
    # agent 0 draws from 0, 1, 2 (mean 1, four times), the others from 0 to 3 (mean 1.5)
    means = result.team.agent_returns.mean(axis=0)
    np.testing.assert_allclose(means, [4, 3, 4.5], atol=0.35)
    again = evaluate_random("lanterns", episodes=200, seed=3)
    np.testing.assert_array_equal(again.returns, result.returns)


def test_an_agent_that_may_do_nothing_is_named():
    class Strict(Same):
        empty = "raise"

    with pytest.raises(NoAllowedActionError, match=r"lets agent 0 act .* at step 2 of its episode"):
        evaluate(Strict(1), "lanterns", episodes=1, env_kwargs={"stuck": 2})
    result = evaluate(Same(1), "lanterns", episodes=1, env_kwargs={"stuck": 2})
    assert result.illegal_actions == 0  # it idles: there was no other action


def test_a_policy_for_another_team_is_refused():
    policy = Same(1)
    policy.team = describe_team(
        spaces.Dict({"observation": spaces.Box(0, 1, (2, 1)), "agent_mask": mask_space(2)}),
        spaces.MultiDiscrete([4, 4]),
    )
    with pytest.raises(ConfigError, match="agents=2, the environment's has agents=3"):
        evaluate(policy, "lanterns", episodes=1)
    with pytest.raises(ConfigError, match="decides for a team of 3 agents"):
        evaluate(Same(1), "panda", episodes=1)


def test_agents_that_live_as_long_as_they_act_have_no_deaths():
    """Without `alive` who waits cannot be told from who died."""
    spaces_without = spaces.Dict(
        {k: v for k, v in Lanterns.observation_space.spaces.items() if k != "alive"}
    )

    class Untold(Lanterns):
        observation_space = spaces_without

        def observe(self):
            obs = super().observe()
            del obs["alive"]
            return obs

    _entries["lanterns"] = EnvEntry(
        "lanterns",
        "a test",
        Untold,
        lambda num_envs, seed=None, **kwargs: GymnasiumVectorEnv(
            [lambda: Untold(**kwargs)] * num_envs, seed=seed
        ),
    )
    policy = Same(1)
    policy.team = describe_team(spaces_without, Lanterns.action_space)
    result = evaluate(policy, "lanterns", episodes=2)
    assert result.team.deaths is None and result.team.agents_alive is None
    assert "deaths_mean" not in result.summary()["team"]
    assert result.team.agent_steps == 2 * 9

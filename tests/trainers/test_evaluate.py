"""Evaluation: whole episodes, a fixed quota each, every layout once, illegal actions seen."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.construct import LazyCallable
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, register
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoAllowedActionError
from maskrl.trainers.evaluate import evaluate, evaluate_random, score


class Corridor(gymnasium.Env):
    """Reward 1 per step; short (2 steps) and long (12 steps) episodes take turns at random.

    Action 1 is disallowed on odd steps; from `stuck` on, nothing is allowed.
    """

    observation_space = spaces.Dict(
        {"observation": spaces.Box(0, 99, (1,), np.float32), "action_mask": mask_space(2)}
    )
    action_space = spaces.Discrete(2)

    def __init__(self, stuck=99, endless=False):
        self.stuck, self.endless = stuck, endless

    def observe(self):
        keep = np.array([True, self.at % 2 == 0]) & (self.at < self.stuck)
        return {"observation": np.array([self.at], np.float32), "action_mask": keep}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        self.last = 10**9 if self.endless else int(self.np_random.choice([2, 12]))
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        return self.observe(), 1.0, self.at >= self.last, False, {}


class Choice:
    """What `evaluate` asks of a distribution."""

    def __init__(self, mode, sample):
        self.mode = mode
        self._sample = sample

    def sample(self, generator):
        return self._sample(generator)


class Always(nn.Module):
    """Mode: one action, whatever the mask says. Sample: uniform over what is allowed."""

    empty = "raise"

    def __init__(self, action=0):
        super().__init__()
        self.action = action
        self.dropout = nn.Dropout()

    def distribution(self, obs):
        assert not self.dropout.training and torch.is_inference_mode_enabled()
        keep = obs["action_mask"]
        return Choice(
            torch.full((keep.shape[0],), self.action),
            lambda g: torch.multinomial(keep.float(), 1, generator=g)[:, 0],
        )


@pytest.fixture(autouse=True)
def corridor():
    def make_vec(num_envs, seed=None, **kwargs):
        return GymnasiumVectorEnv([lambda: Corridor(**kwargs)] * num_envs, seed=seed)

    register(EnvEntry("corridor", "a test", Corridor, make_vec))
    yield
    del _entries["corridor"]


def test_short_episodes_are_not_preferred():
    # True mean length 7. The first 64 episodes to finish would have a mean below 4; the
    # standard error over 256 is 5 / 16 = 0.31, so 1.25 is four of them.
    result = evaluate(Always(), "corridor", episodes=256, num_envs=64)
    assert result.episodes == 256
    assert set(result.lengths.tolist()) == {2, 12}
    assert result.lengths.mean() == pytest.approx(7, abs=1.25)
    np.testing.assert_array_equal(result.returns, result.lengths)
    assert result.score is None and result.layout_ids is None


def test_the_number_of_environments_does_not_change_how_many_are_played():
    for count in (1, 3, 7, 50):
        result = evaluate(Always(), "corridor", episodes=7, num_envs=count)
        assert result.episodes == 7
        assert (result.lengths > 0).all()


def test_illegal_actions_and_mask_shares_are_counted():
    result = evaluate(Always(1), "corridor", episodes=5, num_envs=2)
    # Every second step of an episode forbids action 1, and leaves one of two allowed.
    assert result.illegal_actions == result.lengths.sum() // 2
    assert result.allowed_share == pytest.approx(0.75)
    assert result.forced_share == pytest.approx(0.5)
    assert evaluate(Always(0), "corridor", episodes=5).illegal_actions == 0
    assert evaluate_random("corridor", episodes=20).illegal_actions == 0


def test_the_same_seed_plays_the_same_and_the_policy_is_left_as_it_was():
    policy = Always().train()
    first = evaluate(policy, "corridor", episodes=9, seed=3, deterministic=False)
    second = evaluate(policy, "corridor", episodes=9, seed=3, deterministic=False)
    assert policy.training and policy.dropout.training
    policy.dropout.eval()
    evaluate(policy, "corridor", episodes=1)
    assert policy.training and not policy.dropout.training
    np.testing.assert_array_equal(first.lengths, second.lengths)
    assert not first.deterministic
    other = evaluate(policy, "corridor", episodes=9, seed=4)
    assert not np.array_equal(first.lengths, other.lengths)


def test_a_row_that_allows_nothing_names_environment_and_step():
    with pytest.raises(NoAllowedActionError, match=r"'corridor' allows no action in sub.* step 1 "):
        evaluate(Always(), "corridor", env_kwargs={"stuck": 1}, episodes=3)
    idle = Always()
    idle.empty = "idle"
    result = evaluate(idle, "corridor", env_kwargs={"stuck": 1}, episodes=3)
    assert result.illegal_actions == 0


def test_an_endless_episode_is_cut_and_counted():
    result = evaluate(Always(), "corridor", env_kwargs={"endless": True}, episodes=4, max_steps=10)
    assert result.lengths.tolist() == [10] * 4
    assert result.cut_episodes == 4


def test_after_a_cut_the_next_episode_begins_at_its_beginning():
    result = evaluate(
        Always(1), "corridor", env_kwargs={"endless": True}, episodes=4, num_envs=2, max_steps=3
    )
    # Steps 0, 1, 2: action 1 is disallowed at one of them. Going on with 3, 4, 5 it were two.
    assert result.illegal_actions == 4 and result.cut_episodes == 4
    panda = evaluate_random("panda", episodes=4, num_envs=2, max_steps=3)
    assert panda.layout_ids.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("phase", ["evaluation", "validation"])
def test_every_layout_is_played_once_and_scored_against_its_reference(phase, monkeypatch):
    asked = []

    def reference(kwargs, layout_ids):
        asked.append((kwargs["split"], len(layout_ids)))
        return {"planner": np.ones(len(layout_ids)), "random": -1.0 + 0.0 * layout_ids}

    monkeypatch.setattr(LazyCallable, "__call__", _with_reference(reference))
    told = []
    result = evaluate(
        Always(4), "panda", episodes=30, num_envs=8, phase=phase, tell=lambda *x: told.append(x)
    )
    assert len(set(result.layout_ids.tolist())) == 30
    assert (np.diff(result.layout_ids) == 1).all()
    assert asked == [("test" if phase == "evaluation" else phase, n) for n in (20, 10)]
    assert told == [(0, 30), (20, 30), (30, 30)]
    assert result.score == pytest.approx((result.mean + 1) / 2)
    assert result.summary()["planner_mean"] == 1.0
    assert len(result.to_json()["per_episode"]["planner"]) == 30


def test_layouts_may_be_played_several_times_each():
    result = evaluate(Always(4), "panda", episodes=30, layouts=10, num_envs=8, with_reference=False)
    _, counts = np.unique(result.layout_ids, return_counts=True)
    assert counts.tolist() == [3] * 10


def test_random_play_is_near_its_exact_value():
    # The planner's backward induction gives random valid play on the open scene; 400
    # episodes have a standard error of about 0.02, and 0.1 is five of them.
    result = evaluate_random("panda-open", episodes=400, with_reference=True)
    assert result.mean == pytest.approx(result.random_mean, abs=0.1)
    assert result.score == pytest.approx(0.0, abs=0.06)


def test_a_world_beyond_the_planner_has_a_mean_return_and_no_score():
    result = evaluate(Always(4), "panda?max_dragons=3&step_limit=3", episodes=4)
    assert result.score is None and result.planner is None and result.episodes == 4
    assert "3 dragons, and the planner plans for at most one" in result.no_reference
    assert result.summary()["no_reference"] == result.no_reference


def test_score():
    assert score(0.5, 1.0, -1.0) == 0.75
    assert score(0.5, None, None) is None
    assert score(0.5, 1.0, 1.0) is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"episodes": 0}, "episodes must be at least 1, got 0"),
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"max_steps": -1}, "max_steps must be at least 1"),
        ({"episodes": 10, "layouts": 3}, "10 episodes cannot play 3 layouts equally often"),
    ],
)
def test_bad_numbers_are_named(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        evaluate(Always(), "corridor", **settings)


def test_a_trainer_is_no_policy():
    trainer = type("Trainer", (), {"policy": Always()})()
    with pytest.raises(ConfigError, match=r"got Trainer; of a trainer pass its policy"):
        evaluate(trainer, "corridor")


def _with_reference(reference):
    """LazyCallable.__call__ that serves `reference` and leaves everything else alone."""

    def call(self, *args, **kwargs):
        if self.path.endswith(":reference"):
            return reference(*args, **kwargs)
        return self.resolve()(*args, **kwargs)

    return call


@pytest.mark.parametrize("env_id", ["panda?seed=3", "panda?num_envs=3"])
def test_seed_and_number_do_not_stand_in_the_id(env_id):
    with pytest.raises(ConfigError, match="was given among the environment's own arguments"):
        evaluate_random(env_id, episodes=2)

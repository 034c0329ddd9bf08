"""Recorded episodes: what was seen, allowed, preferred and done, step by step."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, make, register
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.episode import record_episode
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.soft_actor_critic import SoftActorCritic


class Doors(gymnasium.Env):
    """Door `at % 3` is shut at each step; three steps."""

    metadata = {"render_modes": ["rgb_array", "ansi"]}
    observation_space = spaces.Dict(
        {"observation": spaces.Box(0, 9, (1,), np.float32), "action_mask": mask_space(3)}
    )
    action_space = spaces.Discrete(3)
    action_names = ("left", "middle", "right")
    library_is_missing = False

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def observe(self):
        keep = np.arange(3) != self.at % 3
        return {"observation": np.array([self.at], np.float32), "action_mask": keep}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        return self.observe(), float(action), self.at == 3, False, {}

    def render(self):
        if self.render_mode == "rgb_array":
            if self.library_is_missing:
                raise gymnasium.error.DependencyNotInstalled("a library")
            return np.full((2, 2, 3), self.at, np.uint8)
        return f"at {self.at}"


class Rightmost(nn.Module):
    """Prefers the right door, then the middle one."""

    def logits(self, obs):
        return torch.arange(3.0).expand(obs["observation"].shape[0], 3)

    def distribution(self, obs):
        return MaskedCategorical(self.logits(obs), obs["action_mask"])

    def value(self, obs):
        return 10 - obs["observation"][:, 0]


@pytest.fixture(autouse=True)
def doors():
    register(EnvEntry("doors", "a test", Doors, lambda num_envs, **kwargs: None))
    yield
    del _entries["doors"]


def test_every_step_has_what_led_to_its_action():
    record = record_episode(Rightmost(), "doors")
    assert [step.action for step in record.steps] == [2, 2, 1]
    assert [step.reward for step in record.steps] == [2.0, 2.0, 1.0]
    assert record.total_reward == 5.0
    assert (record.terminated, record.truncated, record.illegal_actions) == (True, False, 0)
    assert record.action_names == ("left", "middle", "right")
    last = record.steps[2]
    assert last.action_mask.tolist() == [True, True, False]
    assert last.logits.tolist() == [0.0, 1.0, 2.0]
    assert last.probs[2] == 0.0
    # softmax of (0, 1) is (0.26894, 0.73106)
    np.testing.assert_allclose(last.probs[:2], [0.26894, 0.73106], atol=1e-5)
    assert last.value == 8.0
    assert last.entity_names is None and last.attention == ()


def test_pictures_are_of_the_moment_before_the_action():
    record = record_episode(Rightmost(), "doors")
    assert [step.frame[0, 0, 0] for step in record.steps] == [0, 1, 2]
    assert record.final_frame[0, 0, 0] == 3
    assert record.steps[0].text is None
    record = record_episode(Rightmost(), "doors", pictures="ansi")
    assert [step.text for step in record.steps] == ["at 0", "at 1", "at 2"]
    assert record.final_text == "at 3"
    record = record_episode(Rightmost(), "doors", pictures=None)
    assert record.steps[0].frame is None and record.steps[0].text is None


def test_an_environment_that_cannot_draw_frames_is_drawn_as_text(monkeypatch):
    monkeypatch.setattr(Doors, "library_is_missing", True)
    record = record_episode(Rightmost(), "doors")
    assert record.steps[0].frame is None
    assert record.steps[0].text == "at 0"


def test_names_of_actions_come_from_the_environment_or_its_entry(monkeypatch):
    assert record_episode(Rightmost(), "doors").action_names == ("left", "middle", "right")
    monkeypatch.delattr(Doors, "action_names")
    assert record_episode(Rightmost(), "doors").action_names == ("0", "1", "2")
    entry = dataclasses.replace(_entries["doors"], action_names=("a", "b", "c"))
    monkeypatch.setitem(_entries, "doors", entry)
    assert record_episode(Rightmost(), "doors").action_names == ("a", "b", "c")


def test_sampled_actions_repeat_with_their_seed_and_obey_the_mask():
    def actions(seed):
        record = record_episode(Rightmost(), "doors", seed=seed, deterministic=False)
        assert record.illegal_actions == 0
        return tuple(step.action for step in record.steps)

    assert actions(1) == actions(1)
    assert len({actions(seed) for seed in range(10)}) > 1


def test_every_part_of_the_policy_keeps_its_mode():
    policy = Rightmost()
    policy.frozen = nn.Dropout().eval()
    record_episode(policy, "doors")
    assert policy.training and not policy.frozen.training


def test_long_episodes_are_cut():
    record = record_episode(Rightmost(), "doors", max_steps=2)
    assert (len(record.steps), record.terminated, record.truncated) == (2, False, True)
    assert record.stopped and not record_episode(Rightmost(), "doors").stopped
    with pytest.raises(ConfigError, match="max_steps must be at least 1"):
        record_episode(Rightmost(), "doors", max_steps=0)


def test_a_panda_attends_only_to_what_it_sees():
    env = make("panda")
    config = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2)
    policy = ActorCritic.from_spaces(env.observation_space, env.action_space, config).train()
    record = record_episode(policy, "panda", {"sight": "trees"}, seed=1, max_steps=5)
    assert policy.training
    assert record.env_kwargs["split"] == "test"
    assert record.layout_id is not None
    for step in record.steps:
        assert step.frame.dtype == np.uint8 and step.frame.shape[2] == 3
        assert step.entity_names[0] == "panda"
        there = [place is not None for place in step.entity_places]
        assert there == step.entity_mask.tolist()
        x, y = step.entity_places[0]
        assert 2 * (7 * x - 0.5) / 6 - 1 == pytest.approx(step.observation["entities"][0, 6])
        assert 2 * (7 * y - 0.5) / 6 - 1 == pytest.approx(step.observation["entities"][0, 7])
        slots = len(step.entity_names)
        assert [maps.shape[0] for maps in step.attention] == [2, 2]
        assert step.attention[-1].shape == (2, 1, slots)
        hidden = ~(step.visibility[0] & step.entity_mask)
        hidden[0] = False
        assert (step.attention[-1][:, 0, hidden] == 0).all()
        np.testing.assert_allclose(step.attention[-1].sum(-1), 1.0, atol=1e-5)
        # Looked at while maps are kept or not, it is the policy as it plays.
        obs = obs_to_tensors({key: value[None] for key, value in step.observation.items()})
        with torch.no_grad():
            np.testing.assert_array_equal(step.probs, policy.distribution(obs).probs[0])
            assert step.value == float(policy.value(obs))


@pytest.mark.parametrize("kind", [QPolicy, SoftActorCritic])
def test_what_actions_are_worth_is_recorded_of_policies_that_know(kind):
    torch.manual_seed(0)
    policy = kind(Doors.observation_space, Doors.action_space, NetworkConfig(hidden=(8,)))
    record = record_episode(policy, "doors")
    assert record.by_value == (kind is QPolicy)
    for step in record.steps:
        obs = obs_to_tensors({key: x[None] for key, x in step.observation.items()})
        with torch.no_grad():
            values = policy.values(obs)[0].numpy()
        np.testing.assert_array_equal(step.q_values, values)
        (view,) = record.head_views(step)
        np.testing.assert_array_equal(view.q_values, values)
        if kind is QPolicy:
            assert step.action == np.where(step.action_mask, values, -np.inf).argmax()
            assert step.value == pytest.approx(float(values[step.action]))


def test_policies_that_do_not_know_have_no_values():
    policy = ActorCritic(Doors.observation_space, Doors.action_space)
    record = record_episode(policy, "doors")
    assert not record.by_value and all(step.q_values is None for step in record.steps)

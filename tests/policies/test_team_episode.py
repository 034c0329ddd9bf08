"""Recorded episodes of teams: who acted, what each could do, preferred, did, saw and expected."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, make, register
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.acting import Acting
from maskrl.policies.episode import record_episode
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.policies.team_episode import TeamEpisode

SMALL = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, channels=(4, 4))


class Ferry(gymnasium.Env):
    """Three agents; 1 waits at odd steps, 2 dies after step 0, all are dead at the last, step 3."""

    metadata = {"render_modes": ["rgb_array", "ansi"]}
    observation_space = spaces.Dict(
        {
            "observation": spaces.Box(0, 99, (3, 1), np.float32),
            "agent_mask": mask_space(3),
            "alive": mask_space(3),
            "action_mask": mask_space(3, 4),
        }
    )
    action_space = spaces.MultiDiscrete([4] * 3)
    action_names = ("stay", "up", "down", "jump")
    agent_names = ("Ada", "Bo", "Cy")
    agent_places = ((0.25, 0.5), (0.75, 0.5), (0.5, 0.1))

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.done = []

    def observe(self):
        alive = np.array([self.at < 3, self.at < 3, self.at < 1])
        keep = np.ones((3, 4), bool)
        keep[0, 2] = False
        return {
            "observation": np.full((3, 1), self.at, np.float32),
            "agent_mask": alive & [True, self.at % 2 == 0, True],
            "alive": alive,
            "action_mask": keep,
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        self.done.append(np.array(action))
        Ferry.last_actions = self.done
        self.at += 1
        info = {"agent_rewards": np.array([1.0, 0.5, 0.0])}
        if self.at == 4:
            info["outcome"] = -1.0
        return self.observe(), 1.5, self.at == 4, False, info

    def render(self):
        if self.render_mode == "rgb_array":
            return np.full((2, 4, 3), self.at, np.uint8)
        return f"at {self.at}"


class Ranked(nn.Module):
    """Logits 0, 1, 2, 3 for all; the value of agent n at step t is 10 n + t."""

    critic = "agent"
    empty = "raise"
    idle_action = 1

    def __init__(self):
        super().__init__()
        self.team = describe_team(Ferry.observation_space, Ferry.action_space)

    def logits(self, obs, acting):
        return torch.arange(4.0).expand(len(acting), 4)

    def distribution(self, obs, acting=None):
        acting = acting or Acting.read(obs, self.team)
        return GridwiseCategorical.from_packed(
            self.logits(obs, acting), acting.offsets, acting.action_mask
        )

    def value(self, obs):
        return 10 * torch.arange(3.0)[None] + obs["observation"][:, :, 0]


@pytest.fixture(autouse=True)
def ferry():
    register(EnvEntry("ferry", "a test", Ferry, lambda num_envs, **kwargs: None))
    yield
    del _entries["ferry"]


def test_every_step_has_the_agents_that_act_and_what_led_to_their_actions():
    record = record_episode(Ranked(), "ferry")
    assert isinstance(record, TeamEpisode)
    assert [step.slot.tolist() for step in record.steps] == [[0, 1, 2], [0], [0, 1], []]
    assert record.agent_steps == 6 and record.total_reward == 6.0
    assert record.agent_names == ("Ada", "Bo", "Cy")
    assert record.heads[0].choices == ("stay", "up", "down", "jump")
    assert (record.terminated, record.truncated, record.outcome) == (True, False, -1.0)
    assert record.final_alive.tolist() == [False] * 3
    first = record.steps[0]
    assert first.actions.tolist() == [[3], [3], [3]]
    assert first.action_mask.tolist() == [[True, True, False, True], [True] * 4, [True] * 4]
    # softmax of (0, 1, 3) is (0.04201, 0.11420, 0.84380)
    np.testing.assert_allclose(first.probs[0], [0.04201, 0.11420, 0, 0.84380], atol=1e-5)
    assert first.probs[0, 2] == 0.0 and first.logits[0].tolist() == [0, 1, 2, 3]
    entropy = -sum(p * np.log(p) for p in (0.04201, 0.11420, 0.84380))
    assert first.entropy[0] == pytest.approx(entropy, abs=1e-4)
    assert first.undecided[0] == pytest.approx(entropy / np.log(3), abs=1e-4)
    assert first.agent_rewards.tolist() == [1.0, 0.5, 0.0]
    assert record.illegal_actions == 0
    assert record.name_of(record.steps[2], 1) == "Bo"
    (view,) = record.head_views(first, 0)
    assert view.chosen == "jump" and view.allowed.tolist() == [True, True, False, True]


def test_values_of_agents_that_are_not_there_are_not_told():
    record = record_episode(Ranked(), "ferry")
    assert record.critic == "agent"
    np.testing.assert_array_equal(record.steps[1].value, [1.0, 11.0, np.nan])
    assert record.steps[2].value_of(1) == 12.0
    assert np.isnan(record.steps[3].value).all()


def test_who_waits_and_where_everybody_stands():
    record = record_episode(Ranked(), "ferry")
    assert [step.waiting.tolist() for step in record.steps] == [[], [1], [], []]
    np.testing.assert_allclose(record.steps[1].at, [[0.25, 0.5]])
    np.testing.assert_allclose(record.steps[1].waiting_at, [[0.75, 0.5]])
    assert [step.frame[0, 0, 0] for step in record.steps] == [0, 1, 2, 3]
    assert record.final_frame[0, 0, 0] == 4
    record = record_episode(Ranked(), "ferry", pictures="ansi")
    assert [step.text for step in record.steps] == ["at 0", "at 1", "at 2", "at 3"]


def test_places_where_nobody_acts_get_the_idle_action():
    record_episode(Ranked(), "ferry")
    assert [a.tolist() for a in Ferry.last_actions] == [[3, 3, 3], [3, 1, 1], [3, 3, 1], [1, 1, 1]]


def test_sampled_actions_repeat_with_their_seed_and_long_episodes_are_cut():
    def actions(seed):
        record = record_episode(Ranked(), "ferry", seed=seed, deterministic=False, max_steps=3)
        assert (len(record.steps), record.truncated, record.outcome) == (3, True, None)
        assert record.illegal_actions == 0
        return [step.actions.tolist() for step in record.steps]

    assert actions(1) == actions(1)
    assert actions(1) != actions(2)


def test_a_policy_of_one_agent_is_refused():
    policy = Ranked()
    del policy.team
    with pytest.raises(ConfigError, match="'ferry' has an agent_mask, .* Ranked says nothing of a"):
        record_episode(policy, "ferry")
    with pytest.raises(ConfigError, match="decides for a team of 3 agents"):
        record_episode(Ranked(), "panda")


@pytest.mark.parametrize("sight", ["trees", "full"])
def test_agents_attend_to_what_they_see_and_to_nothing_else(sight):
    env = make("pandas", pandas=5, sight=sight)
    torch.manual_seed(0)
    policy = TeamActorCritic(env.observation_space, env.action_space, SMALL, critic="team")
    record = record_episode(policy, "pandas", {"pandas": 5, "sight": sight}, max_steps=4)
    hidden = 0
    for step in record.steps:
        assert step.attention.shape == (2, len(step), len(step.entity_mask))
        np.testing.assert_array_equal(step.attention[0] > 0, step.sees)
        assert step.sees[np.arange(len(step)), step.slot].all()  # everybody sees itself
        np.testing.assert_allclose(step.attention.astype(float).sum(-1), 1, atol=2e-3)
        hidden += int((~step.sees & step.entity_mask).sum())
        assert isinstance(step.value, float)
    assert (hidden > 0) == (sight == "trees")


def test_a_map_is_told_by_its_cells():
    env = make("pandas", pandas=4, form="grid")
    torch.manual_seed(0)
    policy = TeamActorCritic(env.observation_space, env.action_space, SMALL)
    record = record_episode(policy, "pandas", {"pandas": 4, "form": "grid"}, max_steps=3)
    height, width = record.team.grid_shape
    for step in record.steps:
        assert step.attention is None and step.agent_mask.shape == (height, width)
        row, column = np.divmod(step.place, width)
        assert step.agent_mask[row, column].all() and step.agent_mask.sum() == len(step)
        expected = np.stack([(column + 0.5) / width, (row + 0.5) / width], 1)
        np.testing.assert_allclose(step.at, expected, atol=1e-6)


def test_a_large_team_fits_into_little_memory():
    env = make("pandas", pandas=64)
    policy = TeamActorCritic(env.observation_space, env.action_space, SMALL)
    record = record_episode(policy, "pandas", {"pandas": 64}, max_steps=2, pictures=None)
    for step in record.steps:
        kept = [value for value in vars(step).values() if isinstance(value, np.ndarray)]
        assert sum(array.nbytes for array in kept) < 80_000
        assert step.attention.shape[0] == 1  # the mean over heads


class Orders(gymnasium.Env):
    """Units on a map of 2 x 2, with dependent heads and no identity; two steps."""

    action_tree = ActionTree(
        Head("type", 2, choices=("stay", "go")),
        Head("way", 3, relevant={"type": (1,)}, mask_by="type", choices=("up", "down", "left")),
    )
    observation_space = spaces.Dict(
        {
            "grid": spaces.Box(0, 1, (1, 2, 2)),
            "agent_mask": mask_space(2, 2),
            "action_mask": mask_space(5, 2, 2),
            "action_mask:way": mask_space(2, 3, 2, 2),
        }
    )
    action_space = spaces.MultiDiscrete(np.tile(np.array([2, 3])[:, None, None], (1, 2, 2)))

    def observe(self):
        acts = np.zeros((2, 2), bool)
        acts[1, 0] = acts[0, 1] = self.at == 0
        table = np.ones((2, 3, 2, 2), bool)
        table[1, 0, 1, 0] = False  # the unit at (1, 0) that goes does not go up
        return {
            "grid": np.zeros((1, 2, 2), np.float32),
            "agent_mask": acts,
            "action_mask": np.ones((5, 2, 2), bool),
            "action_mask:way": table,
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        return self.observe(), 0.0, self.at == 2, False, {}


def test_units_without_identity_and_the_heads_of_a_tree():
    register(EnvEntry("orders", "a test", Orders, lambda num_envs, **kwargs: None))
    try:
        team = describe_team(Orders.observation_space, Orders.action_space, Orders.action_tree)

        class Goes(nn.Module):
            critic = "team"

            def __init__(self):
                super().__init__()
                self.team = team

            def distribution(self, obs, acting=None):
                logits = torch.tensor([0.0, 1.0, 0.0, 1.0, 2.0]).expand(len(acting), 5)
                return GridwiseCategorical.from_packed(
                    logits,
                    acting.offsets,
                    acting.action_mask,
                    tree=Orders.action_tree,
                    head_masks=acting.head_masks,
                )

            def value(self, obs):
                return torch.full((len(obs["agent_mask"]),), 7.0)

        record = record_episode(Goes(), "orders")
    finally:
        del _entries["orders"]
    step, last = record.steps
    assert step.place.tolist() == [1, 2] and step.slot.tolist() == [-1, -1]
    assert step.value == step.value_of(1) == 7.0 and step.alive is None
    assert record.agent_names == ()
    assert record.name_of(step, 1) == "unit at row 1, column 0"
    assert step.actions.tolist() == [[1, 2], [1, 2]]
    way = step.probs[:, 2:]
    # softmax of (0, 1, 2), and of (1, 2) where up is disallowed
    np.testing.assert_allclose(way[0], [0.09003, 0.24473, 0.66524], atol=1e-5)
    np.testing.assert_allclose(way[1], [0, 0.26894, 0.73106], atol=1e-5)
    assert way[1, 0] == 0 and step.relevant.all()
    assert step.action_mask[1].tolist() == [True, True, False, True, True]
    assert [view.name for view in record.head_views(step, 0)] == ["type", "way"]
    assert len(last) == 0 and last.probs.shape == (0, 5)


def test_a_record_that_stops_early_says_so():
    whole = record_episode(Ranked(), "ferry")
    part = record_episode(Ranked(), "ferry", max_steps=len(whole.steps) - 1)
    assert (whole.stopped, part.stopped) == (False, True) and part.truncated
    # a step later it is the environment that ends the episode
    same = record_episode(Ranked(), "ferry", max_steps=len(whole.steps))
    assert not same.stopped and same.terminated == whole.terminated
    assert whole.last_deaths == int(whole.steps[-1].alive.sum())

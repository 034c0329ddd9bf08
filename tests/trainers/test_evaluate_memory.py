"""Evaluation of policies with memory: one memory per episode, however they end.

The environment shows a cue at an episode's first step only and pays for naming it at the
last one. Whoever remembers exactly the present episode gets 1 each time; whoever mixes
memories up, or begins anew too often, does not.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, make_vec, register
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError
from maskrl.policies.predict import obs_to_tensors
from maskrl.runs.seeding import Seeds
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.validation import Validator

CUES = 4


class Recall(gymnasium.Env):
    """Cue 1 to 4 at step 0, then 0; after 2 to 7 steps it is over and the cue was to be named."""

    observation_space = spaces.Dict(
        {"cue": spaces.Box(0, CUES, (1,), np.float32), "action_mask": mask_space(CUES)}
    )
    action_space = spaces.Discrete(CUES)

    def __init__(self, endless=False):
        self.endless = endless

    def observe(self):
        shown = self.cue if self.at == 0 else 0
        return {"cue": np.array([shown], np.float32), "action_mask": np.ones(CUES, np.bool_)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        self.cue = int(self.np_random.integers(1, CUES + 1))
        self.last = int(self.np_random.integers(2, 8))
        return self.observe(), {}

    def step(self, action):
        self.at += 1
        over = self.at >= self.last and not self.endless
        truncated = over and self.last % 2 == 1
        right = float(action == self.cue - 1)
        reward = right if over or self.endless else 0.0
        return self.observe(), reward, over and not truncated, truncated, {}


class Remembering(nn.Module):
    """Adds up the cues that it sees, and names the sum."""

    state_size = 1

    def __init__(self):
        super().__init__()
        self.starts = []

    def initial_state(self, batch):
        return torch.full((batch, 1), 99.0)  # what a memory begins with must not matter

    def act(self, obs, state, episode_start):
        assert torch.is_inference_mode_enabled()
        self.starts.append(episode_start.clone())
        state = torch.where(episode_start[:, None], 0.0, state) + obs["cue"]
        logits = -100 * (torch.arange(1.0, CUES + 1) - state).abs()
        return MaskedCategorical(logits, obs["action_mask"]), state[:, 0], state

    def distribution(self, obs):
        pytest.fail("asked as if it had no memory")

    value = distribution


@pytest.fixture(autouse=True)
def recall():
    def make_several(num_envs, seed=None, **kwargs):
        return GymnasiumVectorEnv([lambda: Recall(**kwargs)] * num_envs, seed=seed)

    register(EnvEntry("recall", "a test", Recall, make_several))
    yield
    del _entries["recall"]


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("num_envs", [1, 3, 16])
def test_every_episode_is_remembered_alone(num_envs, deterministic):
    result = evaluate(
        Remembering(), "recall", episodes=50, num_envs=num_envs, deterministic=deterministic
    )
    assert result.returns.tolist() == [1.0] * 50
    assert set(result.lengths.tolist()) == {2, 3, 4, 5, 6, 7}
    assert result.illegal_actions == 0


class TooLong(Remembering):
    """Never begins anew."""

    def act(self, obs, state, episode_start):
        first = torch.full_like(episode_start, not self.starts)
        return super().act(obs, state, first)


class TooShort(Remembering):
    """Begins anew at every step."""

    def act(self, obs, state, episode_start):
        return super().act(obs, state, torch.ones_like(episode_start))


@pytest.mark.parametrize("policy", [TooLong(), TooShort()])
def test_who_remembers_too_much_or_too_little_is_told_apart(policy):
    """The environment can tell, so the test above can fail."""
    assert evaluate(policy, "recall", episodes=50, num_envs=5).mean < 0.6


def test_starts_are_those_of_the_episodes():
    policy = Remembering()
    result = evaluate(policy, "recall", episodes=6, num_envs=2)
    starts = torch.stack(policy.starts).numpy()
    for env in range(2):
        lengths = result.lengths[env::2]
        begun = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        np.testing.assert_array_equal(np.flatnonzero(starts[: lengths.sum(), env]), begun)


def test_an_episode_cut_off_is_followed_by_a_fresh_memory_where_it_is_reset():
    policy = Remembering()
    result = evaluate(
        policy, "recall", env_kwargs={"endless": True}, episodes=8, num_envs=2, max_steps=5
    )
    assert result.cut_episodes == 8 and result.lengths.tolist() == [5] * 8
    assert result.returns.tolist() == [5.0] * 8  # right at every step, from the first on
    assert torch.stack(policy.starts)[:, 0].nonzero()[:, 0].tolist() == [0, 5, 10, 15]


def test_where_nothing_resets_the_play_goes_on_and_so_does_the_memory(monkeypatch):
    """The vector environment cannot begin again alone: its episode lasts, and is remembered."""
    monkeypatch.setattr("maskrl.trainers.evaluate._begin_again", lambda venv, cut: None)
    policy = Remembering()
    result = evaluate(
        policy, "recall", env_kwargs={"endless": True}, episodes=4, num_envs=2, max_steps=5
    )
    assert result.cut_episodes == 4
    assert result.returns.tolist() == [5.0] * 4
    assert torch.stack(policy.starts)[:, 0].nonzero()[:, 0].tolist() == [0]


def test_validation_during_training_remembers_too():
    result = Validator("recall", episodes=10, seed=3)(Remembering())
    assert result.returns.tolist() == [1.0] * 10


def test_a_policy_that_only_says_that_it_remembers_is_refused():
    policy = Remembering()
    policy.act = None
    with pytest.raises(ConfigError, match="remembers 1 numbers .* no method act"):
        evaluate(policy, "recall")


class Recurrent(nn.Module):
    """A small recurrent network over the panda's mask, as a user might write one."""

    state_size = 6

    def __init__(self, sizes):
        super().__init__()
        self.cell = nn.GRUCell(sizes[0], 6)
        self.head = nn.Linear(6, sizes[1])

    def initial_state(self, batch):
        return torch.zeros(batch, 6)

    def act(self, obs, state, episode_start):
        state = torch.where(episode_start[:, None], 0.0, state)
        seen = obs["visibility"][:, 0, :, None] & obs["entity_mask"][:, :, None]
        x = torch.where(seen, obs["entities"], 0.0).flatten(1)
        state = self.cell(x, state)
        return MaskedCategorical(9 * self.head(state), obs["action_mask"]), state[:, 0], state


@pytest.mark.parametrize("deterministic", [True, False])
def test_evaluation_is_stepping_by_hand_to_the_bit(deterministic):
    torch.manual_seed(1)
    env = make_vec("panda", 1)
    rows, width = env.single_observation_space["entities"].shape
    policy = Recurrent((rows * width, int(env.single_action_space.n)))
    env.close()
    result = evaluate(
        policy,
        "panda",
        episodes=24,
        num_envs=8,
        seed=5,
        deterministic=deterministic,
        with_reference=False,
    )
    by_hand = play_by_hand(policy, result, deterministic)
    np.testing.assert_array_equal(result.returns, by_hand[0])
    np.testing.assert_array_equal(result.lengths, by_hand[1])
    assert len(set(result.lengths.tolist())) > 3  # they end at different times


def play_by_hand(policy, result, deterministic):
    """The same three episodes in each of eight environments, in the order of their numbers."""
    generator = torch.Generator().manual_seed(Seeds(5).integer("evaluation.actions"))
    venv = make_vec("panda", 8, seed=5, **result.env_kwargs)
    obs, _ = venv.reset(seed=5)
    state, over = torch.zeros(8, 6), np.ones(8, np.bool_)
    returns, lengths = [[0.0] for _ in range(8)], [[0] for _ in range(8)]
    while any(len(of) <= 3 for of in returns):
        with torch.inference_mode():
            for row in np.flatnonzero(over):
                state[row] = 0.0
            distribution, _, state = policy.act(
                obs_to_tensors(obs), state, torch.zeros(8, dtype=torch.bool)
            )
            action = (
                distribution.mode if deterministic else distribution.sample(generator=generator)
            )
        obs, rewards, terminated, truncated, _ = venv.step(action.numpy())
        over = terminated | truncated
        for row in range(8):
            returns[row][-1] += rewards[row]
            lengths[row][-1] += 1
            if over[row]:
                returns[row].append(0.0)
                lengths[row].append(0)
    venv.close()
    return (
        [returns[row][k] for k in range(3) for row in range(8)],
        [lengths[row][k] for k in range(3) for row in range(8)],
    )

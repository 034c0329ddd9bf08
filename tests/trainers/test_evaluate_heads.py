"""Evaluation where an action has several heads: played, drawn at random, and counted."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import MaskedBernoulli, MaskedMultiCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, register
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import NoAllowedActionError
from maskrl.masks.tree import ActionTree, Head
from maskrl.trainers.evaluate import evaluate, evaluate_random

TREE = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))


class Fixed(gymnasium.Env):
    """Four steps under masks that never change; keeps every action that it was given."""

    seen: list[np.ndarray] = []
    spaces_of = {
        "heads": (spaces.MultiDiscrete([2, 3]), {"action_mask": [1, 0, 0, 1, 1]}),
        "bits": (spaces.MultiBinary(3), {"action_mask": [1, 1, 0, 1, 1, 0]}),
        "pairs": (spaces.MultiBinary(3), {"action_mask": [[1, 1], [0, 1], [1, 0]]}),
        "grid": (spaces.MultiBinary((3, 1)), {"action_mask": [1, 1, 0, 1, 1, 0]}),
        "stuck": (spaces.MultiDiscrete([2, 3]), {"action_mask": [1, 0, 0, 0, 0]}),
        "tree": (
            spaces.MultiDiscrete(TREE.nvec),
            {"action_mask": [1, 1, 1, 1, 0], "action_mask:target": [[0, 0, 0], [0, 1, 1]]},
        ),
    }

    def __init__(self, kind):
        self.action_space, masks = self.spaces_of[kind]
        self.masks = {key: np.array(value, bool) for key, value in masks.items()}
        entries = {key: mask_space(*value.shape) for key, value in self.masks.items()}
        self.observation_space = spaces.Dict({"x": spaces.Box(0, 1, (1,)), **entries})
        self.action_tree = TREE if kind == "tree" else None

    def observe(self):
        return {"x": np.zeros(1, np.float32), **self.masks}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.seen.append(np.array(action))
        self.at += 1
        return self.observe(), 1.0, self.at == 4, False, {}


@pytest.fixture(autouse=True)
def worlds(monkeypatch):
    def make_vec(num_envs, seed=None, **kwargs):
        return GymnasiumVectorEnv([lambda: Fixed(**kwargs)] * num_envs, seed=seed)

    monkeypatch.setattr(Fixed, "seen", [])
    register(EnvEntry("fixed", "a test", Fixed, make_vec))
    yield
    del _entries["fixed"]


class Heads(nn.Module):
    """Prefers the last choice of each head."""

    empty = "raise"

    def distribution(self, obs):
        logits = torch.tensor([0.0, 9.0, 0.0, 1.0, 9.0]).expand(len(obs["x"]), 5)
        return MaskedMultiCategorical(logits, [2, 3], obs["action_mask"])


class Bits(nn.Module):
    def distribution(self, obs):
        return MaskedBernoulli(torch.ones(len(obs["x"]), 3), obs["action_mask"])


class Against(nn.Module):
    """Takes one action whatever the masks say."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def distribution(self, obs):
        count = len(obs["x"])

        class Certain:
            mode = torch.tensor(self.action).expand(count, len(self.action))

        return Certain()


def test_several_heads_are_played_under_their_masks():
    result = evaluate(Heads(), "fixed", env_kwargs={"kind": "heads"}, episodes=5, num_envs=2)
    assert (result.episodes, result.mean, result.illegal_actions) == (5, 4.0, 0)
    assert {tuple(action) for action in Fixed.seen} == {(0, 2)}
    assert result.allowed_share == pytest.approx(3 / 5)
    assert result.forced_share == 0
    sampled = evaluate(
        Heads(), "fixed", env_kwargs={"kind": "heads"}, episodes=5, deterministic=False
    )
    assert sampled.illegal_actions == 0


@pytest.mark.parametrize("kind", ["bits", "pairs", "grid"])
def test_bits_are_played_in_the_shape_of_the_space(kind):
    result = evaluate(Bits(), "fixed", env_kwargs={"kind": kind}, episodes=3)
    assert result.illegal_actions == 0
    shape = (3, 1) if kind == "grid" else (3,)
    assert all(action.shape == shape for action in Fixed.seen)
    assert {tuple(action.reshape(-1)) for action in Fixed.seen} == {(1, 1, 0)}
    assert result.allowed_share == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("kind", "action", "per_step"),
    [
        ("heads", [1, 1], 1),  # head 0 may not choose 1
        ("heads", [0, 1], 0),
        ("bits", [0, 0, 0], 1),  # bit 1 must be 1
        ("tree", [1, 0], 1),
        ("tree", [0, 2], 0),  # the target does not count
    ],
)
def test_an_action_is_illegal_if_a_head_that_counts_chose_against_its_mask(kind, action, per_step):
    result = evaluate(Against(action), "fixed", env_kwargs={"kind": kind}, episodes=3)
    assert result.illegal_actions == 12 * per_step


@pytest.mark.parametrize("kind", ["heads", "bits", "pairs", "grid", "tree"])
def test_the_random_agent_is_uniform_over_what_is_allowed(kind):
    result = evaluate_random("fixed", env_kwargs={"kind": kind}, episodes=300, seed=1)
    assert result.illegal_actions == 0
    drawn, counts = np.unique(
        [action.reshape(-1) for action in Fixed.seen], axis=0, return_counts=True
    )
    expected = {
        "heads": [[0, 1], [0, 2]],
        "tree": [[0, 0], [1, 1]],
    }.get(kind, [[0, 1, 0], [1, 1, 0]])
    assert drawn.tolist() == expected
    # 1,200 draws: 0.075 is more than five standard errors of a share of 1/2
    np.testing.assert_allclose(counts / counts.sum(), 0.5, atol=0.075)


def test_a_head_without_choice_is_an_error_with_its_place():
    with pytest.raises(NoAllowedActionError, match="'fixed' allows no action for head 1 in sub"):
        evaluate(Heads(), "fixed", env_kwargs={"kind": "stuck"}, episodes=2)
    assert evaluate_random("fixed", env_kwargs={"kind": "stuck"}, episodes=2).mean == 4

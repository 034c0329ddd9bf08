"""Recorded episodes of actions with several heads: rows along the path, what counts, names."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from maskrl.distributions import (
    ConditionalCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import EnvEntry, _entries, register
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.episode import record_episode

TREE = ActionTree(
    Head("type", 2, choices=("wait", "attack")),
    Head("target", 3, relevant={"type": [1]}, mask_by="type", logits_by="type"),
)
LOGITS = {
    "heads": [0.0, 2.0, 0.0, 1.0, 3.0],
    "bits": [1.0, -1.0],
    "tree": [0.0, 1.0, 9.0, 9.0, 9.0, 0.0, 1.0, 2.0],
    "candidates": [0.0, 1.0, 5.0],
}
MASKS = {
    "heads": {"action_mask": [1, 0, 1, 1, 0]},
    "bits": {"action_mask": [1, 1, 0, 1]},
    "tree": {"action_mask": [1, 1, 1, 1, 1], "action_mask:target": [[0, 0, 0], [1, 1, 0]]},
    "candidates": {"action_mask": [1, 1, 0]},
}
SPACES = {
    "heads": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(2),
    "tree": spaces.MultiDiscrete(TREE.nvec),
    "candidates": spaces.Discrete(3),
}


class Still(gymnasium.Env):
    """Two steps under masks that never change."""

    def __init__(self, kind):
        self.action_space = SPACES[kind]
        self.masks = {key: np.array(value, bool) for key, value in MASKS[kind].items()}
        self.features = {"x": np.zeros(1, np.float32)}
        if kind == "candidates":
            self.features["candidates"] = np.zeros((3, 2), np.float32)
        if kind == "tree":
            self.action_tree = TREE
        boxes = {k: spaces.Box(-1, 1, v.shape) for k, v in self.features.items()}
        masks = {k: mask_space(*v.shape) for k, v in self.masks.items()}
        self.observation_space = spaces.Dict({**boxes, **masks})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return {**self.features, **self.masks}, {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.at += 1
        return {**self.features, **self.masks}, 1.0, self.at == 2, False, {}


class Certain(ConditionalCategorical):
    """Of the actions of a tree it takes one, likely or not."""

    taken = (0, 0)

    @property
    def mode(self):
        return torch.tensor([self.taken])


class Known(nn.Module):
    """Fixed logits; of the tree the action is given."""

    def __init__(self, kind, action=None):
        super().__init__()
        self.kind, self.action = kind, action

    def logits(self, obs):
        return torch.tensor([LOGITS[self.kind]])

    def distribution(self, obs):
        logits, mask = self.logits(obs), obs["action_mask"]
        if self.action is not None:
            certain = Certain(TREE, logits, mask, head_masks={"target": obs["action_mask:target"]})
            certain.taken = self.action
            return certain
        if self.kind == "heads":
            return MaskedMultiCategorical(logits, [2, 3], mask)
        if self.kind == "bits":
            return MaskedBernoulli(logits, mask)
        return MaskedCategorical(logits, mask)

    def value(self, obs):
        return torch.zeros(1)


@pytest.fixture(autouse=True)
def still():
    register(EnvEntry("still", "a test", Still, lambda num_envs, **kwargs: None))
    yield
    del _entries["still"]


def record(kind, action=None):
    played = record_episode(Known(kind, action), "still", {"kind": kind})
    return played, played.steps[0]


def test_several_heads():
    played, step = record("heads")
    assert step.action.tolist() == [0, 1] and step.action.dtype == np.int64
    assert played.action_kind == "multi_discrete" and played.illegal_actions == 0
    first, second = played.head_views(step)
    assert (first.name, second.name) == ("head 0", "head 1")
    assert first.probs.tolist() == [1, 0]
    # softmax of (0, 1) is (0.26894, 0.73106)
    np.testing.assert_allclose(second.probs, [0.26894, 0.73106, 0], atol=1e-5)
    assert second.logits.tolist() == [0, 1, 3] and second.chosen == "1"


def test_bits_are_pairs():
    played, step = record("bits")
    assert step.action.tolist() == [1, 1]
    free, forced = played.head_views(step)
    assert free.choices == ("off", "on") and free.name == "bit 0"
    np.testing.assert_allclose(free.probs, [0.26894, 0.73106], atol=1e-5)
    assert free.logits.tolist() == [0, 1]
    assert forced.probs.tolist() == [0, 1]
    assert forced.action_mask.tolist() == [False, True]


def test_a_tree_shows_the_rows_of_the_choice_made():
    played, step = record("tree", [1, 1])
    kind, target = played.head_views(step)
    assert (kind.chosen, target.name, target.relevant) == ("attack", "target", True)
    assert target.logits.tolist() == [0, 1, 2]
    assert target.action_mask.tolist() == [True, True, False]
    np.testing.assert_allclose(target.probs, [0.26894, 0.73106, 0], atol=1e-5)
    assert played.illegal_actions == 0


def test_a_policy_that_tells_no_logits_is_shown_by_its_probabilities():
    told = record("tree", (1, 1))[1]

    class Silent(nn.Module):
        def distribution(self, obs):
            return Known("tree", (1, 1)).distribution(obs)

        def value(self, obs):
            return torch.zeros(1)

    silent = record_episode(Silent(), "still", {"kind": "tree"}).steps[0]
    np.testing.assert_allclose(silent.probs, told.probs)
    np.testing.assert_allclose(np.exp(silent.logits), told.probs, rtol=1e-6)


def test_masks_of_the_policys_own_are_shown_as_they_act():
    class Function(Known):
        def distribution(self, obs):
            only = {"target": lambda prefix: torch.tensor([False, True, True])}
            return ConditionalCategorical(TREE, self.logits(obs), head_masks=only)

    played = record_episode(Function("tree"), "still", {"kind": "tree"})
    target = played.head_views(played.steps[0])[1]
    # softmax of (1, 2); the policy passes over the world's mask, and that is shown
    np.testing.assert_allclose(target.probs, [0, 0.26894, 0.73106], atol=1e-5)
    assert target.action_mask.tolist() == [True, True, False] and played.illegal_actions == 2


def test_a_head_that_does_not_count_says_so():
    played, step = record("tree", [0, 0])
    assert [view.relevant for view in played.head_views(step)] == [True, False]
    assert step.probs[2:].tolist() == [0, 0, 0] and played.illegal_actions == 0


def test_a_head_that_idles_is_never_likely(monkeypatch):
    monkeypatch.setitem(MASKS, "bits", {"action_mask": [1, 1, 0, 0]})

    class Idle(Known):
        def distribution(self, obs):
            return MaskedBernoulli(self.logits(obs), obs["action_mask"], empty="idle")

    played = record_episode(Idle("bits"), "still", {"kind": "bits"})
    free, idle = played.head_views(played.steps[0])
    assert idle.probs.tolist() == [0, 0] and idle.action == 0 and free.probs[1] > 0.7
    assert played.illegal_actions == 0


def test_choices_against_the_mask_are_counted():
    assert record("tree", [1, 2])[0].illegal_actions == 2


def test_candidates_are_called_by_their_place():
    played, step = record("candidates")
    assert step.action == 1 and isinstance(step.action, int)
    assert played.action_kind == "candidates"
    assert played.action_names == ("candidate 0", "candidate 1", "candidate 2")
    assert played.head_views(step)[0].chosen == "candidate 1"

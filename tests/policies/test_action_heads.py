"""Logits and masks of every action space become the distribution that belongs to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.distributions import (
    ConditionalCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.envs.contract import describe, mask_space
from maskrl.errors import ConfigError
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.action_heads import ActionHeads, mass_outside

B = 5
TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}, logits_by="type"),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)


def describe_with(masks, action_space, tree=None, **features):
    entries = {key: mask_space(*shape) for key, shape in masks.items()}
    features = features or {"x": spaces.Box(-1, 1, (2,))}
    return describe(spaces.Dict({**features, **entries}), action_space, tree)


SPACES = {
    "discrete": ({"action_mask": (6,)}, spaces.Discrete(6), None),
    "multi_discrete": ({"action_mask": (7,)}, spaces.MultiDiscrete([3, 4]), None),
    "multi_binary": ({"action_mask": (4, 2)}, spaces.MultiBinary(4), None),
    "flat bits": ({"action_mask": (8,)}, spaces.MultiBinary(4), None),
    "tree": (TREE.mask_shapes, spaces.MultiDiscrete(TREE.nvec), TREE),
}


@pytest.fixture(params=SPACES)
def case(request):
    """Heads, random logits, and masks that allow something in every head."""
    masks, action_space, tree = SPACES[request.param]
    description = describe_with(masks, action_space, tree)
    heads = ActionHeads(description)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(B, heads.n_logits, generator=generator)
    obs = {key: torch.rand(B, *shape, generator=generator) < 0.6 for key, shape in masks.items()}
    flat = obs["action_mask"].view(B, -1)
    for k in range(len(heads.nvec)):
        flat[:, sum(heads.nvec[:k]) + k % heads.nvec[k]] = True
    if tree is not None:
        obs["action_mask:target"][:, :, 2] = True
    return description, heads, logits, obs


@pytest.mark.parametrize(
    ("name", "kind", "n_logits", "event"),
    [
        ("discrete", MaskedCategorical, 6, ()),
        ("multi_discrete", MaskedMultiCategorical, 7, (2,)),
        ("multi_binary", MaskedBernoulli, 4, (4,)),
        ("flat bits", MaskedBernoulli, 4, (4,)),
        ("tree", ConditionalCategorical, 3 + 3 * 2 + 4, (3,)),
    ],
)
def test_every_space_has_its_distribution(name, kind, n_logits, event):
    masks, action_space, tree = SPACES[name]
    heads = ActionHeads(describe_with(masks, action_space, tree))
    assert (heads.n_logits, heads.event_shape) == (n_logits, event)
    obs = {key: torch.ones(B, *shape, dtype=torch.bool) for key, shape in masks.items()}
    distribution = heads.distribution(torch.zeros(B, n_logits), obs)
    assert type(distribution) is kind
    assert tuple(distribution.event_shape) == event and tuple(distribution.batch_shape) == (B,)


def test_candidates_are_one_choice():
    description = describe_with(
        {"action_mask": (6,)},
        spaces.Discrete(6),
        candidates=spaces.Box(-1, 1, (6, 3)),
    )
    heads = ActionHeads(description)
    assert (heads.kind, heads.n_logits, heads.event_shape) == ("candidates", 6, ())


def test_samples_keep_to_all_masks(case):
    description, heads, logits, obs = case
    distribution = heads.distribution(logits, obs)
    actions = distribution.sample((200,), generator=torch.Generator().manual_seed(1)).numpy()
    if not heads.event_shape:
        actions = actions[..., None]
    masks = {key: np.broadcast_to(m.numpy(), (200, *m.shape)) for key, m in obs.items()}
    assert not choices_of(actions, masks, description.heads).illegal.any()


def every_action(heads):
    return np.array(list(itertools.product(*map(range, heads.nvec))))


def test_without_masks_everything_is_allowed(case):
    _, heads, logits, obs = case
    mask_free = {key: torch.ones_like(mask) for key, mask in obs.items()}
    distribution = heads.distribution(logits, mask_free)
    if heads.tree is None:
        bare = heads.distribution(logits, {})
        assert torch.equal(bare.mode, distribution.mode)
        torch.testing.assert_close(bare.entropy(), distribution.entropy())
    action = distribution.mode
    mass = heads.disallowed_mass(logits, mask_free, action)
    assert mass.tolist() == [0.0] * B
    assert heads.disallowed_mass(logits, {}, action).tolist() == [0.0] * B


def test_disallowed_mass_is_that_of_each_head_without_masks(case):
    """Against sums over all actions of the distribution without masks, head by head."""
    description, heads, logits, obs = case
    taken = heads.distribution(logits, obs).sample(generator=torch.Generator().manual_seed(2))
    got = heads.disallowed_mass(logits, obs, taken)
    free = heads.distribution(logits, {k: torch.ones_like(m) for k, m in obs.items()})
    everything = every_action(heads)
    shaped = torch.from_numpy(everything).unsqueeze(1).expand(-1, B, -1)
    by_head = free.log_prob(shaped if heads.event_shape else shaped[..., 0], reduce="none").exp()
    by_head = by_head.reshape(len(everything), B, len(heads.nvec)).numpy()
    masks = {key: np.broadcast_to(m.numpy(), (len(everything), *m.shape)) for key, m in obs.items()}
    broadcast = np.broadcast_to(everything[:, None], (len(everything), B, len(heads.nvec)))
    seen = choices_of(broadcast, masks, description.heads)
    chosen = taken.reshape(B, -1).numpy()
    relevant = choices_of(chosen, {}, description.heads).relevant
    for row in range(B):
        masses = []
        for k in range(len(heads.nvec)):
            if not relevant[row, k]:
                continue
            # the same choices before head k, and the first choice after it
            same = (everything[:, :k] == chosen[row, :k]).all(-1)
            same &= (everything[:, k + 1 :] == chosen[row, k + 1 :]).all(-1)
            masses.append(by_head[same & ~seen.taken[:, row, k], row, k].sum())
        assert got[row].item() == pytest.approx(np.mean(masses), abs=1e-5)
    assert 0 < got.mean() < 1


def test_a_head_that_allows_nothing_idles_for_itself():
    heads = ActionHeads(describe_with({"action_mask": (7,)}, spaces.MultiDiscrete([3, 4])))
    mask = torch.tensor([[False] * 3 + [True] * 4, [True] * 3 + [False] * 4])
    distribution = heads.distribution(
        torch.randn(2, 7), {"action_mask": mask}, empty="idle", idle_action=2
    )
    action = distribution.sample()
    assert action[0, 0] == 2 and action[1, 1] == 2
    log_prob = distribution.log_prob(action, reduce="none")
    assert log_prob[0, 0] == 0 and log_prob[1, 1] == 0
    assert log_prob[0, 1] < 0 and log_prob[1, 0] < 0


def test_an_idle_action_must_be_a_choice_of_every_head():
    several = ActionHeads(describe_with({"action_mask": (7,)}, spaces.MultiDiscrete([3, 4])))
    several.require_idle_action(2)
    with pytest.raises(ConfigError, match=r"3 is not a choice of every head; they have \[3, 4\]"):
        several.require_idle_action(3)
    one = ActionHeads(describe_with({"action_mask": (6,)}, spaces.Discrete(6)))
    with pytest.raises(ConfigError, match="6 is not one of the 6 actions"):
        one.require_idle_action(6)


def test_mass_outside_by_hand():
    logits = torch.tensor([[0.0, 0.0, np.log(2.0)]])
    mask = torch.tensor([[True, False, False]])
    assert mass_outside(logits, mask).item() == pytest.approx(3 / 4)


def test_a_head_that_idles_wastes_no_probability():
    heads = ActionHeads(describe_with({"action_mask": (7,)}, spaces.MultiDiscrete([3, 4])))
    nothing, half = [False] * 3, [True, True, False, False]
    mask = torch.tensor([nothing + half, nothing + [False] * 4, [True] * 3 + half])
    actions = torch.zeros(3, 2, dtype=torch.int64)
    mass = heads.disallowed_mass(torch.zeros(3, 7), {"action_mask": mask}, actions)
    assert mass.tolist() == pytest.approx([1 / 2, 0.0, 1 / 4])
    bits = ActionHeads(describe_with({"action_mask": (4,)}, spaces.MultiBinary(2)))
    mask = torch.tensor([[False, False, True, False]])
    mass = bits.disallowed_mass(torch.zeros(1, 2), {"action_mask": mask}, actions[:1])
    assert mass.tolist() == pytest.approx([1 / 2])


def test_opened_masks_are_what_a_network_without_masks_would_score_under(case):
    _, heads, logits, obs = case
    before = {key: mask.clone() for key, mask in obs.items()}
    opened = heads.opened({**obs, "x": torch.zeros(B, 2)})
    assert all(bool(opened[key].all()) for key in obs) and "x" in opened
    assert all(torch.equal(obs[key], before[key]) for key in obs)
    if heads.tree is None:
        free = heads.distribution(logits, {"action_mask": opened["action_mask"]})
        every = {"action_mask": torch.ones_like(obs["action_mask"])}
        actions = free.sample()
        assert torch.equal(
            free.log_prob(actions), heads.distribution(logits, every).log_prob(actions)
        )


def test_opened_masks_leave_idle_what_could_choose_nothing():
    heads = ActionHeads(describe_with({"action_mask": (7,)}, spaces.MultiDiscrete([3, 4])))
    mask = torch.tensor([[False] * 3 + [True, False, False, False]])
    assert heads.opened({"action_mask": mask})["action_mask"].tolist() == [[False] * 3 + [True] * 4]
    tree = ActionHeads(describe_with(TREE.mask_shapes, spaces.MultiDiscrete(TREE.nvec), TREE))
    flat = torch.ones(1, 9, dtype=torch.bool)
    flat[0, 5:7] = False  # of the targets 2 and 3 are left
    table = torch.zeros(1, 3, 4, dtype=torch.bool)
    table[0, 1, 0] = table[0, 2, 3] = True
    opened = tree.opened({"action_mask": flat, "action_mask:target": table})
    # After type 1 the table allows target 0 alone, which the flat mask does not.
    assert opened["action_mask:target"][0].any(-1).tolist() == [False, False, True]
    assert opened["action_mask:target"][0, 2].all() and opened["action_mask"].all()
    assert table.sum() == 2 and flat.sum() == 7

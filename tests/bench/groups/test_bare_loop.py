"""The bare loop does what it stands for: it acts, its loss is PPO's, and it learns."""

from __future__ import annotations

import pytest
import torch

from maskrl.bench.groups.bare_loop import BareLoop
from maskrl.bench.groups.training import QUICK_SETTINGS


def test_it_acts_under_the_masks_and_moves_its_weights():
    torch.manual_seed(0)
    loop = BareLoop(QUICK_SETTINGS[0])
    before = [p.detach().clone() for p in loop.parameters]
    loop.act()
    assert bool(loop.masks.gather(1, loop.actions[:, None]).all())
    assert bool((loop.log_probs <= 0).all()) and bool((loop.values != 0).all())
    loop.learn()
    assert all(not torch.equal(a, b) for a, b in zip(before, loop.parameters, strict=True))


def test_the_loss_is_that_of_ppo():
    torch.manual_seed(0)
    loop = BareLoop(QUICK_SETTINGS[0])
    loop.act()
    index = torch.arange(len(loop.actions))
    # Right after acting every ratio is 1: the gain is the mean advantage.
    logits = loop.policy(loop.observations).where(loop.masks, torch.tensor(-torch.inf))
    policy = torch.distributions.Categorical(logits=logits)
    entropy = -(policy.probs * policy.logits.where(loop.masks, torch.tensor(0.0))).sum(-1).mean()
    values = loop.critic(loop.observations).squeeze(-1)
    expected = 0.5 * (values - loop.returns).pow(2).mean() - loop.advantages.mean() - 0.01 * entropy
    assert loop.loss(index).item() == pytest.approx(expected.item(), abs=1e-5)
